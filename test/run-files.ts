/** Runs test files, shows what they say, and counts. As a program: `node test/run-files.ts [--one-by-one] <files>`. */
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";

export interface Counts {
  passed: number;
  failed: number;
  /** Program that was not found -> suites that want it. */
  readonly missing: Map<string, string[]>;
}

const root = join(import.meta.dirname, "..");

/** @param options.concurrency files at once; as many as the machine has cores, at least 2, where left out */
export async function runFiles(
  files: readonly string[],
  options: { concurrency?: number; timeoutMs?: number } = {},
): Promise<Counts> {
  const counts: Counts = { passed: 0, failed: 0, missing: new Map() };
  const { concurrency = Math.max(2, availableParallelism()), timeoutMs = 600_000 } = options;
  const stream = run({ files: files.map((file) => join(root, file)), concurrency, cwd: root, timeout: timeoutMs });
  stream.on("test:pass", ({ name, details, skip, file }) => {
    const program = typeof skip === "string" ? /^missing program: (.*)$/.exec(skip)?.[1] : undefined;
    // a whole suite may be skipped, which then has no tests
    if (program !== undefined) {
      const place = `${relative(root, file ?? "")}: ${name}`;
      counts.missing.set(program, [...(counts.missing.get(program) ?? []), place]);
    } else if (details.type !== "suite" && skip === undefined) counts.passed += 1;
  });
  stream.on("test:fail", ({ details }) => {
    if (details.type !== "suite") counts.failed += 1;
  });
  stream.compose(spec()).pipe(process.stdout);
  await new Promise((resolve) => stream.on("end", resolve));
  return counts;
}

/** Prints the last lines and sets the exit code. */
export function conclude({ passed, failed, missing }: Counts): void {
  let wrong = failed;
  for (const [program, tests] of missing) console.log(`not run for want of ${program}:\n  ${tests.join("\n  ")}`);
  if (process.env.CI === "true") wrong += missing.size;
  console.log(`${passed} passed, ${wrong} failed`);
  process.exitCode = wrong === 0 && passed > 0 ? 0 : 1;
}

if (import.meta.main) {
  const args = process.argv.slice(2);
  const files = args.filter((arg) => !arg.startsWith("--"));
  conclude(await runFiles(files, args.includes("--one-by-one") ? { concurrency: 1, timeoutMs: 600_000 } : {}));
}
