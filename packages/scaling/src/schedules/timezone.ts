import { BoundedMap } from "./bounded-map.ts";

/** One with its data weighs some 10 KB. */
const formats = new BoundedMap<Intl.DateTimeFormat>(64);
const known = new BoundedMap<boolean>(1_000);

/** Whether a text names a time zone, by the IANA list or by its offset. */
export function isTimezone(name: string): boolean {
  return known.getOrMake(name, () => {
    try {
      new Intl.DateTimeFormat("en", { timeZone: name });
      return true;
    } catch {
      return false;
    }
  });
}

/** What to say of a text that is none. */
export const timezoneProblem = (name: string): string =>
  `${JSON.stringify(name)} is no time zone: expected an IANA name, such as "Europe/Berlin"`;

/** The time that clocks on walls show at a moment, as if it were UTC; both in ms, whole seconds. */
export function wallTime(timezone: string, atMs: number): number {
  const format = formats.getOrMake(
    timezone,
    () =>
      new Intl.DateTimeFormat("en", {
        timeZone: timezone,
        calendar: "iso8601",
        numberingSystem: "latn",
        hourCycle: "h23",
        year: "numeric",
        month: "numeric",
        day: "numeric",
        hour: "numeric",
        minute: "numeric",
        second: "numeric",
      }),
  );
  const parts: Partial<Record<Intl.DateTimeFormatPartTypes, number>> = {};
  for (const { type, value } of format.formatToParts(atMs)) parts[type] = Number(value);
  const { year = 0, month = 1, day = 1, hour = 0, minute = 0, second = 0 } = parts;
  return Date.UTC(year, month - 1, day, hour, minute, second);
}
