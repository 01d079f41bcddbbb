/**
 * `npm run verify:full`: everything with its full counts, one after another, because each of them wants both cores: all
 * tests (the model is explored within its full bounds there), 200 measured wakes, 200 sleeps under fire, and the suites and
 * benchmarks on a whole real Kubernetes, the newest and the oldest supported (root and Go are needed), with KEDA's real operator
 * and the real metrics-server on the newest. Ends with the last line of each; exit code 1 when one of them failed. Takes about an hour and a half on 2 cores.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

const root = join(import.meta.dirname, "..");
interface Part {
  readonly name: string;
  readonly file: string;
  readonly args: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
}

const parts: readonly Part[] = [
  { name: "npm test", file: "run.ts", args: [] },
  { name: "bench:wake", file: join("bench", "wake.ts"), args: ["--wakes", "200", "--json"] },
  { name: "bench:cycles", file: join("bench", "cycles.ts"), args: ["--cycles", "200", "--json"] },
  // every kill point, not those alone that a seed draws; every suite that can on installations by the chart, too
  {
    name: "test:cluster",
    file: join("cluster", "run.ts"),
    args: [],
    env: { ELASTI_CRASH_SHARE: "1", ELASTI_TEST_INSTALLED: "all" },
  },
  {
    name: "test:cluster, oldest Kubernetes",
    file: join("cluster", "run.ts"),
    args: [],
    env: { ELASTI_TEST_VERSION: "oldest" },
  },
  { name: "test:keda", file: join("keda", "real", "run.ts"), args: [] },
  { name: "test:metrics", file: join("metrics", "real", "run.ts"), args: [] },
  { name: "bench:wake, real", file: join("bench", "wake.ts"), args: ["--cluster", "real", "--wakes", "60", "--json"] },
  {
    name: "bench:cycles, real",
    file: join("bench", "cycles.ts"),
    args: ["--cluster", "real", "--cycles", "50", "--json"],
  },
  { name: "bench:burst-wake, real", file: join("bench", "burst-wake.ts"), args: ["--cluster", "real", "--json"] },
];

/** Runs one part with its output shown. */
function run({ file, args, env = {} }: Part): Promise<{ code: number; lastLine: string }> {
  const child = spawn(process.execPath, [join(root, "test", file), ...args], {
    cwd: root,
    env: { ...process.env, ...env },
    stdio: ["ignore", "pipe", "inherit"],
  });
  let lastLine = "";
  createInterface({ input: child.stdout }).on("line", (line) => {
    process.stdout.write(`${line}\n`);
    if (line !== "") lastLine = line;
  });
  return new Promise((resolve, reject) => {
    child.once("error", reject);
    child.once("close", (code) => resolve({ code: code ?? 1, lastLine }));
  });
}

const summary: string[] = [];
for (const part of parts) {
  const { name, args } = part;
  process.stdout.write(`== ${name} ${args.join(" ")}\n`);
  const began = performance.now();
  const { code, lastLine } = await run(part);
  const minutes = ((performance.now() - began) / 60_000).toFixed(1);
  summary.push(`${name}: ${code === 0 ? "passed" : `FAILED (exit code ${code})`} in ${minutes} min`, `  ${lastLine}`);
  if (code !== 0) process.exitCode = 1;
}
process.stdout.write(`== figures\n${summary.join("\n")}\n`);
