import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { formatOverride, overrideAt, overrideIntent, overrideText, parseOverride } from "../src/index.ts";

const now = Date.UTC(2026, 11, 24, 12);
const until = "2026-12-24T18:00:00Z";
const record = (more: Record<string, unknown> = {}): string =>
  JSON.stringify({ kind: "awake", until, by: "ada", ...more });

describe("an override", () => {
  it("stands until its moment, and not at it", () => {
    const end = Date.parse(until);
    assert.deepEqual(
      [now, end - 1, end, end + 1].map((at) => overrideAt(record(), at).state),
      ["active", "active", "expired", "expired"],
    );
  });

  it("is none where there is no annotation", () => assert.deepEqual(overrideAt(undefined, now), { state: "none" }));

  const good: [string, Record<string, unknown>, string][] = [
    ["a pin", { kind: "pin", replicas: 3 }, "pin 3 until 2026-12-24T18:00:00Z by ada"],
    ["a pin to zero", { kind: "pin", replicas: 0 }, "pin 0 until 2026-12-24T18:00:00Z by ada"],
    [
      "a floor, with why",
      { kind: "at-least", replicas: 2, reason: "a launch" },
      "at-least 2 until 2026-12-24T18:00:00Z by ada: a launch",
    ],
    [
      "another zone",
      { kind: "pause", until: "2026-12-24T18:00:00+02:00" },
      "pause until 2026-12-24T18:00:00+02:00 by ada",
    ],
    [
      "a fraction",
      { kind: "asleep", until: "2026-12-24T18:00:00.250Z" },
      "asleep until 2026-12-24T18:00:00.250Z by ada",
    ],
    ["a leap day", { until: "2028-02-29T00:00:00Z" }, "awake until 2028-02-29T00:00:00Z by ada"],
  ];
  for (const [name, more, text] of good) {
    it(`can say ${name}`, () => {
      const at = Math.max(now, Date.parse(String(more.until ?? until)) - 86_400_000);
      const override = parseOverride(record(more), at);
      assert.equal(overrideText(override), text);
      assert.deepEqual(parseOverride(formatOverride(override), at), override);
    });
  }

  const bad: [string, string, string[]][] = [
    ["no JSON", "awake until friday", [""]],
    ["no object", "[]", [""]],
    ["null", "null", [""]],
    ["too long a text", record({ reason: "x".repeat(5_000) }), [""]],
    ["no end", record({ until: undefined }), ["until"]],
    ["an end that is no moment", record({ until: "friday" }), ["until"]],
    ["an end without a zone", record({ until: "2026-12-24T18:00:00" }), ["until"]],
    ["a day that there is not", record({ until: "2027-02-30T18:00:00Z" }), ["until"]],
    ["a number as its end", record({ until: 1_800_000_000 }), ["until"]],
    ["an end in more than a year", record({ until: "2027-12-26T12:00:01Z" }), ["until"]],
    ["nobody who wants it", record({ by: undefined }), ["by"]],
    ["an empty name", record({ by: " " }), ["by"]],
    ["an unknown kind", record({ kind: "off" }), ["kind"]],
    ["a pin without a count", record({ kind: "pin" }), ["replicas"]],
    ["a pin below zero", record({ kind: "pin", replicas: -1 }), ["replicas"]],
    ["half a replica", record({ kind: "pin", replicas: 1.5 }), ["replicas"]],
    ["a text as a count", record({ kind: "pin", replicas: "2" }), ["replicas"]],
    ["too many", record({ kind: "at-least", replicas: 10_001 }), ["replicas"]],
    ["at least none", record({ kind: "at-least", replicas: 0 }), ["replicas"]],
    ["a count that says nothing", record({ replicas: 2 }), ["replicas"]],
    ["a field of its own", record({ untill: until }), ["untill"]],
    [
      "everything wrong at once",
      JSON.stringify({ kind: "x", until: 1, by: 2, why: 3 }),
      ["why", "kind", "until", "by"],
    ],
  ];
  for (const [name, text, wrong] of bad) {
    it(`changes nothing with ${name}, and says which field`, () => {
      const found = overrideAt(text, now);
      assert.equal(found.state, "invalid");
      assert.deepEqual(found.state === "invalid" && found.problems.map(({ field }) => field), wrong);
      assert.throws(() => parseOverride(text, now), { code: "ELASTI_OVERRIDE_INVALID", status: 400 });
    });
  }

  it("that is over cannot be begun", () =>
    assert.throws(() => parseOverride(record(), Date.parse(until)), /until is in the past/));

  it("never throws for what an annotation says", () => {
    const words = fc.oneof(
      fc.string(),
      fc.json(),
      fc.record({ kind: fc.string(), until: fc.string() }).map((o) => JSON.stringify(o)),
    );
    fc.assert(fc.property(words, (text) => assert.ok(["invalid", "none"].includes(overrideAt(text, now).state))));
  });

  it("says to the arbiter what it wants", () => {
    const intent = (more: Record<string, unknown>) => {
      const { by: _, ...rest } = overrideIntent(parseOverride(record(more), now));
      return rest;
    };
    assert.deepEqual(intent({}), { actor: "override", ask: "at-least", replicas: 1 });
    assert.deepEqual(intent({ kind: "pin", replicas: 0 }), { actor: "override", ask: "pin", replicas: 0 });
    assert.deepEqual(intent({ kind: "at-least", replicas: 4 }), { actor: "override", ask: "at-least", replicas: 4 });
    assert.deepEqual(intent({ kind: "asleep" }), { actor: "override", ask: "asleep" });
    assert.deepEqual(intent({ kind: "pause" }), { actor: "override", ask: "pause" });
  });
});
