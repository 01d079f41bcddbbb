import { globSync } from "node:fs";
import { basename, join } from "node:path";
import { repository } from "./places.ts";

/** Suites of test/e2e that run on installations by the chart in every run, too. */
const core = ["delete", "sleep-always"];

/**
 * Those that do in `npm run verify:full`: together they take longer than the core, and several want each of their steps in a time
 * that a busy machine does not keep.
 */
const rest = [
  "bad-input",
  "by-hand",
  "failures",
  "keda",
  "kubeelasti",
  "no-wake",
  "operators",
  "override",
  "reapply",
  "restore",
  "sleep-swap",
  "triggers",
  "wake",
];

/** Those that never do, each with the reason. */
const processesOnly: Readonly<Record<string, string>> = {
  crash: "ends operators between two calls, by a proxy before the API server, which an installation does not have",
  environment: "starts the programs themselves, with environments that the chart would refuse",
  policies: "stops operators by a proxy before the API server, which an installation does not have",
  ports: "lets the operator alone look after one namespace, and the chart lets resolvers serve the same ones",
  unreachable: "starts an operator itself, on an API server that is not there",
};

const fileOf = (name: string): string => join("test", "e2e", `${name}.test.ts`);

/** Paths below the repository. @param say told of suites of test/e2e of which nobody has said whether they are among them */
export function installedSuites(say: (line: string) => void): { core: ReadonlySet<string>; all: ReadonlySet<string> } {
  const known = new Set([...core, ...rest, ...Object.keys(processesOnly)]);
  const there = globSync(fileOf("*"), { cwd: repository }).map((file) => basename(file, ".test.ts"));
  const unknown = there.filter((name) => !known.has(name));
  if (unknown.length > 0)
    say(`not run installed by the chart, and installed-suites.ts says no reason: ${unknown.join(", ")}`);
  return { core: new Set(core.map(fileOf)), all: new Set([...core, ...rest].map(fileOf)) };
}
