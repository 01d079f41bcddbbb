import fc from "fast-check";

/** The obviously right and slow way to know when a window is open: go through every minute as clocks on walls show it. */

const MINUTE = 60_000;
const DAY = 86_400_000;

/** A cron by what it means; its text is only for the evaluator that is tested. */
export interface CronMeaning {
  readonly text: string;
  readonly minutes: ReadonlySet<number>;
  readonly hours: ReadonlySet<number>;
  readonly weekdays: ReadonlySet<number>;
}

const range = (from: number, to: number, step = 1): number[] => {
  const all: number[] = [];
  for (let value = from; value <= to; value += step) all.push(value);
  return all;
};

function field(most: number, common: readonly number[]): fc.Arbitrary<{ text: string; values: ReadonlySet<number> }> {
  const value = fc.oneof(fc.integer({ min: 0, max: most }), fc.constantFrom(...common));
  const made = (text: string, values: Iterable<number>) => ({ text, values: new Set(values) });
  return fc.oneof(
    { weight: 6, arbitrary: value.map((one) => made(`${one}`, [one])) },
    {
      weight: 2,
      arbitrary: fc.uniqueArray(value, { minLength: 2, maxLength: 3 }).map((all) => made(all.join(","), all)),
    },
    {
      weight: 2,
      arbitrary: fc
        .tuple(value, value)
        .filter(([a, b]) => a < b)
        .map(([a, b]) => made(`${a}-${b}`, range(a, b))),
    },
    {
      weight: 1,
      arbitrary: fc
        .constantFrom(...[15, 20, 30].filter((step) => step < most))
        .map((step) => made(`*/${step}`, range(0, most, step))),
    },
  );
}

const everyWeekday = { text: "*", values: new Set(range(0, 6)) };
const weekdays = fc.oneof(
  { weight: 3, arbitrary: fc.constant(everyWeekday) },
  {
    weight: 1,
    arbitrary: fc
      .uniqueArray(fc.integer({ min: 0, max: 6 }), { minLength: 1, maxLength: 5 })
      .map((all) => ({ text: all.join(","), values: new Set(all) })),
  },
);

export const cronMeaning: fc.Arbitrary<CronMeaning> = fc
  .tuple(
    field(59, [0, 15, 30, 45]),
    field(23, [0, 1, 2, 3, 23]).filter(({ text }) => !text.startsWith("*/")),
    weekdays,
  )
  .map(([minutes, hours, days]) => ({
    text: `${minutes.text} ${hours.text} * * ${days.text}`,
    minutes: minutes.values,
    hours: hours.values,
    weekdays: days.values,
  }));

function shows(cron: CronMeaning, wallMs: number): boolean {
  const date = new Date(wallMs);
  return (
    cron.minutes.has(date.getUTCMinutes()) && cron.hours.has(date.getUTCHours()) && cron.weekdays.has(date.getUTCDay())
  );
}

/** A time that is said once a day: the clocks neither make it come twice nor not at all. */
const isSingleTime = (cron: CronMeaning): boolean => cron.minutes.size === 1 && cron.hours.size === 1;

/** One minute of a zone: what is on the wall, and what the clocks have skipped before it. */
export interface WallMinute {
  readonly atMs: number;
  readonly wallMs: number;
  readonly skipped: readonly number[];
  /** The wall has shown it before. */
  readonly again: boolean;
}

export function wallMinutes(timezone: string, fromMs: number, untilMs: number): WallMinute[] {
  const format = new Intl.DateTimeFormat("en-US", {
    timeZone: timezone,
    hourCycle: "h23",
    year: "numeric",
    month: "numeric",
    day: "numeric",
    hour: "numeric",
    minute: "numeric",
  });
  const minutes: WallMinute[] = [];
  let highest = Number.NEGATIVE_INFINITY;
  for (let atMs = fromMs; atMs < untilMs; atMs += MINUTE) {
    const [month, day, year, hour, minute] = format.format(atMs).match(/\d+/g)!.map(Number);
    const wallMs = Date.UTC(year!, month! - 1, day!, hour!, minute!);
    const skipped: number[] = [];
    if (highest > 0) for (let wall = highest + MINUTE; wall < wallMs; wall += MINUTE) skipped.push(wall);
    minutes.push({ atMs, wallMs, skipped, again: wallMs <= highest });
    highest = Math.max(highest, wallMs);
  }
  return minutes;
}

/** Whether a cron comes in a minute, by its own time or by one that was skipped. */
export function comes(cron: CronMeaning, minute: WallMinute): boolean {
  if (isSingleTime(cron)) {
    return (shows(cron, minute.wallMs) && !minute.again) || minute.skipped.some((wall) => shows(cron, wall));
  }
  return shows(cron, minute.wallMs);
}

/** Goes through the minutes as they are: each start opens, each end closes, in the order that the clocks show or would have shown. */
export function openMinutes(
  start: CronMeaning,
  end: CronMeaning,
  minutes: readonly WallMinute[],
): (boolean | undefined)[] {
  let open: boolean | undefined;
  const apply = (starts: boolean, ends: boolean): void => {
    if (starts) open = true;
    if (ends) open = false;
  };
  return minutes.map((minute) => {
    for (const wall of minute.skipped) {
      apply(isSingleTime(start) && shows(start, wall), isSingleTime(end) && shows(end, wall));
    }
    const own = { ...minute, skipped: [] };
    apply(comes(start, own), comes(end, own));
    return open;
  });
}

/** The moments of a year at which the clocks of a zone change, to the minute. */
export function clockChanges(timezone: string, year: number): number[] {
  const format = new Intl.DateTimeFormat("en-US", { timeZone: timezone, timeZoneName: "longOffset" });
  const offset = (atMs: number): string => format.format(atMs).split(" ").at(-1)!;
  const changes: number[] = [];
  for (let from = Date.UTC(year, 0, 1); from < Date.UTC(year + 1, 0, 1); from += 7 * DAY) {
    let [before, after] = [from, from + 7 * DAY];
    if (offset(before) === offset(after)) continue;
    while (after - before > MINUTE) {
      const middle = Math.floor((before + after) / 2 / MINUTE) * MINUTE;
      if (offset(middle) === offset(before)) before = middle;
      else after = middle;
    }
    changes.push(after);
  }
  return changes;
}
