/**
 * `npm run image -- [--tool docker|podman|buildah] [--name elasti] [--tag VERSION] [resolver|operator ...]`: builds the images with
 * what this machine has, as `NAME-resolver:TAG` and `NAME-operator:TAG`. What follows `--` goes to the tool as it is.
 */
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, readFileSync } from "node:fs";
import { delimiter, join } from "node:path";
import { parseArgs } from "node:util";

const root = join(import.meta.dirname, "..", "..");
/** In the order in which they are looked for. */
const tools = ["docker", "podman", "buildah"] as const;
const images = ["resolver", "operator"] as const;

const { version } = JSON.parse(readFileSync(join(root, "package.json"), "utf8")) as { version: string };
const own = process.argv.slice(2);
const end = own.indexOf("--");
const { values, positionals } = parseArgs({
  args: end < 0 ? own : own.slice(0, end),
  allowPositionals: true,
  options: {
    tool: { type: "string" },
    name: { type: "string", default: "elasti" },
    tag: { type: "string", default: version },
  },
});
const passed = end < 0 ? [] : own.slice(end + 1);

function main(): number {
  const unknown = positionals.find((name) => !images.some((image) => image === name));
  if (unknown !== undefined) return wrong(`there is no image "${unknown}": ${images.join(", ")}`);
  const tool = values.tool ?? tools.find(isThere);
  if (tool === undefined) return wrong(`none of ${tools.join(", ")} is on the PATH`);
  const told = [
    `VERSION=${values.tag}`,
    `REVISION=${git("rev-parse", "HEAD")}`,
    `CREATED=${git("log", "-1", "--format=%cI")}`,
  ];
  for (const image of positionals.length === 0 ? images : positionals) {
    const reference = `${values.name}-${image}:${values.tag}`;
    const args = ["build", `--file=${join(root, `Dockerfile.${image}`)}`, `--tag=${reference}`];
    for (const one of told) args.push(`--build-arg=${one}`);
    const { status } = spawnSync(tool, [...args, ...passed, root], { stdio: "inherit" });
    if (status !== 0) return wrong(`${tool} did not build ${reference}`);
    console.log(reference);
  }
  return 0;
}

const isThere = (program: string): boolean =>
  (process.env.PATH ?? "").split(delimiter).some((folder) => existsSync(join(folder, program)));

/** What git says of the sources; where they are no repository, what the Dockerfiles say without. */
function git(...args: string[]): string {
  try {
    return execFileSync("git", args, { cwd: root, encoding: "utf8", stdio: ["ignore", "pipe", "ignore"] }).trim();
  } catch {
    return args[0] === "log" ? "1970-01-01T00:00:00Z" : "unknown";
  }
}

function wrong(text: string): number {
  console.error(text);
  return 1;
}

process.exitCode = main();
