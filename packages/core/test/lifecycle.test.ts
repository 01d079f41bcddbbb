import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { test } from "node:test";

/** Waits to be started, for ever, as a process does whose API server is not there. */
const program = `
  import { Lifecycle, runUntilSignal, silentLogger } from "@elasti/core";
  const lifecycle = new Lifecycle(silentLogger);
  const started = Promise.withResolvers();
  const alive = setInterval(() => {}, 1_000);
  lifecycle.add("API server", {
    start: () => {
      process.stdout.write("starting");
      return started.promise;
    },
    close: () => {
      clearInterval(alive);
      started.reject(new Error("closed"));
    },
  });
  process.exitCode = await runUntilSignal(lifecycle, silentLogger);
`;

test("a process that is told to stop while it starts closes what it has, and goes", { timeout: 20_000 }, async (t) => {
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  const exit = once(child, "exit");
  await once(child.stdout, "data");
  child.kill("SIGTERM");
  assert.deepEqual(await exit, [0, null]);
});
