/**
 * `npm run verify:full`: everything with its full counts, one after another, because each of them wants both cores: all
 * tests (the model is explored within its full bounds there), 200 measured wakes, 200 sleeps under fire. Ends with the last
 * line of each; exit code 1 when one of them failed. Takes about half an hour on 2 cores.
 */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

const root = join(import.meta.dirname, "..");
const parts = [
  { name: "npm test", file: "run.ts", args: [] },
  { name: "bench:wake", file: join("bench", "wake.ts"), args: ["--wakes", "200", "--json"] },
  { name: "bench:cycles", file: join("bench", "cycles.ts"), args: ["--cycles", "200", "--json"] },
] as const;

/** Runs one part with its output shown. */
function run(file: string, args: readonly string[]): Promise<{ code: number; lastLine: string }> {
  const child = spawn(process.execPath, [join(root, "test", file), ...args], {
    cwd: root,
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
for (const { name, file, args } of parts) {
  process.stdout.write(`== ${name} ${args.join(" ")}\n`);
  const began = performance.now();
  const { code, lastLine } = await run(file, args);
  const minutes = ((performance.now() - began) / 60_000).toFixed(1);
  summary.push(`${name}: ${code === 0 ? "passed" : `FAILED (exit code ${code})`} in ${minutes} min`, `  ${lastLine}`);
  if (code !== 0) process.exitCode = 1;
}
process.stdout.write(`== figures\n${summary.join("\n")}\n`);
