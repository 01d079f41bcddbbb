import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createInterface } from "node:readline";
import { test } from "node:test";
import { isRunning, untilEnded } from "./fixtures.ts";

const guardModule = new URL("../../src/node/orphan-guard.ts", import.meta.url).href;
const containerModule = new URL("../../src/node/container-process.ts", import.meta.url).href;

const script = `
import { silentLogger } from "@elasti/core";
import { OrphanGuard } from ${JSON.stringify(guardModule)};
import { ContainerProcess } from ${JSON.stringify(containerModule)};
const guard = new OrphanGuard(silentLogger);
const run = await ContainerProcess.start({
  argv: ["/bin/sh", "-c", "sleep 1000 & sleep 1000"], env: { PATH: "/usr/bin:/bin" }, guard,
  output: { file: process.argv[1] },
});
console.log(run.pid);
setInterval(() => {}, 1000);
`;

test("pods die with the process that runs them, even when that is killed with SIGKILL", async () => {
  const parent = spawn(process.execPath, ["--input-type=module-typescript", "-e", script, "/dev/null"], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "pipe", "inherit"],
  });
  const [line] = await once(createInterface({ input: parent.stdout }), "line");
  const pod = Number(line);
  assert.ok(isRunning(pod));
  parent.kill("SIGKILL");
  await untilEnded(pod);
});
