import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { cronMoments, parseMoment, ScheduleWindow, type WindowSpec } from "../../src/index.ts";

const at = (text: string): number => Date.parse(text);
const window = (spec: Partial<WindowSpec>): ScheduleWindow => {
  const parsed = ScheduleWindow.parse({ start: "0 8 * * *", timezone: "UTC", ...spec });
  assert.ok("window" in parsed, JSON.stringify(parsed));
  return parsed.window;
};

describe("ScheduleWindow", () => {
  type Row = [string, Partial<WindowSpec>, string, boolean, string | undefined];
  const rows: Row[] = [
    ["is open between its crons", { end: "0 18 * * *" }, "2026-05-05T12:00:00Z", true, "2026-05-05T18:00:00Z"],
    ["is open at its first moment", { end: "0 18 * * *" }, "2026-05-05T08:00:00Z", true, "2026-05-05T18:00:00Z"],
    ["is closed at its last", { end: "0 18 * * *" }, "2026-05-05T18:00:00Z", false, "2026-05-06T08:00:00Z"],
    [
      "crosses midnight",
      { start: "0 22 * * *", end: "0 6 * * *" },
      "2026-05-06T03:00:00Z",
      true,
      "2026-05-06T06:00:00Z",
    ],
    [
      "crosses a weekend",
      { start: "0 18 * * 5", end: "0 8 * * 1" },
      "2026-05-10T12:00:00Z",
      true,
      "2026-05-11T08:00:00Z",
    ],
    [
      "crosses the end of a year",
      { start: "0 20 31 12 *", end: "0 4 1 1 *" },
      "2027-01-01T01:00:00Z",
      true,
      "2027-01-01T04:00:00Z",
    ],
    [
      "lets the end win where both come at once",
      { start: "0 0 * * *", end: "0 0 * * 6" },
      "2026-05-09T12:00:00Z",
      false,
      "2026-05-10T00:00:00Z",
    ],
    [
      "joins comings between which it would close and open at once",
      { start: "0 8,12 * * *", duration: "4h" },
      "2026-05-05T09:00:00Z",
      true,
      "2026-05-05T16:00:00Z",
    ],
    [
      "is not open for a day where the clocks skip its start and its end",
      { start: "15 2 * * *", end: "45 2 * * *", timezone: "Europe/Berlin" },
      "2026-03-29T06:00:00Z",
      false,
      "2026-03-30T00:15:00Z",
    ],
    [
      "opens where the clocks move its end onto its start",
      { start: "0 3 * * *", end: "30 2 * * *", timezone: "Europe/Berlin" },
      "2026-03-29T06:00:00Z",
      true,
      "2026-03-30T00:30:00Z",
    ],
    [
      "lasts as long on a day of 23 hours",
      { start: "0 1 * * *", duration: "3h", timezone: "Europe/Berlin" },
      "2026-03-29T02:30:00Z",
      true,
      "2026-03-29T03:00:00Z",
    ],
    [
      "comes once by moments",
      { start: "2026-12-24T18:00:00+01:00", end: "2026-12-27T06:00:00+01:00" },
      "2026-12-25T00:00:00Z",
      true,
      "2026-12-27T05:00:00Z",
    ],
    [
      "never comes again after that",
      { start: "2026-12-24T18:00:00+01:00", duration: "2h" },
      "2026-12-24T19:00:00Z",
      false,
      undefined,
    ],
    [
      "has not begun before its moment",
      { start: "2026-12-24T18:00:00+01:00", duration: "2h" },
      "2026-12-24T16:59:59Z",
      false,
      "2026-12-24T17:00:00Z",
    ],
  ];
  for (const [name, spec, moment, open, change] of rows) {
    it(name, () => {
      const one = window(spec);
      assert.equal(one.isOpen(at(moment)), open);
      assert.equal(one.nextChange(at(moment)), change === undefined ? undefined : at(change));
    });
  }

  it("answers as well when time goes backwards", () => {
    const one = window({ end: "0 18 * * *" });
    assert.equal(one.isOpen(at("2026-05-05T12:00:00Z")), true);
    assert.equal(one.isOpen(at("2026-05-04T19:00:00Z")), false);
    assert.equal(one.isOpen(at("2026-05-04T08:00:00Z")), true);
  });

  const refused: [string, Partial<WindowSpec>, string, RegExp][] = [
    ["the same start and end", { end: "0 8 * * *" }, "end", /same as start/],
    ["the same start and end in other writing", { end: "00 08  * * *" }, "end", /same as start/],
    ["a cron that never comes", { start: "0 0 31 4 *", duration: "1h" }, "start", /never comes/],
    ["an end that never comes", { end: "0 0 30 2 *" }, "end", /never comes/],
    ["neither end nor duration", {}, "end", /needs end or duration/],
    ["both end and duration", { end: "0 9 * * *", duration: "1h" }, "duration", /expected one of both/],
    ["a duration of nothing", { duration: "0s" }, "duration", /more than 0/],
    ["a duration that is none", { duration: "-1h" }, "duration", /expected a duration/],
    ["a zone that is none", { timezone: "Mars/Olympus", duration: "1h" }, "timezone", /no time zone/],
    ["six fields", { start: "0 0 8 * * *", duration: "1h" }, "start", /five fields/],
    ["a moment without an offset", { start: "2026-12-24T18:00:00", duration: "1h" }, "start", /RFC 3339/],
    ["a day that the calendar does not have", { start: "2026-02-30T18:00:00Z", duration: "1h" }, "start", /RFC 3339/],
    ["a moment beside cron", { start: "2026-12-24T18:00:00Z", end: "0 8 * * *" }, "end", /expected a moment/],
    [
      "an end at its start",
      { start: "2026-12-24T18:00:00Z", end: "2026-12-24T19:00:00+01:00" },
      "end",
      /is not after start/,
    ],
  ];
  for (const [name, spec, field, message] of refused) {
    it(`refuses ${name}`, () => {
      const parsed = ScheduleWindow.parse({ start: "0 8 * * *", timezone: "UTC", ...spec });
      assert.ok("problems" in parsed);
      assert.deepEqual(
        parsed.problems.map((one) => one.field),
        [field],
      );
      assert.match(parsed.problems[0]!.message, message);
    });
  }
});

describe("moments", () => {
  it("of equal crons are computed once for all who ask", () => {
    assert.equal(cronMoments("0  8 * * *", "UTC"), cronMoments(" 0 8 * * *", "UTC"));
    assert.notEqual(cronMoments("0 8 * * *", "UTC"), cronMoments("0 8 * * *", "Europe/Berlin"));
  });

  it("are cheap to ask between two of them", () => {
    const moments = cronMoments("7 8 * * *", "America/New_York");
    const from = at("2026-05-05T12:08:00Z");
    moments.next(from);
    const began = process.cpuUsage();
    for (let index = 0; index < 100_000; index += 1) moments.next(from + index);
    const { user } = process.cpuUsage(began);
    // a computed one takes some 50 us or more
    assert.ok(user < 1_000_000, `${user} us`);
  });

  it("are read with their offset, and only as RFC 3339", () => {
    assert.equal(parseMoment("2026-12-24T18:00:00+01:00"), at("2026-12-24T17:00:00Z"));
    assert.equal(parseMoment("2026-12-24t18:00:00.250z"), at("2026-12-24T18:00:00.250Z"));
    for (const text of [
      "2026-12-24",
      "2026-12-24T18:00",
      "24.12.2026",
      "2026-13-01T00:00:00Z",
      "2026-01-01T25:00:00Z",
    ]) {
      assert.equal(parseMoment(text), undefined, text);
    }
  });
});
