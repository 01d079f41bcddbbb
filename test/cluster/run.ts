/**
 * `npm run test:cluster`: the suites that want a real Kubernetes, on one that is made for them and removed after. Ends with the
 * line `N passed, M failed`. Arguments are globs of test files, in place of all.
 *
 * - `ELASTI_TEST_KUBECONFIG`: this cluster is used instead (kind, k3d, your own); tests that need a node of ours say so.
 * - `ELASTI_CLUSTER_KEEP`: the cluster stays up afterwards.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";
import { join } from "node:path";
import type { Which } from "./binaries.ts";
import { runInside } from "./inside.ts";
import { repository } from "./places.ts";
import { Missing } from "./requirements.ts";

const patterns = process.argv.length > 2 ? process.argv.slice(2) : ["test/{contract,e2e,cluster}/**/*.test.ts"];

async function main(): Promise<number> {
  const files = patterns.flatMap((pattern) => globSync(pattern, { cwd: repository })).sort();
  if (files.length === 0) throw new Missing(`no test file fits ${patterns.join(" ")}`);
  const runner = [join(import.meta.dirname, "..", "run-files.ts"), "--one-by-one", ...files];
  if (process.env.ELASTI_TEST_KUBECONFIG === undefined) {
    const version = (process.env.ELASTI_TEST_VERSION ?? "newest") as Which;
    return await runInside(runner, { name: "test", version, helm: true, say: (line) => console.log(line) });
  }
  const child = spawn(process.execPath, runner, { cwd: repository, stdio: "inherit" });
  const [code] = (await once(child, "exit")) as [number | null];
  return code ?? 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Missing ? error.message : error);
  console.log("0 passed, 1 failed");
  process.exitCode = 1;
}
