// Makes a fresh clone complete before an npm script runs: installs the locked packages when they are missing or older
// than the lockfile, and checks that the Node.js they bring can start. Runs under any Node.js from 14 on, so it uses
// no package and no syntax newer than that.
import { execFileSync, spawnSync } from "node:child_process";
import { existsSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const root = fileURLToPath(new URL("../../../", import.meta.url));
const installed = join(root, "node_modules", ".package-lock.json");
const node = join(root, "node_modules", ".bin", "node");

function fail(line) {
  process.stderr.write(`elasti: ${line}\n`);
  process.exit(1);
}

const lock = join(root, "package-lock.json");
if (!existsSync(installed) || statSync(installed).mtimeMs < statSync(lock).mtimeMs) {
  process.stderr.write("elasti: installing the locked packages (npm ci)\n");
  const npm = process.env.npm_execpath;
  const [command, prefix] = npm ? [process.execPath, [npm]] : ["npm", []];
  const { status } = spawnSync(command, [...prefix, "ci", "--no-audit", "--no-fund", "--loglevel=error"], {
    cwd: root,
    stdio: ["ignore", 2, 2],
  });
  if (status !== 0) fail("npm ci failed; its message is above");
}

if (!existsSync(node)) {
  fail(
    `no Node.js 26 package exists for ${process.platform}-${process.arch}: install Node.js 26 or newer and put it first on the PATH`,
  );
}
try {
  execFileSync(node, ["--version"], { stdio: ["ignore", "ignore", "pipe"] });
} catch (error) {
  const text = String(error.stderr || error.message);
  if (text.includes("libatomic"))
    fail("Node.js 26 needs the library libatomic.so.1: install it (Debian: apt-get install libatomic1)");
  fail(`Node.js 26 does not start here: ${text.trim().split("\n")[0]}`);
}
