/**
 * `npm run test:cluster`: the suites that want a real Kubernetes, on ones that are made for them and removed after. Ends with the
 * line `N passed, M failed`. Arguments are globs of test files, in place of all. All: every suite with Elasti as it is made for tests,
 * and the core of test/e2e (installed-suites.ts) once more with Elasti installed by the chart.
 *
 * - `ELASTI_TEST_INSTALLED`: with 1 only the files that can run with Elasti installed by the chart, that way; with `all` those, too.
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
import { InstalledRights, type Judgement } from "./installed-rights.ts";
import { installedSuites } from "./installed-suites.ts";
import { Places, repository } from "./places.ts";
import { Missing } from "./requirements.ts";

const everything = process.argv.length === 2;
const wanted = process.env.ELASTI_TEST_INSTALLED;
// each suite is told by itself
delete process.env.ELASTI_TEST_INSTALLED;
const patterns = everything ? ["test/{contract,e2e,cluster}/**/*.test.ts"] : process.argv.slice(2);
const runner = join(import.meta.dirname, "..", "run-files.ts");
/** Side by side: each suite has its cluster for itself, and waits more than it computes. Two checkouts do not meet in one. */
const checkout = createHash("sha256").update(repository).digest("hex").slice(0, 4);
const clusters = [`test-${checkout}-a`, `test-${checkout}-b`];

interface Counts {
  passed: number;
  failed: number;
  readonly failedFiles: string[];
}

interface Suite {
  readonly file: string;
  /** The chart has installed Elasti. */
  readonly installed: boolean;
}

/** What is to be run, and how. */
function suitesOf(files: readonly string[]): Suite[] {
  const can = installedSuites((line) => console.log(line));
  const among = (some: ReadonlySet<string>): Suite[] =>
    files.filter((file) => some.has(file)).map((file) => ({ file, installed: true }));
  const plain = files.map((file) => ({ file, installed: false }));
  if (wanted === undefined) return everything ? [...plain, ...among(can.core)] : plain;
  return wanted === "all" ? [...plain, ...among(can.all)] : among(can.all);
}

/** Takes suites off the queue until it is empty. */
async function runQueue(queue: Suite[], start: StartInside, counts: Counts): Promise<void> {
  for (let suite = queue.shift(); suite !== undefined; suite = queue.shift()) {
    const { file, installed } = suite;
    const child = start([runner, "--one-by-one", file], "pipe", installed ? { ELASTI_TEST_INSTALLED: "1" } : {});
    const ended = once(child, "exit");
    const [said, errors] = await Promise.all([text(child.stdout!), text(child.stderr!)]);
    await ended;
    const [, passed = "0", failed = "1"] = /^(\d+) passed, (\d+) failed$/m.exec(said.slice(-200)) ?? [];
    counts.passed += Number(passed);
    counts.failed += Number(failed);
    const title = installed ? `${file}, installed by the chart` : file;
    if (failed !== "0") counts.failedFiles.push(title);
    // whole files, so that two suites are not mixed up
    console.log(`== ${title}\n${said}${errors}`);
  }
}

/** What installations may do is one more test. */
function report({ line, problems }: Judgement, counts: Counts): void {
  console.log(["== what installations by the chart may do", line, ...problems].join("\n"));
  if (problems.length === 0) counts.passed += 1;
  else {
    counts.failed += 1;
    counts.failedFiles.push("what installations by the chart may do");
  }
}

async function main(): Promise<number> {
  const files = patterns.flatMap((pattern) => globSync(pattern, { cwd: repository })).sort();
  const queue = suitesOf(files);
  if (queue.length === 0) throw new Missing(`no test file fits ${patterns.join(" ")}`);
  if (process.env.ELASTI_TEST_KUBECONFIG !== undefined) {
    const child = spawn(process.execPath, [runner, "--one-by-one", ...files], { cwd: repository, stdio: "inherit" });
    const [code] = (await once(child, "exit")) as [number | null];
    return code ?? 1;
  }
  const version = (process.env.ELASTI_TEST_VERSION ?? "newest") as Which;
  const say = (line: string) => console.log(line);
  // once, before two clusters ask for them
  await ensureBinaries(version, say);
  const rights = new InstalledRights(await ensureHelm(say));
  const counts: Counts = { passed: 0, failed: 0, failedFiles: [] };
  const someInstalled = queue.some(({ installed }) => installed);
  const runs = clusters.slice(0, queue.length).map((name) =>
    withCluster({ name, version, helm: true, say }, async (start) => {
      await runQueue(queue, start, counts);
      await rights.add(join(new Places(name).logs, "audit.log"));
    }),
  );
  for (const { reason, status } of (await Promise.allSettled(runs)) as PromiseRejectedResult[])
    if (status === "rejected") throw reason;
  const ran = wanted === "1" || !everything ? "some" : wanted === "all" ? "all" : "core";
  if (someInstalled) report(await rights.judge(ran), counts);
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
