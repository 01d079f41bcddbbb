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

const leaky = `
  import { createServer } from "node:net";
  import { createLogger, Lifecycle, runUntilSignal } from "@elasti/core";
  const lifecycle = new Lifecycle(createLogger({ name: "leaky" }));
  createServer().listen(0, "127.0.0.1");
  lifecycle.add("nothing", { start: () => void process.stdout.write("starting"), close: () => {} });
  process.exitCode = await runUntilSignal(lifecycle, createLogger({ name: "leaky" }));
`;

test("a process in which something stays open says what, and goes all the same", { timeout: 20_000 }, async (t) => {
  const child = spawn(process.execPath, ["--input-type=module", "-e", leaky], {
    cwd: import.meta.dirname,
    stdio: ["ignore", "pipe", "inherit"],
  });
  t.after(() => child.kill("SIGKILL"));
  let said = "";
  child.stdout.on("data", (chunk) => {
    said += chunk;
  });
  const exit = once(child, "exit");
  await once(child.stdout, "data");
  child.kill("SIGTERM");
  assert.deepEqual(await exit, [0, null]);
  assert.match(said, /"open":\[[^\]]*"TCPServerWrap"/);
});

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
