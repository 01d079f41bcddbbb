import { errorText } from "@elasti/core";
import { Cron } from "croner";
import { BoundedMap } from "./bounded-map.ts";

/** Points in time, in ms since the epoch. */
export interface Moments {
  /** The latest that is not after `atMs`. */
  previous(atMs: number): number | undefined;
  /** The first after `atMs`. */
  next(atMs: number): number | undefined;
}

/** Parsed, one weighs 80 KB (a slot for each of 10,000 years): few are kept, and what is known of the rest is their next moment. */
const parsed = new BoundedMap<Cron>(200);
const shared = new BoundedMap<CronMoments>(20_000);
/** Policies are read again and again; nothing where a text is fine. */
const problems = new BoundedMap<string>(20_000);
const dayProblems = new BoundedMap<string>(1_000);

const parse = (text: string, timezone: string): Cron =>
  parsed.getOrMake(`${timezone}\n${text}`, () => new Cron(text, { timezone, mode: "5-part", paused: true }));

/**
 * Why a text is no cron that can be used, or undefined when it is one: five fields alone (a sixth would be seconds by
 * accident, a nickname is none), that come to at least one day of some year.
 */
export function cronProblem(text: string): string | undefined {
  // no cron is that long: what is kept stays small
  if (text.length > 300) return problemOf(text.slice(0, 300));
  const problem = problems.getOrMake(text, () => problemOf(text));
  return problem === "" ? undefined : problem;
}

function problemOf(text: string): string {
  try {
    const fields = text.trim().split(/\s+/);
    if (fields.length !== 5) throw new Error("not five fields");
    new Cron(text.trim(), { timezone: "UTC", mode: "5-part", paused: true });
    // an hour and a minute come every day; and a day that never comes is looked for until the year 10000
    const day = `0 0 ${fields.slice(2).join(" ")}`;
    const never = dayProblems.getOrMake(day, () =>
      new Cron(day, { timezone: "UTC", mode: "5-part", paused: true }).nextRun(new Date(0)) === null
        ? "such a moment never comes"
        : "",
    );
    if (never !== "") throw new Error(never);
    return "";
  } catch (error) {
    const why = errorText(error).replace(/^CronPattern: /, "");
    return `${JSON.stringify(text)} cannot be used: expected cron with five fields, such as "0 8 * * 1-5" (${why})`;
  }
}

/**
 * The moments of a cron in a time zone, cheap to ask again and again: between two of them nothing is computed. A single time
 * that the clocks skip comes when they have moved on, one that they show twice comes the first time; what comes more than
 * once an hour or a day (`*`, lists, ranges) goes by the clock on the wall: skipped, and shown twice, as that is.
 */
class CronMoments implements Moments {
  readonly #text: string;
  readonly #timezone: string;
  /** Nothing lies between the two; undefined: there is none. */
  #known: { readonly previous: number | undefined; readonly next: number | undefined } | undefined;

  constructor(text: string, timezone: string) {
    this.#text = text;
    this.#timezone = timezone;
  }

  previous(atMs: number): number | undefined {
    return this.#around(atMs).previous;
  }

  next(atMs: number): number | undefined {
    return this.#around(atMs).next;
  }

  #around(atMs: number): { readonly previous: number | undefined; readonly next: number | undefined } {
    const known = this.#known;
    if (known !== undefined && atMs >= (known.previous ?? Number.NEGATIVE_INFINITY)) {
      if (known.next === undefined || atMs < known.next) return known;
      const after = this.#computeNext(known.next);
      if (after === undefined || atMs < after) {
        this.#known = { previous: known.next, next: after };
        return this.#known;
      }
    }
    // croner looks strictly before its reference
    const previous = parse(this.#text, this.#timezone)
      .previousRuns(1, new Date(atMs + 1))[0]
      ?.getTime();
    this.#known = { previous, next: this.#computeNext(atMs) };
    return this.#known;
  }

  #computeNext(atMs: number): number | undefined {
    return parse(this.#text, this.#timezone).nextRun(new Date(atMs))?.getTime();
  }
}

/** The moments of a cron without a `cronProblem`, in a time zone that is one. Equal ones are shared. */
export function cronMoments(text: string, timezone: string): Moments {
  const trimmed = text.trim().replace(/\s+/g, " ");
  return shared.getOrMake(`${timezone}\n${trimmed}`, () => new CronMoments(trimmed, timezone));
}

/** A moment that comes once. */
export function onceMoments(atMs: number): Moments {
  return {
    previous: (ms) => (ms >= atMs ? atMs : undefined),
    next: (ms) => (ms < atMs ? atMs : undefined),
  };
}

const rfc3339 = /^(\d{4})-(\d\d)-(\d\d)[Tt ]\d\d:\d\d:\d\d(?:\.\d+)?(?:[Zz]|[+-]\d\d:\d\d)$/;

/** Whether a text means to be a moment of the calendar rather than cron. */
export const looksLikeMoment = (text: string): boolean => /^\s*\d{4}-\d/.test(text);

/** Ms of an RFC 3339 moment, with its offset; undefined for anything else, a 30th of February too. */
export function parseMoment(text: string): number | undefined {
  const match = rfc3339.exec(text.trim());
  if (match === null) return undefined;
  const [year, month, day] = [Number(match[1]), Number(match[2]), Number(match[3])];
  const date = new Date(Date.UTC(year, month - 1, day));
  if (date.getUTCMonth() !== month - 1 || date.getUTCDate() !== day) return undefined;
  const ms = Date.parse(text.trim().toUpperCase().replace(" ", "T"));
  return Number.isNaN(ms) ? undefined : ms;
}
