import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { arbitrate, type Intent } from "../src/index.ts";

const intent: fc.Arbitrary<Intent> = fc.oneof(
  fc.record(
    {
      actor: fc.constantFrom("hold" as const, "trigger" as const, "schedule" as const),
      replicas: fc.integer({ min: 1, max: 20 }),
      reason: fc.constantFrom("a", "b"),
    },
    { noNullPrototype: true },
  ),
  fc.record({ actor: fc.constant("sleep" as const), reason: fc.constantFrom("a", "b") }, { noNullPrototype: true }),
);
const observed = fc.record({ replicas: fc.integer({ min: 0, max: 20 }), autoscaled: fc.boolean() });

describe("arbitrate", () => {
  const rows: [string, Intent[], { replicas: number; autoscaled?: boolean }, number | undefined, string][] = [
    ["nobody asks: what is there stands", [], { replicas: 3 }, undefined, "person"],
    ["a hold wakes", [{ actor: "hold", replicas: 2 }], { replicas: 0 }, 2, "hold"],
    ["a trigger wakes", [{ actor: "trigger", replicas: 1 }], { replicas: 0 }, 1, "trigger"],
    ["a wake never lowers what a person wrote", [{ actor: "hold", replicas: 2 }], { replicas: 7 }, undefined, "person"],
    ["a wake raises to the minimum", [{ actor: "hold", replicas: 3 }], { replicas: 1 }, 3, "hold"],
    [
      "from 1 up an autoscaler is the one writer",
      [{ actor: "hold", replicas: 3 }],
      { replicas: 1, autoscaled: true },
      undefined,
      "person",
    ],
    ["at zero an autoscaler is off", [{ actor: "hold", replicas: 3 }], { replicas: 0, autoscaled: true }, 3, "hold"],
    ["the sleep machine alone reaches zero", [{ actor: "sleep" }], { replicas: 4 }, 0, "sleep"],
    ["zero is not written twice", [{ actor: "sleep" }], { replicas: 0 }, undefined, "sleep"],
    ["a hold beats sleep", [{ actor: "sleep" }, { actor: "hold", replicas: 1 }], { replicas: 1 }, undefined, "person"],
    ["the floor outside the period raises", [{ actor: "schedule", replicas: 3 }], { replicas: 1 }, 3, "schedule"],
    [
      "the floor outside the period forbids sleep",
      [{ actor: "sleep" }, { actor: "schedule", replicas: 1 }],
      { replicas: 2 },
      undefined,
      "person",
    ],
    [
      "a higher floor counts although a hold wins",
      [
        { actor: "hold", replicas: 1 },
        { actor: "schedule", replicas: 5 },
      ],
      { replicas: 0 },
      5,
      "hold",
    ],
  ];
  for (const [name, intents, now, replicas, winner] of rows) {
    it(name, () => {
      const result = arbitrate(intents, now);
      assert.deepEqual([result.replicas, result.winner], [replicas, winner]);
      assert.equal(result.losers.length, intents.length - (intents.length > 0 && winner !== "person" ? 1 : 0));
    });
  }

  it("records who wanted zero against a floor", () => {
    const result = arbitrate([{ actor: "sleep" }, { actor: "schedule", replicas: 1 }], { replicas: 2 });
    assert.match(result.conflict ?? "", /schedule asks for 1, sleep asks for 0/);
  });

  it("does not depend on the order of arrival", () => {
    fc.assert(
      fc.property(
        fc
          .array(intent, { maxLength: 6 })
          .chain((all) => fc.tuple(fc.constant(all), fc.shuffledSubarray(all, { minLength: all.length }))),
        observed,
        ([all, shuffled], now) => assert.deepEqual(arbitrate(shuffled, now), arbitrate(all, now)),
      ),
    );
  });

  it("never lowers except to zero, and to zero only when the sleep machine alone asks", () => {
    fc.assert(
      fc.property(fc.array(intent, { maxLength: 6 }), observed, (all, now) => {
        const { replicas } = arbitrate(all, now);
        if (replicas === 0) assert.ok(all.length > 0 && all.every(({ actor }) => actor === "sleep"));
        else if (replicas !== undefined) assert.ok(replicas > now.replicas);
      }),
    );
  });
});
