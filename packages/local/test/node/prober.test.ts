import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import type { Probe } from "@elasti/kube";
import { Prober } from "../../src/node/prober.ts";
import { RestartBackoff } from "../../src/node/restart-backoff.ts";

function setup(probe: Probe, results: boolean[]) {
  const clock = new ManualClock();
  const began = clock.now();
  const attempts: number[] = [];
  const outcomes: string[] = [];
  const prober = new Prober({
    probe,
    clock,
    startedAt: clock.monotonic(),
    attempt: async () => {
      attempts.push(clock.now() - began);
      return (results.shift() ?? true) ? { ok: true } : { ok: false, message: "no" };
    },
    onOutcome: (ok) => outcomes.push(`${clock.now() - began} ${ok}`),
  });
  prober.start();
  return { clock, attempts, outcomes, prober };
}

test("attempts once at once and then once per period", async () => {
  const { clock, attempts, outcomes, prober } = setup({ periodSeconds: 10 }, [false, true]);
  await clock.advance(25_000);
  assert.deepEqual(attempts, [0, 10_000, 20_000]);
  assert.deepEqual(outcomes, ["10000 true", "20000 true"]);
  prober.close();
  assert.equal(clock.pendingTimers, 0);
});

test("skips the attempts before initialDelaySeconds and keeps the rhythm", async () => {
  const { clock, attempts, prober } = setup({ periodSeconds: 10, initialDelaySeconds: 12 }, []);
  await clock.advance(30_000);
  assert.deepEqual(attempts, [20_000, 30_000]);
  prober.close();
});

test("an outcome needs its threshold of equal results in a row", async () => {
  const results = [false, false, true, false, false, false, true, true];
  const probe = { periodSeconds: 1, failureThreshold: 3, successThreshold: 2 };
  const { clock, outcomes, prober } = setup(probe, results);
  await clock.advance(7_000);
  assert.deepEqual(outcomes, ["5000 false", "7000 true"]);
  prober.close();
});

test("restarts wait 0, 10, 20, 40 s and so on up to 5 min, until a long run", () => {
  const backoff = new RestartBackoff({ initialMs: 10_000, maxMs: 300_000 });
  const delays = Array.from({ length: 8 }, () => backoff.next(5));
  assert.deepEqual(delays, [0, 10_000, 20_000, 40_000, 80_000, 160_000, 300_000, 300_000]);
  assert.equal(backoff.next(600_000), 0);
});
