import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { type TestContext, test } from "node:test";

const run = (t: TestContext, program: string): ChildProcess => {
  const stdio = ["ignore", "pipe", "inherit"] as const;
  const child = spawn(process.execPath, ["--input-type=module", "-e", program], {
    cwd: import.meta.dirname,
    stdio: [...stdio],
  });
  t.after(() => child.kill("SIGKILL"));
  return child;
};

for (const [signal, code] of [
  ["SIGTERM", 143],
  ["SIGINT", 130],
] as const)
  test(`a program ends by ${signal} while it is loaded`, { timeout: 20_000 }, async (t) => {
    const child = run(
      t,
      `import { launch } from "@elasti/core/launch";
      await launch("slow", () => new Promise(() => setInterval(() => {}, 1_000) && process.stdout.write("loading")));`,
    );
    const exit = once(child, "exit");
    await once(child.stdout!, "data");
    child.kill(signal);
    // and not by the signal itself, which the first process of a container would overlook
    assert.deepEqual(await exit, [code, null]);
  });

test("a program that listens for signals itself ends as it wants to", { timeout: 20_000 }, async (t) => {
  const child = run(
    t,
    `import { Lifecycle, runUntilSignal, silentLogger } from "@elasti/core";
    import { launch } from "@elasti/core/launch";
    const lifecycle = new Lifecycle(silentLogger);
    const alive = setInterval(() => {}, 1_000);
    lifecycle.add("one", { start: () => void process.stdout.write("started"), close: () => clearInterval(alive) });
    await launch("quick", async () => ({ main: () => runUntilSignal(lifecycle, silentLogger) }));`,
  );
  const exit = once(child, "exit");
  await once(child.stdout!, "data");
  child.kill("SIGTERM");
  assert.deepEqual(await exit, [0, null]);
});
