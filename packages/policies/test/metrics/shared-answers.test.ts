import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { SharedAnswers } from "../../src/metrics/shared-answers.ts";

const signal = new AbortController().signal;

function shared(more: { concurrency?: number; maxEntries?: number } = {}) {
  const clock = new ManualClock();
  const answers = new SharedAnswers<number>({ clock, keepMs: 1_000, concurrency: 2, maxEntries: 3, ...more });
  return { clock, answers };
}

describe("answers that are shared", () => {
  it("asks once per round, whoever asks", async () => {
    const { clock, answers } = shared();
    let asked = 0;
    const ask = async () => ++asked;
    assert.deepEqual(await Promise.all([1, 2, 3].map(() => answers.get("a", ask, signal))), [1, 1, 1]);
    await clock.advance(999);
    assert.equal(await answers.get("a", ask, signal), 1);
    await clock.advance(1);
    assert.equal(await answers.get("a", ask, signal), 2);
    await answers.close();
  });

  it("has a bound for what is asked at once, and for what waits", async () => {
    const { clock, answers } = shared();
    let running = 0;
    let most = 0;
    const gate = Promise.withResolvers<void>();
    const ask = async () => {
      most = Math.max(most, ++running);
      await gate.promise;
      return --running;
    };
    const waiting = ["a", "b", "c"].map((key) => answers.get(key, ask, signal));
    assert.equal(await answers.get("d", ask, signal), undefined);
    gate.resolve();
    await Promise.all(waiting);
    assert.equal(most, 2);
    // what is old makes room
    await clock.advance(1_000);
    assert.equal(await answers.get("d", async () => 7, signal), 7);
    await answers.close();
  });

  it("lets one who asks leave without taking the answer from the others", async () => {
    const { answers } = shared();
    const gate = Promise.withResolvers<number>();
    const leaving = new AbortController();
    const left = answers.get("a", () => gate.promise, leaving.signal);
    const stays = answers.get("a", () => gate.promise, signal);
    leaving.abort(new Error("left"));
    await assert.rejects(left, /left/);
    gate.resolve(5);
    assert.equal(await stays, 5);
    await answers.close();
  });

  it("ends what is under way when it is closed", async () => {
    const { answers } = shared();
    const waiting = answers.get(
      "a",
      (closed) => new Promise((_, reject) => closed.addEventListener("abort", () => reject(closed.reason))),
      signal,
    );
    await answers.close();
    await assert.rejects(waiting, /closed/);
    await assert.rejects(
      answers.get("b", async () => 1, signal),
      /closed/,
    );
  });
});
