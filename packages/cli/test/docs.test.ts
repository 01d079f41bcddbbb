import assert from "node:assert/strict";
import { existsSync, globSync, readFileSync } from "node:fs";
import { dirname, join, relative } from "node:path";
import { describe, it } from "node:test";
import { phases, routingModes } from "@elasti/api";
import { kubeErrors } from "@elasti/kube";
import { operatorErrors, operatorSettings } from "@elasti/operator";
import { metricReasons } from "@elasti/policies";
import { settings as resolverSettings } from "@elasti/resolver";
import { scalingErrors } from "@elasti/scaling";

const root = join(import.meta.dirname, "..", "..", "..");
const read = (file: string): string => readFileSync(join(root, file), "utf8");
const troubleshooting = read("docs/troubleshooting.md");

/** Distinct first groups of a pattern in files, in order. */
function collect(patterns: readonly string[], expression: RegExp): string[] {
  const found = patterns
    .flatMap((pattern) => globSync(pattern, { cwd: root }))
    .flatMap((file) => [...read(file).matchAll(expression)].map((match) => match[1]!));
  return [...new Set(found)].sort();
}

/** The anchors that GitHub gives the headings of a text. */
function anchorsOf(text: string): Set<string> {
  const prose = text.replaceAll(/^```[\s\S]*?^```/gm, "");
  const headings = [...prose.matchAll(/^#+ (.+)$/gm)].map((match) => match[1]!);
  const slug = (heading: string) =>
    heading
      .toLowerCase()
      .replaceAll(/[^\p{L}\p{N} _-]/gu, "")
      .replaceAll(" ", "-");
  return new Set(headings.map(slug));
}

function withoutHeading(names: readonly string[]): string[] {
  const headings = new Set([...troubleshooting.matchAll(/^### (.+)$/gm)].map((match) => match[1]!));
  return names.filter((name) => !headings.has(name));
}

/** Packages whose errors a user of Elasti can meet; `local` and the demo speak for themselves. */
const programs = "packages/{core,api,kube,scaling,operator,resolver}/src/**/*.ts";

/**
 * Literals of the decision's sources that look like reasons and are none: kinds, types and fields of Kubernetes, statuses
 * of conditions, kinds of verdicts. A new literal has to be explained in docs/troubleshooting.md or be listed here.
 */
const notReasons: ReadonlySet<string> = new Set([
  "Deployment",
  "ScaledObject",
  // in a log line: a kind that may be missing
  "NotInstalled",
  ...["Active", "Unknown", "Healthy", "Unhealthy", "NoSeries", "True", "False", "Normal", "Warning", "None"],
  ...[
    "Bearer",
    "Upgrade",
    "ClusterIP",
    "ExternalName",
    "NodePort",
    "LoadBalancer",
    "Local",
    "ConfigMap",
    "Service",
    "Rollout",
    "Helm",
  ],
  ...["Connect", "Probe", "Ready", "RoutingSupported", "TargetFound", "PortsSkipped"],
  // what the kubelet, the scheduler, controllers and node autoscalers write, from which our reasons are made
  ...["ErrImageNeverPull", "InvalidImageName", "ErrImagePull", "ImagePullBackOff", "RegistryUnavailable"],
  ...["SignatureValidationFailed", "ImageInspectError", "CreateContainerConfigError", "CreateContainerError"],
  ...["PreCreateHookError", "PreStartHookError", "RunContainerError", "CrashLoopBackOff", "PodScheduled"],
  ...[
    "Failed",
    "Succeeded",
    "Pending",
    "Running",
    "ReplicaFailure",
    "FailedCreate",
    "ReplicaSet",
    "TriggeredScaleUp",
    "Nominated",
  ],
  // of what is cleaned up, in a log line
  "NoElastiService",
  // events that are declared and not recorded
  "Restored",
]);

/** Codes that one module hands to another of its package. */
const internalCodes: ReadonlySet<string> = new Set(["ELASTI_CONNECTION_GONE", "ELASTI_ADDRESS_PROTECTED"]);

describe("docs/troubleshooting.md", () => {
  it("has a heading for every error code", () => {
    const environment = new Set(
      [...Object.values(operatorSettings), ...Object.values(resolverSettings)].map(({ env }) => env),
    );
    const inTables = collect([programs, "packages/policies/src/errors.ts"], /^\s*(ELASTI_[A-Z_]+): \{/gm);
    const inLiterals = collect([programs], /"(ELASTI_[A-Z_]+)"/g).filter(
      (name) => !environment.has(name) && !internalCodes.has(name),
    );
    for (const table of [kubeErrors, operatorErrors, scalingErrors]) {
      for (const code of Object.keys(table)) assert.ok(inTables.includes(code), `the search does not find ${code}`);
    }
    assert.deepEqual(withoutHeading([...new Set([...inTables, ...inLiterals])]), []);
  });

  it("has a heading for every reason for which a metric of a policy is unknown", () => {
    assert.deepEqual(withoutHeading(metricReasons), []);
  });

  it("has a heading for every reason of conditions, verdicts and Events", () => {
    const reasons = collect(
      ["packages/scaling/src/scalers/*.ts", "packages/operator/src/**/*.ts"],
      /"((?:[A-Z][a-z]+)+[A-Za-z]*)"/g,
    ).filter((name) => !notReasons.has(name));
    assert.ok(reasons.includes("TargetNotScalable") && reasons.includes("NoData") && reasons.includes("SleepBegan"));
    assert.deepEqual(withoutHeading([...new Set([...reasons, ...phases, ...routingModes])]), []);
  });

  it("has a heading for every elasti-reason of an answer that is no error", () => {
    const reasons = collect(["packages/resolver/src/static-answers.ts"], /reason: "([a-z-]+)"/g);
    assert.equal(reasons.length, 3);
    assert.deepEqual(withoutHeading(reasons), []);
  });

  it("names every reason for which a proof fails or a seal is refused", () => {
    const reasons = collect(
      ["packages/operator/src/elastiserver/{prover,sealer}.ts", "packages/resolver/src/service-state.ts"],
      /reason: "([a-z-]+)"/g,
    );
    assert.ok(reasons.includes("no-session") && reasons.includes("request-seen"));
    assert.deepEqual(
      reasons.filter((reason) => !troubleshooting.includes(`\`${reason}\``)),
      [],
    );
  });

  it("has no heading twice", () => {
    const headings = [...troubleshooting.matchAll(/^### (.+)$/gm)].map((match) => match[1]!);
    assert.deepEqual(
      headings.filter((heading, index) => headings.indexOf(heading) !== index),
      [],
    );
  });
});

const pages = ["*.md", "docs/**/*.md", "packages/*/README.md"].flatMap((pattern) => globSync(pattern, { cwd: root }));

describe("docs/reference/metrics.md", () => {
  it("has a row for every metric, with its type and labels, and no other", () => {
    const declared = /\.(counter|gauge|histogram)\(\s*"(elasti_\w+)",\s*"[^"]*",?\s*(?:\[([^\]]*)\])?/g;
    const all = [programs, "packages/policies/src/**/*.ts"];
    const inSources = all
      .flatMap((pattern) => globSync(pattern, { cwd: root }))
      .flatMap((file) => [...read(file).matchAll(declared)])
      .map(([, type, name, labels = ""]) => `${name} ${type} ${labels.replaceAll(/["\s]/g, "").replace(/,$/, "")}`);
    const row = /^\| `(elasti_\w+)` \| (\w+) \| ([^|]*)\|/gm;
    const onPage = [...read("docs/reference/metrics.md").matchAll(row)].map(
      ([, name, type, labels = ""]) => `${name} ${type} ${labels.replaceAll(/[`\s]/g, "")}`,
    );
    assert.deepEqual(onPage.toSorted(), inSources.toSorted());
    // nor is one declared in another way
    const named = collect(all, /"(elasti_[a-z_]+)"/g);
    assert.deepEqual(
      named.filter((name) => !onPage.some((line) => line.startsWith(`${name} `))),
      [],
    );
  });
});

describe("docs/decisions/README.md", () => {
  it("lists every decision", () => {
    const index = read("docs/decisions/README.md");
    const decisions = globSync("docs/decisions/[0-9]*.md", { cwd: root }).map((file) => file.split("/").at(-1)!);
    assert.deepEqual(
      decisions.filter((file) => !index.includes(`(${file})`)),
      [],
    );
  });
});

describe("commands", () => {
  it("that the pages name are scripts of package.json", () => {
    const { scripts } = JSON.parse(read("package.json")) as { scripts: Record<string, string> };
    const named = collect(pages, /npm run (?:--silent )?([a-z][a-z:-]*)/g);
    assert.ok(named.includes("demo"));
    assert.deepEqual(
      named.filter((name) => !Object.hasOwn(scripts, name)),
      [],
    );
  });
});

describe("links", () => {
  for (const page of pages) {
    it(`of ${page} lead to files and headings that exist`, () => {
      const text = read(page).replaceAll(/^```[\s\S]*?^```/gm, "");
      const broken = [...text.matchAll(/\]\(([^)\s]+)\)/g)]
        .map((match) => match[1]!)
        .filter((link) => !/^[a-z]+:/.test(link))
        .filter((link) => {
          const [path = "", anchor] = link.split("#");
          const target = path === "" ? page : relative(root, join(root, dirname(page), path));
          if (!existsSync(join(root, target))) return true;
          return anchor !== undefined && target.endsWith(".md") && !anchorsOf(read(target)).has(anchor);
        });
      assert.deepEqual(broken, []);
    });
  }
});
