import assert from "node:assert/strict";
import { test } from "node:test";
import { API_VERSION, type ElastiService, KIND, type Phase } from "@elasti/api";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import type { Scaler, Verdict } from "@elasti/scaling";
import { SleepLoop } from "../src/sleep-loop.ts";

const INTERVAL_MS = 1_000;
const KEY = "default/web";

/** A loop over one service, whose phase and verdict are set by the test; gives the news of each round. */
function loopOf(clock: ManualClock) {
  const now = { phase: "Asleep" as Phase, kind: "Idle" as Verdict["kind"], reason: "BelowThreshold" };
  const news: boolean[] = [];
  const es = {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { namespace: "default", name: "web" },
    spec: { service: "web", scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
  } as ElastiService;
  const verdict = async (): Promise<Verdict> => ({
    kind: now.kind,
    reason: now.reason,
    message: "",
    sampledAtMs: clock.now(),
  });
  const loop = new SleepLoop({
    clock,
    logger: silentLogger,
    intervalMs: INTERVAL_MS,
    concurrency: 1,
    elastiService: () => ({ ...es, status: { phase: now.phase } }) as ElastiService,
    scalerFor: () =>
      ({ shouldScaleToZero: verdict, shouldScaleFromZero: verdict, close: async () => {} }) as unknown as Scaler,
    onVerdict: (_key, _verdict, isNews) => news.push(isNews),
  });
  loop.start();
  loop.watch(KEY);
  return { loop, now, news };
}

test("tells of a target that sleeps on once in ten rounds, and of every change at once", async () => {
  const clock = new ManualClock();
  const { loop, now, news } = loopOf(clock);
  const next = async (rounds: number): Promise<boolean[]> => {
    news.length = 0;
    await clock.advance(rounds * INTERVAL_MS);
    return [...news];
  };
  // the first comes at once, and the turn in the interval after it
  await clock.advance(INTERVAL_MS);
  assert.equal(news[0], true);
  const quiet = await next(20);
  assert.deepEqual([quiet.length, quiet.filter(Boolean).length], [20, 2]);
  now.reason = "NoTraffic";
  assert.deepEqual(await next(2), [true, false]);
  now.kind = "Active";
  assert.deepEqual(await next(2), [true, true]);
  now.kind = "Unknown";
  assert.deepEqual(await next(2), [true, true]);
  now.kind = "Idle";
  assert.deepEqual(await next(2), [true, false]);
  // awake, what was seen last decides when it may sleep
  now.phase = "Serving";
  assert.deepEqual(await next(3), [true, true, true]);
  await loop.close();
  assert.equal(clock.pendingTimers, 0);
});
