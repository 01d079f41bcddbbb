import assert from "node:assert/strict";
import { suite, test } from "node:test";
import fc from "fast-check";
import { Timetable } from "../../src/engine/timetable.ts";

const intervalMs = 30_000;
const slots = 30;
const nowMs = Date.UTC(2026, 2, 2, 12);
const table = (phaseMs = 0) => new Timetable({ intervalMs, slots, phaseMs, nowMs });

suite("when policies are due", () => {
  test("each once in an interval, at its own place", () => {
    const times = table();
    times.put("a", 5_000);
    times.put("b", 5_999);
    times.put("c", 20_000);
    assert.deepEqual([times.size, times.slotMs, times.intervalMs], [3, 1_000, intervalMs]);
    assert.deepEqual(times.due(nowMs + 4_999), []);
    assert.deepEqual(times.due(nowMs + 5_000), ["a", "b"]);
    assert.deepEqual(times.due(nowMs + 5_999), []);
    assert.deepEqual(times.due(nowMs + 20_000), ["c"]);
    assert.deepEqual(times.due(nowMs + 34_999), []);
    assert.deepEqual(times.due(nowMs + 35_000), ["a", "b"]);
  });

  test("the phase of a replica moves all places", () => {
    const times = table(2_000);
    times.put("a", 5_000);
    assert.deepEqual(times.due(nowMs + 2_999), []);
    assert.deepEqual(times.due(nowMs + 3_000), ["a"]);
  });

  test("one that has another place now is due there, and not where it was", () => {
    const times = table();
    times.put("a", 5_000);
    times.put("a", 10_000);
    assert.equal(times.size, 1);
    assert.deepEqual(times.due(nowMs + 9_999), []);
    assert.deepEqual(times.due(nowMs + 10_000), ["a"]);
  });

  test("one in a hurry is due the next time, once, and then in its turn", () => {
    const times = table();
    times.put("a", 5_000);
    times.hurry("a");
    times.hurry("nobody");
    assert.deepEqual(times.due(nowMs), ["a"]);
    assert.deepEqual(times.due(nowMs + 1_000), []);
    assert.deepEqual(times.due(nowMs + 5_000), ["a"]);
    times.hurry("a");
    assert.deepEqual(times.due(nowMs + 35_000), ["a"]);
  });

  test("one that is gone is due no more, however much it hurried", () => {
    const times = table();
    times.put("a", 5_000);
    times.hurry("a");
    times.remove("a");
    times.remove("a");
    assert.deepEqual([times.due(nowMs + intervalMs), times.size], [[], 0]);
  });

  test("after a long pause everybody is due once, and after a clock that was set back nobody twice", () => {
    const times = table();
    for (let index = 0; index < slots; index += 1) times.put(`p${index}`, index * 1_000);
    assert.equal(times.due(nowMs + 100 * intervalMs).length, slots);
    assert.deepEqual(times.due(nowMs + 100 * intervalMs), []);
    // an hour back, to the place of p7
    assert.deepEqual(times.due(nowMs + 100 * intervalMs - 3_600_000 + 7_000), ["p7"]);
    assert.deepEqual(times.due(nowMs + 100 * intervalMs - 3_600_000 + 8_000), ["p8"]);
  });

  test("whenever it is asked, nobody waits longer than an interval and a slot, nor comes twice in less", () => {
    const pauses = fc.array(fc.integer({ min: 1, max: 3_000 }), { minLength: 1, maxLength: 100 });
    const offset = fc.integer({ min: 0, max: intervalMs - 1 });
    fc.assert(
      fc.property(pauses, offset, offset, (steps, offsetMs, phaseMs) => {
        const times = table(phaseMs);
        times.put("a", offsetMs);
        let now = nowMs;
        let last: number | undefined;
        for (const step of steps) {
          now += step;
          const due = times.due(now).length;
          assert.ok(due <= 1);
          if (due === 1) {
            // asked late once and in time then, it may come sooner by as long as nobody asked
            if (last !== undefined) assert.ok(now - last > intervalMs - 3_000 - 1_000);
            last = now;
          }
          assert.ok(now - (last ?? nowMs) <= intervalMs + 1_000 + 3_000);
        }
      }),
    );
  });
});
