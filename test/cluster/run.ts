/**
 * `npm run test:cluster`: the suites that want a real Kubernetes, on ones that are made for them and removed after. Ends with the
 * line `N passed, M failed`. Arguments are globs of test files, in place of all.
 *
 * - `ELASTI_TEST_KUBECONFIG`: this cluster is used instead (kind, k3d, your own); tests that need a node of ours say so.
 * - `ELASTI_CLUSTER_KEEP`: the clusters stay up afterwards.
 */
import { spawn } from "node:child_process";
import { createHash } from "node:crypto";
import { once } from "node:events";
import { globSync } from "node:fs";
import { join } from "node:path";
import { text } from "node:stream/consumers";
import { ensureBinaries, ensureHelm, type Which } from "./binaries.ts";
import { type StartInside, withCluster } from "./inside.ts";
import { repository } from "./places.ts";
import { Missing } from "./requirements.ts";

const patterns = process.argv.length > 2 ? process.argv.slice(2) : ["test/{contract,e2e,cluster}/**/*.test.ts"];
const runner = join(import.meta.dirname, "..", "run-files.ts");
/** Side by side: each suite has its cluster for itself, and waits more than it computes. Two checkouts do not meet in one. */
const checkout = createHash("sha256").update(repository).digest("hex").slice(0, 4);
const clusters = [`test-${checkout}-a`, `test-${checkout}-b`];

interface Counts {
  passed: number;
  failed: number;
  readonly failedFiles: string[];
}

/** Takes files off the queue until it is empty. */
async function runQueue(queue: string[], start: StartInside, counts: Counts): Promise<void> {
  for (let file = queue.shift(); file !== undefined; file = queue.shift()) {
    const child = start([runner, "--one-by-one", file], "pipe");
    const ended = once(child, "exit");
    const [said, errors] = await Promise.all([text(child.stdout!), text(child.stderr!)]);
    await ended;
    const [, passed = "0", failed = "1"] = /^(\d+) passed, (\d+) failed$/m.exec(said.slice(-200)) ?? [];
    counts.passed += Number(passed);
    counts.failed += Number(failed);
    if (failed !== "0") counts.failedFiles.push(file);
    // whole files, so that two suites are not mixed up
    console.log(`== ${file}\n${said}${errors}`);
  }
}

async function main(): Promise<number> {
  const files = patterns.flatMap((pattern) => globSync(pattern, { cwd: repository })).sort();
  if (files.length === 0) throw new Missing(`no test file fits ${patterns.join(" ")}`);
  if (process.env.ELASTI_TEST_KUBECONFIG !== undefined) {
    const child = spawn(process.execPath, [runner, "--one-by-one", ...files], { cwd: repository, stdio: "inherit" });
    const [code] = (await once(child, "exit")) as [number | null];
    return code ?? 1;
  }
  const version = (process.env.ELASTI_TEST_VERSION ?? "newest") as Which;
  const say = (line: string) => console.log(line);
  // once, before two clusters ask for them
  await ensureBinaries(version, say);
  await ensureHelm(say);
  const counts: Counts = { passed: 0, failed: 0, failedFiles: [] };
  const queue = [...files];
  const runs = clusters
    .slice(0, files.length)
    .map((name) => withCluster({ name, version, helm: true, say }, (start) => runQueue(queue, start, counts)));
  for (const { reason, status } of (await Promise.allSettled(runs)) as PromiseRejectedResult[])
    if (status === "rejected") throw reason;
  if (counts.failedFiles.length > 0) console.log(`failed:\n  ${counts.failedFiles.join("\n  ")}`);
  console.log(`${counts.passed} passed, ${counts.failed} failed`);
  return counts.failed === 0 && counts.passed > 0 ? 0 : 1;
}

try {
  process.exitCode = await main();
} catch (error) {
  console.error(error instanceof Missing ? error.message : error);
  console.log("0 passed, 1 failed");
  process.exitCode = 1;
}
