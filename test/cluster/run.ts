/**
 * `npm run test:cluster`: the suites that want a real Kubernetes, on one that is made for them and removed after. Ends with the
 * line `N passed, M failed`. Arguments are globs of test files, in place of all.
 *
 * - `ELASTI_TEST_KUBECONFIG`: this cluster is used instead (kind, k3d, your own); tests that need a node of ours say so.
 * - `KUBEBUILDER_ASSETS`: programs of the control plane are taken from there (envtest).
 * - `ELASTI_CLUSTER_KEEP`: the cluster stays up afterwards.
 */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { globSync } from "node:fs";
import { join } from "node:path";
import type { Which } from "./binaries.ts";
import { type ClusterState, down, up } from "./cluster.ts";
import { addresses, Places, repository } from "./places.ts";
import { Missing } from "./requirements.ts";

const name = "test";
const patterns = process.argv.length > 2 ? process.argv.slice(2) : ["test/{contract,e2e,cluster}/**/*.test.ts"];

async function main(): Promise<number> {
  const files = patterns.flatMap((pattern) => globSync(pattern, { cwd: repository })).sort();
  if (files.length === 0) throw new Missing(`no test file fits ${patterns.join(" ")}`);
  const given = process.env.ELASTI_TEST_KUBECONFIG;
  if (given !== undefined) return await runTests(files, process.execPath, [], { ELASTI_TEST_KUBECONFIG: given });
  const version = (process.env.ELASTI_TEST_VERSION ?? "newest") as Which;
  const state = await up({ name, version, say: (line) => console.log(line) });
  console.log(`Kubernetes ${state.version} is up`);
  const stop = () => {
    down(name).finally(() => process.exit(1));
  };
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    const places = new Places(name);
    // the tests are clients on the node: they reach Services and pods, and nothing else
    const inside = [`--net=/run/netns/${places.netns(1)}`, process.execPath];
    return await runTests(files, "nsenter", inside, environment(places, state));
  } finally {
    if (process.env.ELASTI_CLUSTER_KEEP === undefined) await down(name);
  }
}

function environment(places: Places, state: ClusterState): Record<string, string> {
  return {
    ELASTI_TEST_KUBECONFIG: places.kubeconfig,
    // a node of ours: its processes can be stopped and killed
    ELASTI_TEST_NODE: places.name,
    // where pods reach what a test serves
    ELASTI_TEST_HOST: addresses.node[1],
    ELASTI_TEST_VERSION: state.version,
  };
}

async function runTests(
  files: string[],
  program: string,
  before: string[],
  env: Record<string, string>,
): Promise<number> {
  const runner = join(import.meta.dirname, "..", "run-files.ts");
  const child = spawn(program, [...before, runner, "--one-by-one", ...files], {
    cwd: repository,
    env: { ...process.env, ...env },
    stdio: "inherit",
  });
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
