import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { arbitrate, type Intent, type Observed } from "../src/index.ts";

const replicas = fc.integer({ min: 0, max: 12 });
const atLeastOne = fc.integer({ min: 1, max: 12 });
const by = fc.constantFrom("a", "b");
const plain = { noNullPrototype: true } as const;
const intent: fc.Arbitrary<Intent> = fc.oneof(
  fc.record({ actor: fc.constant("override" as const), ask: fc.constant("pin" as const), replicas, by }, plain),
  fc.record({ actor: fc.constant("override" as const), ask: fc.constant("at-least" as const), replicas, by }, plain),
  fc.record(
    { actor: fc.constant("override" as const), ask: fc.constantFrom("asleep" as const, "pause" as const), by },
    plain,
  ),
  fc.record(
    { actor: fc.constantFrom("hold" as const, "trigger" as const, "schedule" as const), replicas: atLeastOne },
    plain,
  ),
  fc.record({ actor: fc.constant("sleep" as const), reason: by }, plain),
  fc.tuple(replicas, replicas, fc.boolean(), by).map(
    ([a, b, open, who]): Intent => ({
      actor: "window",
      min: Math.min(a, b),
      ...(open ? {} : { max: Math.max(a, b) }),
      by: who,
    }),
  ),
  fc.record({ actor: fc.constant("cost" as const), max: replicas, by }, plain),
  fc.record({ actor: fc.constant("rule" as const), replicas, by, reason: by }, plain),
);
const intents = fc.array(intent, { maxLength: 7 });
const observed: fc.Arbitrary<Observed> = fc
  .tuple(replicas, fc.boolean(), fc.boolean(), fc.boolean(), replicas, replicas)
  .map(([now, named, autoscaled, movable, a, b]) => ({
    replicas: now,
    named,
    autoscaled,
    ...(movable ? { bounds: { min: Math.min(a, b), max: Math.max(a, b, 1) } } : {}),
  }));

const pin = (n: number): Intent => ({ actor: "override", ask: "pin", replicas: n, by: "ada" });
const atLeast = (n: number): Intent => ({ actor: "override", ask: "at-least", replicas: n });
const asleep: Intent = { actor: "override", ask: "asleep" };
const pause: Intent = { actor: "override", ask: "pause" };
const hold = (n: number): Intent => ({ actor: "hold", replicas: n });
const sleep: Intent = { actor: "sleep" };
const rule = (n: number, who = "r"): Intent => ({ actor: "rule", replicas: n, by: who });
const window = (min?: number, max?: number): Intent => ({
  actor: "window",
  ...(min === undefined ? {} : { min }),
  ...(max === undefined ? {} : { max }),
});
const cost = (max: number): Intent => ({ actor: "cost", max });

type Want = number | "nothing" | "zero by its door" | readonly [number, number];
function outcome(all: readonly Intent[], now: Observed): [Want, string] {
  const result = arbitrate(all, now);
  const { bounds } = result;
  if (bounds !== undefined) return [[bounds.min, bounds.max], result.winner];
  if (result.wantsZero === true) return ["zero by its door", result.winner];
  return [result.replicas ?? "nothing", result.winner];
}

describe("arbitrate, with policies, windows and overrides", () => {
  const up = (n: number): Observed => ({ replicas: n });
  const named = (n: number): Observed => ({ replicas: n, named: true });
  const hpa = (n: number, min: number, max: number): Observed => ({
    replicas: n,
    autoscaled: true,
    bounds: { min, max },
  });
  const rows: [string, Intent[], Observed, Want, string][] = [
    ["a rule moves up", [rule(5)], up(2), 5, "rule"],
    ["a rule moves down", [rule(2)], up(5), 2, "rule"],
    ["of rules the most capacity wins", [rule(2, "a"), rule(4, "b")], up(3), 4, "rule"],
    ["a window's floor raises", [window(3)], up(1), 3, "window"],
    ["a window's ceiling lowers", [window(1, 4)], up(9), 4, "window"],
    ["rules work inside the window", [window(2, 6), rule(4)], up(2), 4, "rule"],
    ["a window's floor cuts a rule", [window(3, 6), rule(1)], up(5), 3, "window"],
    ["a window's ceiling cuts a rule", [window(1, 6), rule(9)], up(5), 6, "window"],
    ["of windows the widest ceiling counts", [window(1, 3), window(1, 6), rule(9)], up(1), 6, "window"],
    ["a cost cuts a rule", [cost(3), rule(9)], up(1), 3, "cost"],
    ["the tighter of window and cost cuts", [window(1, 6), cost(3), rule(9)], up(1), 3, "cost"],
    ["a floor beats a cost", [cost(2), window(4)], up(1), 4, "window"],
    ["a cost of nothing leaves one", [cost(0), rule(5)], up(3), 1, "cost"],
    ["a cost leaves a wake its floor", [cost(0), hold(1)], named(0), 1, "hold"],
    ["a wake takes what a rule asks for with it", [hold(1), rule(4)], named(0), 4, "rule"],
    ["a wake lowers nothing for a rule", [hold(1), rule(2)], up(5), "nothing", "person"],
    ["a wake lowers nothing for a ceiling", [hold(1), window(1, 2)], up(5), "nothing", "person"],
    [
      "a rule's zero is no write where an ElastiService has the target",
      [rule(0)],
      named(3),
      "zero by its door",
      "person",
    ],
    ["a rule's zero is a write where none has", [rule(0)], up(3), 0, "rule"],
    ["a rule's zero ends at a window's floor", [rule(0), window(2)], named(5), 2, "window"],
    ["a rule's zero is nothing against a hold", [rule(0), hold(1)], named(3), "nothing", "person"],
    ["a rule does not wake", [rule(4)], named(0), "nothing", "person"],
    ["a rule wakes what has no ElastiService", [rule(4)], up(0), 4, "rule"],
    ["a ceiling does not wake", [window(0, 4)], named(0), "nothing", "person"],
    ["a window's floor wakes", [window(2, 4)], named(0), 2, "window"],
    ["sleep beats a rule", [sleep, rule(4)], named(2), 0, "sleep"],
    ["sleep beats a window's ceiling", [sleep, window(0, 4)], named(6), 0, "sleep"],
    ["a window's floor beats sleep", [sleep, window(2)], named(2), "nothing", "person"],
    ["a pin raises", [pin(6), rule(3)], up(2), 6, "override"],
    ["a pin lowers, against a hold too", [pin(2), hold(4), window(5)], up(5), 2, "override"],
    ["a pin wakes", [pin(2)], named(0), 2, "override"],
    ["of pins the most capacity wins", [pin(2), pin(4)], up(1), 4, "override"],
    ["a pin to zero is for the sleep machine", [pin(0), hold(1)], named(3), "zero by its door", "person"],
    ["a pin to zero of what has no ElastiService", [pin(0), rule(4)], up(3), 0, "override"],
    ["at least so many raises", [atLeast(4)], up(2), 4, "override"],
    ["at least so many lets rules go above", [atLeast(4), rule(7)], up(2), 7, "rule"],
    ["at least so many cuts a rule below", [atLeast(4), rule(1)], up(9), 4, "override"],
    ["at least so many wakes", [atLeast(2)], named(0), 2, "override"],
    ["at least so many beats sleep", [atLeast(1), sleep], named(3), "nothing", "person"],
    ["at least so many beats a ceiling", [atLeast(5), window(1, 2), cost(1)], up(1), 5, "override"],
    [
      "asleep outranks triggers, windows, rules",
      [asleep, { actor: "trigger", replicas: 1 }, window(3), rule(4)],
      named(2),
      "zero by its door",
      "person",
    ],
    ["asleep gives way to a hold", [asleep, hold(1)], named(0), 1, "hold"],
    ["asleep lets the sleep machine write", [asleep, sleep, window(3)], named(2), 0, "sleep"],
    [
      "a pause stops rules, windows and sleep",
      [pause, rule(4), window(5, 6), sleep, cost(1)],
      up(2),
      "nothing",
      "person",
    ],
    ["a pause lets holds wake", [pause, hold(2), window(5)], named(0), 2, "hold"],
    ["a pause stops triggers", [pause, { actor: "trigger", replicas: 1 }], named(0), "nothing", "person"],
    ["an autoscaler gets a rule as its least", [rule(4)], hpa(2, 1, 10), [4, 10], "rule"],
    ["an autoscaler's most follows its least", [rule(12)], hpa(2, 1, 10), [12, 12], "rule"],
    ["an autoscaler gets a window's both ends", [window(2, 5)], hpa(3, 1, 10), [2, 5], "window"],
    ["an autoscaler gets a rule within the window", [window(2, 5), rule(9)], hpa(3, 1, 10), [5, 5], "window"],
    ["an autoscaler that has the bounds is left alone", [window(2, 5)], hpa(3, 2, 5), "nothing", "person"],
    ["an autoscaler is pinned by both ends", [pin(3)], hpa(5, 1, 10), [3, 3], "override"],
    ["an autoscaler keeps a least that is higher", [atLeast(2)], hpa(5, 4, 10), "nothing", "person"],
    ["an autoscaler raises its least", [atLeast(6)], hpa(5, 4, 10), [6, 10], "override"],
    [
      "what was moved goes back where no window speaks of it",
      [window(2)],
      { ...hpa(5, 1, 4), ownBounds: { min: 1, max: 10 } },
      [2, 10],
      "window",
    ],
    ["an autoscaler whose bounds may not be moved", [rule(4)], { replicas: 2, autoscaled: true }, "nothing", "person"],
    ["at zero an autoscaler is off", [window(3)], { ...hpa(0, 1, 10), named: true }, 3, "window"],
  ];
  for (const [name, all, now, want, winner] of rows) {
    it(name, () => assert.deepEqual(outcome(all, now), [want, winner]));
  }

  it("tells what excludes what", () => {
    const clash = (...all: Intent[]) => arbitrate(all, up(3)).conflict;
    assert.equal(clash(window(4), cost(2)), "window asks for 4, cost allows 2: the floor stands");
    assert.equal(clash(pin(0), hold(2)), "override pins 0, hold asks for 2: the pin stands");
    assert.equal(clash(asleep, window(2)), "override asks for 0, window asks for 2: the override stands");
    assert.equal(clash(asleep, hold(1)), "hold asks for 1, override asks for 0: the floor stands");
    assert.equal(clash(rule(4), window(2, 6)), undefined);
  });

  it("says of each that lost why", () => {
    const { losers } = arbitrate([rule(9, "a"), rule(3, "b"), window(1, 6), cost(8)], up(1));
    assert.deepEqual(
      losers.map(({ intent: { actor }, why }) => [actor, why]),
      [
        ["cost", "already-so"],
        ["rule", "outranked"],
        ["rule", "less-capacity"],
      ],
    );
  });

  describe("a change by hand", () => {
    it("stands until another intent wins", () => {
      const { intent: last } = arbitrate([rule(5)], up(2));
      assert.deepEqual(outcome([rule(5)], { replicas: 3, last }), ["nothing", "person"]);
      assert.equal(arbitrate([rule(5)], { replicas: 3, last }).losers[0]?.why, "by-hand");
      assert.deepEqual(outcome([rule(6)], { replicas: 3, last }), [6, "rule"]);
      assert.deepEqual(outcome([rule(5, "other")], { replicas: 3, last }), [5, "rule"]);
    });

    it("stands on either side of a window, whichever side was moved before", () => {
      const { intent: last } = arbitrate([window(2, 5)], up(9));
      for (const n of [1, 4, 12])
        assert.deepEqual(outcome([window(2, 5)], { replicas: n, last }), ["nothing", "person"]);
    });

    it("stands at an autoscaler's bounds", () => {
      const { intent: last } = arbitrate([window(2, 5)], hpa(3, 1, 10));
      assert.deepEqual(outcome([window(2, 5)], { ...hpa(3, 3, 7), last }), ["nothing", "person"]);
    });

    it("does not stand against a hold, a trigger, or the floor outside the enabled period", () => {
      for (const actor of ["hold", "trigger", "schedule"] as const) {
        const all: Intent[] = [{ actor, replicas: 2 }];
        const { intent: last } = arbitrate(all, up(0));
        assert.deepEqual(outcome(all, { replicas: 0, last }), [2, actor]);
      }
    });

    it("is not told from the reason, which holds values", () => {
      const at = (reason: string): Intent[] => [{ actor: "rule", replicas: 5, by: "r", reason }];
      assert.equal(arbitrate(at("cpu is 91"), up(2)).intent, arbitrate(at("cpu is 92"), up(3)).intent);
    });
  });

  describe("for any intents", () => {
    const shuffled = intents.chain((all) =>
      fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length })),
    );
    it("does not depend on the order of arrival", () => {
      fc.assert(
        fc.property(shuffled, observed, ([all, other], now) =>
          assert.deepEqual(arbitrate(other, now), arbitrate(all, now)),
        ),
      );
    });

    it("has one door to zero where an ElastiService names the target", () => {
      fc.assert(
        fc.property(intents, observed, (all, now) => {
          const { replicas: n, bounds } = arbitrate(all, { ...now, named: true });
          assert.notEqual(bounds?.max, 0);
          if (n === 0) assert.ok(all.some(({ actor }) => actor === "sleep"));
        }),
      );
    });

    it("writes no zero against a hold, but by a pin", () => {
      fc.assert(
        fc.property(intents, observed, fc.integer({ min: 1, max: 4 }), (all, now, n) => {
          const result = arbitrate([...all, hold(n)], now);
          const pinned = all.some((one) => one.actor === "override" && one.ask === "pin");
          if (pinned) return;
          assert.notEqual(result.replicas, 0);
          assert.equal(result.wantsZero, undefined);
          if (now.replicas === 0) assert.ok((result.replicas ?? 0) >= n);
          if (result.replicas !== undefined) assert.ok(result.replicas > now.replicas);
        }),
      );
    });

    it("leaves /scale to the autoscaler from 1 up, and but for the sleep machine", () => {
      fc.assert(
        fc.property(intents, observed, atLeastOne, (all, now, n) => {
          const result = arbitrate(all, { ...now, replicas: n, autoscaled: true });
          if (result.replicas !== undefined) assert.equal(result.winner, "sleep");
          if (result.bounds !== undefined) assert.ok(result.bounds.min <= result.bounds.max);
        }),
      );
    });

    it("goes below no floor and above no ceiling that no floor exceeds", () => {
      const bounded = fc.array(
        intent.filter(({ actor }) => actor === "window" || actor === "cost" || actor === "rule"),
        { minLength: 1, maxLength: 6 },
      );
      fc.assert(
        fc.property(bounded, atLeastOne, (all, n) => {
          const result = arbitrate(all, { replicas: n, named: true });
          if (result.wantsZero === true) return;
          const after = result.replicas ?? n;
          const floor = Math.max(0, ...all.map((one) => (one.actor === "window" ? (one.min ?? 0) : 0)));
          const highest = (actor: "window" | "cost"): number => {
            const own = all.flatMap((one) => (one.actor === actor && one.max !== undefined ? [one.max] : []));
            return own.length === 0 ? Number.POSITIVE_INFINITY : Math.max(...own);
          };
          assert.ok(after >= Math.max(1, floor));
          assert.ok(after <= Math.max(1, floor, Math.min(highest("window"), highest("cost"))));
        }),
      );
    });

    it("has nothing more to do once what it said is done: at most a wake, and then the bounds", () => {
      fc.assert(
        fc.property(intents, observed, (all, now) => {
          let target: Observed = now;
          for (let count = 0; count < 2; count += 1) {
            const { replicas: n, bounds, intent: last } = arbitrate(all, target);
            target = { ...target, replicas: n ?? target.replicas, ...(bounds === undefined ? {} : { bounds }), last };
          }
          const { replicas: n, bounds } = arbitrate(all, { ...target, last: undefined, ownBounds: now.bounds });
          assert.deepEqual([n, bounds], [undefined, undefined]);
        }),
      );
    });

    it("accounts for every intent once", () => {
      fc.assert(
        fc.property(intents, observed, (all, now) => {
          const { winner, losers } = arbitrate(all, now);
          assert.equal(losers.length, all.length - (winner === "person" ? 0 : 1));
        }),
      );
    });
  });
});
