import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { cronMoments, ScheduleWindow } from "../../src/index.ts";
import { clockChanges, comes, cronMeaning, openMinutes, wallMinutes } from "./slow-model.ts";

const MINUTE = 60_000;
const DAY = 86_400_000;

/** Around a change of clocks of any zone that has them, over years. */
const zones = Intl.supportedValuesOf("timeZone").filter((zone) => clockChanges(zone, 2026).length > 0);
const change = fc
  .tuple(fc.constantFrom(...zones), fc.integer({ min: 2016, max: 2035 }), fc.nat())
  .map(([timezone, year, pick]) => {
    const changes = clockChanges(timezone, year);
    const atMs = changes[pick % Math.max(1, changes.length)] ?? Date.UTC(year, 5, 1);
    return { timezone, fromMs: Math.floor(atMs / MINUTE) * MINUTE - 2 * DAY, untilMs: atMs + 2 * DAY };
  });

const name = (atMs: number): string => (Number.isFinite(atMs) ? new Date(atMs).toISOString() : "never");

describe("schedules and a model that goes through every minute", () => {
  it("know of more than a hundred zones with changes of clocks", () =>
    assert.ok(zones.length > 100, `${zones.length}`));

  it("agree on when a cron comes", () => {
    fc.assert(
      fc.property(change, cronMeaning, ({ timezone, fromMs, untilMs }, cron) => {
        const moments = cronMoments(cron.text, timezone);
        let next = moments.next(fromMs - 1);
        let previous: number | undefined;
        for (const minute of wallMinutes(timezone, fromMs - 4 * 60 * MINUTE, untilMs)) {
          if (minute.atMs < fromMs) continue;
          const { atMs } = minute;
          if (comes(cron, minute)) {
            assert.equal(next, atMs, `${cron.text} in ${timezone} comes at ${name(atMs)}`);
            next = moments.next(atMs);
            previous = atMs;
          } else {
            assert.notEqual(next, atMs, `${cron.text} in ${timezone} does not come at ${name(atMs)}`);
          }
          if (previous !== undefined) assert.equal(moments.previous(atMs), previous, `before ${name(atMs)}`);
        }
      }),
      { numRuns: 40 },
    );
  });

  it("agree on when a window with an end is open, and it changes exactly where it says", () => {
    fc.assert(
      fc.property(change, cronMeaning, cronMeaning, ({ timezone, fromMs, untilMs }, start, end) => {
        fc.pre(start.text !== end.text);
        const parsed = ScheduleWindow.parse({ start: start.text, end: end.text, timezone });
        assert.ok("window" in parsed, JSON.stringify(parsed));
        const minutes = wallMinutes(timezone, fromMs - 8 * DAY, untilMs);
        const open = openMinutes(start, end, minutes);
        let change: number | undefined;
        for (const [index, { atMs }] of minutes.entries()) {
          const expected = open[index];
          if (atMs < fromMs || expected === undefined) continue;
          const text = `${start.text} to ${end.text} in ${timezone} at ${name(atMs)}`;
          assert.equal(parsed.window.isOpen(atMs), expected, text);
          if (change !== undefined && open[index - 1] !== undefined) {
            assert.equal(atMs === change, expected !== open[index - 1], `${text} changes at ${name(change)}`);
          }
          if (change === undefined || atMs >= change) {
            change = parsed.window.nextChange(atMs) ?? Number.POSITIVE_INFINITY;
          }
        }
      }),
      { numRuns: 30 },
    );
  });

  it("agree on when a window that lasts is open", () => {
    fc.assert(
      fc.property(
        change,
        cronMeaning,
        fc.integer({ min: 1, max: 30 * 60 }),
        ({ timezone, fromMs, untilMs }, start, lasts) => {
          const parsed = ScheduleWindow.parse({ start: start.text, duration: `${lasts}m`, timezone });
          assert.ok("window" in parsed);
          let until = Number.NEGATIVE_INFINITY;
          for (const minute of wallMinutes(timezone, fromMs - 2 * DAY, untilMs)) {
            if (comes(start, minute)) until = minute.atMs + lasts * MINUTE;
            if (minute.atMs < fromMs) continue;
            const text = `${start.text} for ${lasts}m in ${timezone} at ${name(minute.atMs)}`;
            assert.equal(parsed.window.isOpen(minute.atMs), minute.atMs < until, text);
          }
        },
      ),
      { numRuns: 40 },
    );
  });
});
