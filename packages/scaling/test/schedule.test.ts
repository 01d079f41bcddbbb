import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ElastiError } from "@elasti/core";
import fc from "fast-check";
import { cooldownOf, EnabledPeriod, enabledPeriodAt } from "../src/index.ts";

describe("cooldownOf", () => {
  const rows: [string, (number | undefined)[], number, number, boolean, number][] = [
    ["counts from the latest activity", [100, 500, undefined], 1_000, 1_499, false, 1],
    ["is over at its end", [500], 1_000, 1_500, true, 0],
    ["of 0 is over at once", [500], 0, 500, true, 0],
    ["is not over where no activity is known", [undefined], 0, 500, false, 0],
    ["is not over while the activity lies in the future", [900], 0, 500, false, 400],
    ["ignores times that are none", [Number.NaN, 100], 10, 200, true, 0],
  ];
  for (const [name, activityMs, cooldownMs, nowMs, over, remainingMs] of rows) {
    it(name, () => {
      const result = cooldownOf({ activityMs, cooldownMs, nowMs });
      assert.deepEqual([result.over, result.remainingMs], [over, remainingMs]);
    });
  }

  it("is over exactly when nothing remains of it", () => {
    const time = fc.integer({ min: 0, max: 1_000_000 });
    fc.assert(
      fc.property(fc.array(time, { minLength: 1 }), time, time, (activityMs, cooldownMs, nowMs) => {
        const { over, remainingMs } = cooldownOf({ activityMs, cooldownMs, nowMs });
        assert.equal(over, remainingMs === 0);
        const later = cooldownOf({ activityMs, cooldownMs, nowMs: nowMs + remainingMs });
        assert.equal(later.over, true);
      }),
    );
  });
});

describe("EnabledPeriod", () => {
  const at = (text: string) => Date.parse(text);
  type Row = [string, { schedule?: string; duration?: string; timezone?: string }, string, boolean, string | undefined];
  const rows: Row[] = [
    ["by default is always", {}, "2026-05-05T13:00:00Z", true, undefined],
    [
      "begins at its minute",
      { schedule: "0 8 * * *", duration: "9h" },
      "2026-05-05T08:00:00Z",
      true,
      "2026-05-05T17:00:00Z",
    ],
    [
      "has not begun 1 ms before",
      { schedule: "0 8 * * *", duration: "9h" },
      "2026-05-05T07:59:59.999Z",
      false,
      "2026-05-05T08:00:00Z",
    ],
    [
      "has ended at its end",
      { schedule: "0 8 * * *", duration: "9h" },
      "2026-05-05T17:00:00Z",
      false,
      "2026-05-06T08:00:00Z",
    ],
    [
      "lasts until 1 ms before",
      { schedule: "0 8 * * *", duration: "9h" },
      "2026-05-05T16:59:59.999Z",
      true,
      "2026-05-05T17:00:00Z",
    ],
    [
      "crosses midnight",
      { schedule: "0 22 * * *", duration: "8h" },
      "2026-05-06T03:00:00Z",
      true,
      "2026-05-06T06:00:00Z",
    ],
    [
      "skips the weekend",
      { schedule: "0 8 * * 1-5", duration: "9h" },
      "2026-05-09T10:00:00Z",
      false,
      "2026-05-11T08:00:00Z",
    ],
    [
      "joins windows that overlap",
      { schedule: "0 8,12 * * *", duration: "5h" },
      "2026-05-05T09:00:00Z",
      true,
      "2026-05-05T17:00:00Z",
    ],
    [
      "joins windows that touch",
      { schedule: "0 8,12 * * *", duration: "4h" },
      "2026-05-05T09:00:00Z",
      true,
      "2026-05-05T16:00:00Z",
    ],
    [
      "knows time zones",
      { schedule: "0 8 * * *", duration: "1h", timezone: "America/New_York" },
      "2026-07-01T12:30:00Z",
      true,
      "2026-07-01T13:00:00Z",
    ],
    [
      "begins at the same hour after the clocks go forward",
      { schedule: "0 8 * * *", duration: "1h", timezone: "Europe/Berlin" },
      "2026-03-29T06:30:00Z",
      true,
      "2026-03-29T07:00:00Z",
    ],
    [
      "begins once in an hour that is skipped",
      { schedule: "30 2 * * *", duration: "10m", timezone: "Europe/Berlin" },
      "2026-03-29T01:05:00Z",
      true,
      "2026-03-29T01:10:00Z",
    ],
    [
      "begins once in an hour that comes twice",
      { schedule: "30 2 * * *", duration: "10m", timezone: "Europe/Berlin" },
      "2026-10-25T01:35:00Z",
      false,
      "2026-10-26T01:30:00Z",
    ],
    [
      "counts elapsed time on a day of 25 hours",
      { schedule: "0 0 * * *", duration: "24h", timezone: "Europe/Berlin" },
      "2026-10-25T22:30:00Z",
      false,
      "2026-10-25T23:00:00Z",
    ],
  ];
  for (const [name, spec, moment, inside, next] of rows) {
    it(name, () => {
      const period = EnabledPeriod.parse(spec);
      assert.equal(period.inside(at(moment)), inside);
      assert.equal(period.nextChange(at(moment)), next === undefined ? undefined : at(next));
    });
  }

  it("agrees with its windows, and changes exactly where it says", () => {
    const minute = 60_000;
    const day = 24 * 60 * minute;
    fc.assert(
      fc.property(
        fc.integer({ min: 0, max: 23 }),
        fc.integer({ min: 0, max: 59 }),
        fc.integer({ min: 1, max: 47 * 60 }),
        fc.integer({ min: at("2026-01-01T00:00:00Z"), max: at("2028-12-31T00:00:00Z") }),
        (hours, minutes, lasts, moment) => {
          const period = EnabledPeriod.parse({ schedule: `${minutes} ${hours} * * *`, duration: `${lasts}m` });
          const start = (hours * 60 + minutes) * minute;
          const sinceStart = (((moment - start) % day) + day) % day;
          const expected = sinceStart < lasts * minute;
          assert.equal(period.inside(moment), expected);
          const next = period.nextChange(moment);
          if (next === undefined) {
            assert.ok(lasts >= 24 * 60);
            return;
          }
          assert.ok(next > moment);
          assert.equal(period.inside(next - 1), expected);
          assert.equal(period.inside(next), !expected);
        },
      ),
      { numRuns: 200 },
    );
  });

  it("changes only where it says through every change of clocks", () => {
    const spec = { schedule: "15 1-3 * * *", duration: "50m", timezone: "Europe/Berlin" };
    const period = EnabledPeriod.parse(spec);
    for (const from of ["2026-03-28T20:00:00Z", "2026-10-24T20:00:00Z"]) {
      let next = period.nextChange(at(from))!;
      let inside = period.inside(at(from));
      for (let moment = at(from); moment < at(from) + 36 * 3_600_000; moment += 60_000) {
        if (moment >= next) {
          inside = !inside;
          next = period.nextChange(moment)!;
        }
        assert.equal(period.inside(moment), inside, new Date(moment).toISOString());
      }
    }
  });

  const bad: [string, object, string][] = [
    ["six fields", { schedule: "0 0 0 * * *" }, "spec.enabledPeriod.schedule"],
    ["a word", { schedule: "daily" }, "spec.enabledPeriod.schedule"],
    ["a nickname", { schedule: "@daily" }, "spec.enabledPeriod.schedule"],
    ["an hour that is none", { schedule: "0 24 * * *" }, "spec.enabledPeriod.schedule"],
    ["a day that never comes", { schedule: "0 0 30 2 *" }, "spec.enabledPeriod.schedule"],
    ["a moment that comes once", { schedule: "2026-12-24T18:00:00Z" }, "spec.enabledPeriod.schedule"],
    ["an empty schedule", { schedule: "" }, "spec.enabledPeriod.schedule"],
    ["a duration without a unit", { duration: "24" }, "spec.enabledPeriod.duration"],
    ["no duration", { duration: "0" }, "spec.enabledPeriod.duration"],
    ["a negative duration", { duration: "-1h" }, "spec.enabledPeriod.duration"],
    ["a place that is none", { timezone: "Mars/Olympus" }, "spec.enabledPeriod.timezone"],
  ];
  for (const [name, spec, field] of bad) {
    it(`refuses ${name}, naming the field, and then nothing sleeps`, () => {
      const state = enabledPeriodAt(spec, at("2026-05-05T12:00:00Z"));
      assert.equal(state.inside, false);
      assert.equal(state.problem?.code, "ELASTI_PERIOD_INVALID");
      const problems = (state.problem as ElastiError).details.errors as { field: string; message: string }[];
      assert.deepEqual(
        problems.map((one) => one.field),
        [field],
      );
      assert.match(problems[0]!.message, /expected/);
    });
  }

  it("reports all problems at once", () => {
    const { problem } = enabledPeriodAt({ schedule: "x", duration: "y", timezone: "z" }, 0);
    assert.equal((problem?.details.errors as unknown[] | undefined)?.length, 3);
  });

  it("that is left out always allows to sleep", () => {
    assert.deepEqual(enabledPeriodAt(undefined, 0), { inside: true });
  });
});
