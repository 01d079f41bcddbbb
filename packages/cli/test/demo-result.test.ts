import assert from "node:assert/strict";
import { test } from "node:test";
import { exitCodeOf, percentile, type RequestOutcome, resultOf } from "../src/demo/result.ts";

test("a percentile is a value that was measured (nearest rank)", () => {
  assert.equal(percentile([30, 10, 20], 0.5), 20);
  assert.equal(percentile([30, 10, 20], 0.99), 30);
  assert.equal(percentile([10, 20], 0.5), 10);
  assert.equal(percentile([7], 0), 7);
  assert.equal(percentile([], 0.5), 0);
});

const answered = (direct: boolean): RequestOutcome => ({ ok: true, direct, elapsedMs: 1 });
const run = {
  cycles: 3,
  requests: [answered(false), answered(true), answered(true)],
  coldStarts: [
    { elapsedMs: 580.26, overheadMs: 12.34 },
    { elapsedMs: 600, overheadMs: 20 },
    { elapsedMs: 570, overheadMs: 9 },
  ],
  routing: "SelectorSwap",
  idleDecision: "prometheus",
  asleepAgain: true,
} as const;

test("sums up a run, with the keys in their order", () => {
  assert.equal(
    JSON.stringify(resultOf(run)),
    '{"cycles":3,"requests":3,"directRequests":2,"failed":0,"routing":"SelectorSwap","idleDecision":"prometheus",' +
      '"coldStartMs":{"p50":580.3,"max":600},"overheadMs":{"p50":12.3,"p99":20},"asleepAgain":true}',
  );
  assert.equal(exitCodeOf(resultOf(run)), 0);
});

test("a failed request, or a service that stays awake, makes the demo fail", () => {
  const failed = resultOf({ ...run, requests: [...run.requests, { ok: false, direct: false, elapsedMs: 5 }] });
  assert.equal(failed.failed, 1);
  assert.equal(exitCodeOf(failed), 1);
  assert.equal(exitCodeOf(resultOf({ ...run, asleepAgain: false })), 1);
});
