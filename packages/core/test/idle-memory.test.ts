import assert from "node:assert/strict";
import { suite, test } from "node:test";
import { IdleMemory } from "../src/idle-memory.ts";
import { ManualClock } from "../src/testing.ts";

const MIB = 1_024 ** 2;

suite("memory of an idle process", () => {
  function world(collects = true) {
    const clock = new ManualClock();
    const state = { cpuMs: 500, spareBytes: 8 * MIB, collected: 0 };
    const collect = () => {
      state.collected += 1;
      state.spareBytes = MIB;
      state.cpuMs += 20;
    };
    const memory = new IdleMemory({
      clock,
      cpuMs: () => state.cpuMs,
      spareBytes: () => state.spareBytes,
      ...(collects ? { collect } : {}),
    });
    memory.start();
    return { clock, memory, state };
  }

  test("is given back once, and again after something has happened", async () => {
    const { clock, memory, state } = world();
    await clock.advance(20_000);
    assert.equal(state.collected, 1);
    await clock.advance(600_000);
    assert.equal(state.collected, 1);
    state.spareBytes = 5 * MIB;
    await clock.advance(20_000);
    assert.equal(state.collected, 2);
    memory.close();
    state.spareBytes = 5 * MIB;
    await clock.advance(60_000);
    assert.equal(state.collected, 2);
  });

  test("is left alone where a collection has left it, however much that is", async () => {
    const { clock, memory, state } = world();
    // a large heap is never full: its pages are shared with what is used
    let kept = 9 * MIB;
    Object.defineProperty(state, "spareBytes", { get: () => kept, set: () => {} });
    await clock.advance(600_000);
    assert.equal(state.collected, 1);
    kept = 5 * MIB;
    await clock.advance(20_000);
    assert.equal(state.collected, 1, "swept by now");
    kept = 8 * MIB;
    await clock.advance(600_000);
    assert.equal(state.collected, 2);
    memory.close();
  });

  test("is given back no more than every five minutes", async () => {
    const { clock, memory, state } = world();
    let spare = 0;
    // what has grown again is there at each look
    Object.defineProperty(state, "spareBytes", { get: () => (spare += 4 * MIB), set: () => {} });
    await clock.advance(3_600_000);
    assert.ok(state.collected >= 11 && state.collected <= 12, String(state.collected));
    memory.close();
  });

  test("is left alone while there is work", async () => {
    const { clock, memory, state } = world();
    for (let round = 0; round < 5; round += 1) {
      state.cpuMs += 400;
      await clock.advance(20_000);
    }
    assert.equal(state.collected, 0);
    await clock.advance(20_000);
    assert.equal(state.collected, 1);
    memory.close();
  });

  test("is V8's own affair in a process that may not collect", async () => {
    assert.equal(globalThis.gc, undefined, "the tests run without --expose-gc");
    const { clock, memory } = world(false);
    await clock.advance(60_000);
    assert.equal(clock.pendingTimers, 0);
    memory.close();
  });
});
