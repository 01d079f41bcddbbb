import assert from "node:assert/strict";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { CommandLine } from "./command-line.ts";
import { elastiImages } from "./elasti-images.ts";
import { chartFolder } from "./helm.ts";
import { images } from "./images.ts";
import { repository } from "./places.ts";

const { operator: operatorImage, resolver: resolverImage } = await elastiImages();

/** A script that shows what curl -i would. */
const shown = (url: string): string =>
  [
    `require("http").get("${url}", (answer) => {`,
    'console.log("HTTP/1.1", answer.statusCode, answer.statusMessage);',
    'answer.rawHeaders.forEach((text, at) => process.stdout.write(text + (at % 2 === 0 ? ": " : "\\n")));',
    "answer.pipe(process.stdout); })",
  ].join(" ");

/** What the page says that cannot be had here -> what is taken in its place. All else is run as it is written. */
const substitutions: readonly [written: string, here: string][] = [
  // no registry is reached: the chart of this repository, its images, and times by which a minute passes in a second
  ["oci://ghcr.io/elasti/charts/elasti", `${chartFolder} --values values.json`],
  // nor for the application's image: the sample app, which wants to be told its address
  [
    "          image: nginxinc/nginx-unprivileged:1.29-alpine\n",
    `          image: ${images.node}\n          env: [{ name: POD_IP, value: "0.0.0.0" }]\n`,
  ],
  // nor for curl's: the image of the operator can ask, too
  [
    "--image=curlimages/curl:8.16.0 -- curl -sSi http://web:8080/",
    `--image=${operatorImage} --command -- node -e '${shown("http://web:8080/")}'`,
  ],
  // shorter, so that the suite is
  ["  cooldownPeriod: 30\n", "  cooldownPeriod: 1\n  routing: { graceSeconds: 0 }\n"],
];

/** By a line of a block: what its output must show. */
const shows: readonly [command: string, output: RegExp][] = [
  ["helm install", /STATUS: deployed/],
  ["kubectl get pods", /(elasti-(operator|resolver)-\S+ +1\/1 +Running[^\n]*\n){4}/],
  ["kubectl rollout status", /successfully rolled out/],
  ["kind: ElastiService", /elastiservice\S* created/],
  ["kubectl wait es/web", /condition met\n.*web +\d\/0 /s],
  ["kubectl run client", /^HTTP\/1\.1 200 .*server-timing: hold;.*elasti-cold-start: \d+/is],
  ["kubectl events", /web +.*Scaled|SuccessToScale/s],
  ["elasti doctor", /\S/],
  ["kubectl delete es web", /release "elasti" uninstalled/],
];

interface Block {
  readonly section: string;
  readonly script: string;
}

/** The blocks of shell on a page, but for those that make the cluster. */
function blocksOf(page: string): Block[] {
  const sections = page.split(/^## /m).slice(1);
  return sections
    .map((section) => ({ title: section.slice(0, section.indexOf("\n")), section }))
    .filter(({ title }) => title !== "A cluster")
    .flatMap(({ title, section }) =>
      [...section.matchAll(/^```sh\n(.*?)^```$/gms)].map(([, script = ""]) => ({ section: title, script })),
    );
}

const page = await readFile(join(repository, "docs", "getting-started.md"), "utf8");
const blocks = blocksOf(page);

describe("the page of the first ten minutes", () => {
  let commands: CommandLine;
  before(async () => {
    commands = await CommandLine.open();
    await writeFile(join(commands.folder, "values.json"), JSON.stringify(valuesHere()));
  });
  after(async () => {
    // whatever was not come to
    await commands?.ends(
      `kubectl delete --ignore-not-found deployment,service web
       helm uninstall elasti --namespace elasti-system --ignore-not-found --wait
       kubectl delete --ignore-not-found es web
       kubectl delete --ignore-not-found namespace elasti-system --timeout=60s`,
    );
    await commands?.close();
  });

  it("has blocks, and each substitution and each expectation fits one", () => {
    const all = blocks.map(({ script }) => script);
    assert.ok(all.length >= 9, String(all.length));
    const places = (text: string) => all.filter((script) => script.includes(text)).length;
    for (const [text] of [...substitutions, ...shows]) assert.equal(places(text), 1, text);
  });

  let stopped = false;
  for (const { section, script } of blocks) {
    it(`${section}: ${script.split("\n")[0]}`, async () => {
      assert.ok(!stopped, "a command before it failed");
      stopped = true;
      const here = substitutions.reduce((text, [written, taken]) => text.replace(written, () => taken), script);
      const output = await commands.run(here);
      for (const [command, wanted] of shows) if (script.includes(command)) assert.match(output, wanted);
      stopped = false;
    });
  }
});

function valuesHere(): object {
  const image = (reference: string) => {
    const [repositoryOf, tag] = reference.split(":");
    return { repository: repositoryOf, tag };
  };
  return {
    image: { operator: image(operatorImage), resolver: image(resolverImage) },
    operator: { settings: { pollingInterval: "300ms", scrapeInterval: "200ms" } },
    resolver: { settleSeconds: 3, longestHoldSeconds: 60 },
  };
}
