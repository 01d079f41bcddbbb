import assert from "node:assert/strict";
import { afterEach, test } from "node:test";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { kubeErrors, WorkQueue, type WorkQueueOptions } from "../src/index.ts";

let queue: WorkQueue;
let clock: ManualClock;

function make(options: Partial<WorkQueueOptions> = {}): WorkQueue {
  clock = new ManualClock();
  queue = new WorkQueue({ clock, logger: silentLogger, random: () => 1, ...options });
  return queue;
}

afterEach(async () => {
  await queue.close({ deadlineMs: 0 });
  assert.equal(clock.pendingTimers, 0);
});

test("handles a key once however often it was added", async () => {
  const handled: string[] = [];
  make();
  for (const key of ["a", "b", "a", "a"]) queue.add(key);
  queue.start(async (key) => void handled.push(key));
  await queue.onIdle();
  assert.deepEqual(handled, ["a", "b"]);
});

test("never handles one key twice at once, and again when it was added meanwhile", async () => {
  let now = 0;
  let most = 0;
  let times = 0;
  make({ concurrency: 8 });
  queue.start(async (key) => {
    now += 1;
    most = Math.max(most, now);
    times += 1;
    if (times < 3) {
      queue.add(key);
      queue.add(key);
    }
    await new Promise((resolve) => setImmediate(resolve));
    now -= 1;
  });
  queue.add("a");
  await queue.onIdle();
  assert.deepEqual([most, times], [1, 3]);
});

test("handles several keys at once, up to the bound", async () => {
  const gate = Promise.withResolvers<void>();
  make({ concurrency: 3 });
  queue.start(async () => await gate.promise);
  for (let i = 0; i < 10; i++) queue.add(`key-${i}`);
  await clock.advance(0);
  assert.deepEqual([queue.running, queue.waiting], [3, 7]);
  gate.resolve();
  await queue.onIdle();
});

test("tries a key that fails again, after pauses that grow, until it succeeds", async () => {
  const at: number[] = [];
  make({ backoff: { minMs: 100, maxMs: 60_000 } });
  const started = clock.now();
  queue.start(async () => {
    at.push(clock.now() - started);
    if (at.length < 4) throw new Error("not yet");
  });
  queue.add("a");
  await clock.advance(10_000);
  assert.deepEqual(at, [0, 100, 300, 700]);
  assert.equal(queue.retries("a"), 0);
});

test("calls again after the time that the handler asks for; the earliest wish holds", async () => {
  const at: number[] = [];
  make();
  const started = clock.now();
  queue.start(async () => {
    at.push(clock.now() - started);
    return at.length === 1 ? { requeueAfterMs: 5_000 } : undefined;
  });
  queue.add("a");
  await clock.advance(1);
  queue.addAfter("a", 9_000);
  assert.equal(queue.delayed, 1);
  await clock.advance(20_000);
  assert.deepEqual(at, [0, 5_000]);
  queue.addAfter("a", 9_000);
  queue.addAfter("a", 1_000);
  await clock.advance(20_000);
  assert.deepEqual(at.slice(2), [21_001]);
});

test("close() waits for a running handler and drops what waits", async () => {
  const gate = Promise.withResolvers<void>();
  const handled: string[] = [];
  make({ concurrency: 1 });
  queue.start(async (key) => {
    await gate.promise;
    handled.push(key);
  });
  queue.add("a");
  queue.add("b");
  await clock.advance(0);
  const closed = queue.close();
  queue.add("c");
  gate.resolve();
  await closed;
  assert.deepEqual(handled, ["a"]);
});

test("close() leaves a handler that does not end, and tells it by its signal", async () => {
  const gate = Promise.withResolvers<void>();
  let signal: AbortSignal | undefined;
  make();
  queue.start(async (_key, given) => {
    signal = given;
    await gate.promise;
  });
  queue.add("a");
  await clock.advance(0);
  const closed = queue.close({ deadlineMs: 1_000 });
  await clock.advance(999);
  assert.equal(signal!.aborted, false);
  await clock.advance(1);
  await closed;
  assert.equal(signal!.aborted, true);
  gate.resolve();
});

test("waits for as long as a busy server asks, within bounds", async () => {
  const at: number[] = [];
  make();
  queue.start(async () => {
    at.push(clock.monotonic());
    const details = { retryAfterMs: at.length === 1 ? 7_000 : 3_600_000 };
    throw kubeErrors.ELASTI_KUBE_TOO_MANY_REQUESTS("busy", { details });
  });
  queue.add("a");
  await queue.onIdle();
  for (let elapsed = 0; elapsed < 310_000; elapsed += 1_000) await clock.advance(1_000);
  assert.deepEqual(
    at.map((time) => time - at[0]!),
    [0, 7_000, 307_000],
  );
});
