/**
 * `npm test`: types, lint, import directions, and every suite that needs neither root nor a cluster. Ends with the line
 * `N passed, M failed`. A suite whose program is missing is named with the package that brings it; with CI=true that is a
 * failure. Arguments are globs of test files, in place of all.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { join, relative } from "node:path";
import { run } from "node:test";
import { spec } from "node:test/reporters";
import { checkImports } from "./check-imports.ts";

const root = join(import.meta.dirname, "..");
const only = process.argv.slice(2);
const bin = (name: string) => join(root, "node_modules", ".bin", name);
let passed = 0;
let failed = 0;

function check(name: string, problems: string[]): void {
  if (problems.length === 0) {
    passed += 1;
    console.log(`✔ ${name}`);
  } else {
    failed += 1;
    console.log(`✖ ${name}\n${problems.map((problem) => `  ${problem}`).join("\n")}`);
  }
}

function command(name: string, program: string, args: string[]): void {
  const { status, stdout, stderr } = spawnSync(program, args, { cwd: root, encoding: "utf8" });
  check(name, status === 0 ? [] : `${stdout}${stderr}`.trim().split("\n"));
}

if (only.length === 0) {
  command("types", bin("tsc"), ["-p", "tsconfig.json"]);
  command("lint and format", bin("biome"), ["check", "--error-on-warnings", "."]);
  check("import directions", checkImports(root));
}

const patterns = only.length > 0 ? only : ["packages/*/test/**/*.test.ts", "test/{model,e2e,contract}/**/*.test.ts"];
const files = patterns
  .flatMap((pattern) => globSync(pattern, { cwd: root }))
  .map((file) => join(root, file))
  .sort();
const missing = new Map<string, string[]>();
const stream = run({ files, concurrency: Math.max(2, availableParallelism()), cwd: root, timeout: 300_000 });
stream.on("test:pass", ({ name, details, skip, file }) => {
  const program = typeof skip === "string" ? /^missing program: (.*)$/.exec(skip)?.[1] : undefined;
  // a whole suite may be skipped, which then has no tests
  if (program !== undefined)
    missing.set(program, [...(missing.get(program) ?? []), `${relative(root, file ?? "")}: ${name}`]);
  else if (details.type !== "suite" && skip === undefined) passed += 1;
});
stream.on("test:fail", ({ details }) => {
  if (details.type !== "suite") failed += 1;
});
stream.compose(spec()).pipe(process.stdout);
await new Promise((resolve) => stream.on("end", resolve));

for (const [program, tests] of missing) console.log(`not run for want of ${program}:\n  ${tests.join("\n  ")}`);
if (missing.size > 0 && process.env.CI === "true") failed += missing.size;
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 && passed > 0 ? 0 : 1;
