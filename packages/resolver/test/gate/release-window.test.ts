import assert from "node:assert/strict";
import { test } from "node:test";
import { LearningWindow } from "../../src/gate/release-window.ts";

test("keeps to the limit of the spec, whatever it is now", () => {
  let limit = 2;
  const window = new LearningWindow(() => limit);
  assert.equal(window.hasRoom(1), true);
  assert.equal(window.hasRoom(2), false);
  limit = 3;
  assert.equal(window.hasRoom(2), true);
});

test("after a refusal sends no more than the pod took, and one more with every answer", () => {
  const window = new LearningWindow(() => Number.POSITIVE_INFINITY);
  assert.equal(window.hasRoom(100_000), true);
  window.refused(64);
  assert.equal(window.hasRoom(64), false);
  assert.equal(window.hasRoom(63), true);
  window.answered();
  assert.equal(window.hasRoom(64), true);
  window.refused(0);
  assert.equal(window.hasRoom(0), true);
  assert.equal(window.hasRoom(1), false);
  for (let i = 0; i < 1_000; i++) window.answered();
  assert.equal(window.hasRoom(100_000), true);
});
