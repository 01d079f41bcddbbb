/**
 * `npm test`: types, lint, import directions, and every suite that needs neither root nor a cluster. Ends with the line
 * `N passed, M failed`. A suite whose program is missing is named with the package that brings it; with CI=true that is a
 * failure. Arguments are globs of test files, in place of all.
 */
import { spawnSync } from "node:child_process";
import { globSync } from "node:fs";
import { join } from "node:path";
import { checkImports } from "./check-imports.ts";
import { conclude, runFiles } from "./run-files.ts";

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

const everywhere = [
  "packages/*/test/**/*.test.ts",
  "test/{model,e2e,contract,alerts}/**/*.test.ts",
  "test/{keda,metrics}/*.test.ts",
];
const patterns = only.length > 0 ? only : everywhere;
const files = patterns.flatMap((pattern) => globSync(pattern, { cwd: root })).sort();
const counts = await runFiles(files);
if (only.length === 0)
  console.log(
    "npm run test:cluster (root, Go, containerd) runs the end-to-end suites on a whole real Kubernetes, and what only that can show",
  );
conclude({ ...counts, passed: counts.passed + passed, failed: counts.failed + failed });
