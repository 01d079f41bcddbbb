import { parseDuration } from "@elasti/core";
import { cronMoments, cronProblem, looksLikeMoment, type Moments, onceMoments, parseMoment } from "./moments.ts";
import { isTimezone, timezoneProblem, wallTime } from "./timezone.ts";

/** When a window is open: from `start` to `end`, or for `duration` of elapsed time from `start`. */
export interface WindowSpec {
  /** Cron with five fields, or a moment (RFC 3339) of a window that comes once. */
  readonly start: string;
  readonly end?: string | undefined;
  readonly duration?: string | undefined;
  /** IANA name, of both crons. */
  readonly timezone: string;
}
export interface ScheduleProblem {
  /** A field of what was given. */
  readonly field: string;
  readonly message: string;
}

/** Windows that touch are one; after so many in a row the window is taken as without end. */
const MAX_JOINED = 400;
const MAX_DURATION_MS = 366 * 86_400_000;

/**
 * A window that comes back by cron, or comes once. It may cross midnight, overlap its next coming, and meet a day of 23 or 25 hours.
 * Where it starts and ends at the same moment the end wins (`0 0 * * *` to `0 0 * * 6`: all but Saturdays), unless the clocks
 * only made one moment of two: then what comes later on the wall does.
 */
export class ScheduleWindow {
  readonly #start: Moments;
  readonly #end: Moments | number;
  readonly #spec: WindowSpec;
  #known: { readonly from: number; readonly until: number; readonly open: boolean } | undefined;

  private constructor(spec: WindowSpec, start: Moments, end: Moments | number) {
    this.#spec = spec;
    this.#start = start;
    this.#end = end;
  }

  /**
   * A window, or every problem of what was given.
   * @param options.once false: it may not be one that comes once
   */
  static parse(
    spec: WindowSpec,
    options: { readonly once: boolean } = { once: true },
  ): { readonly window: ScheduleWindow } | { readonly problems: ScheduleProblem[] } {
    const problems: ScheduleProblem[] = [];
    const zone = isTimezone(spec.timezone);
    if (!zone) problems.push({ field: "timezone", message: timezoneProblem(spec.timezone) });
    const start = momentsOf("start", spec.start, spec.timezone, problems, options.once);
    let end: Moments | number | undefined;
    if (spec.end !== undefined && spec.duration !== undefined) {
      problems.push({ field: "duration", message: "cannot stand beside end: expected one of both" });
    } else if (spec.end !== undefined) {
      end = momentsOf("end", spec.end, spec.timezone, problems, options.once);
      if (start !== undefined && end !== undefined) problems.push(...orderProblems(spec.start, spec.end));
    } else if (spec.duration !== undefined) {
      end = windowDuration(spec.duration);
      if (end === undefined) problems.push({ field: "duration", message: durationProblem(spec.duration) });
    } else {
      problems.push({ field: "end", message: "is missing: a window needs end or duration" });
    }
    if (start === undefined || end === undefined || problems.length > 0) return { problems };
    return { window: new ScheduleWindow(spec, start, end) };
  }

  /** Whether it is open at a moment. Computes only where something may have changed since it was asked last. */
  isOpen(atMs: number): boolean {
    const known = this.#known;
    if (known !== undefined && atMs >= known.from && atMs < known.until) return known.open;
    const open = this.#compute(atMs);
    const ends = typeof this.#end === "number" ? this.#durationEnd(atMs, this.#end) : this.#end.next(atMs);
    const until = Math.min(
      this.#start.next(atMs) ?? Number.POSITIVE_INFINITY,
      ends !== undefined && ends > atMs ? ends : Number.POSITIVE_INFINITY,
    );
    this.#known = { from: atMs, until, open };
    return open;
  }

  /** The first moment after `atMs` at which `isOpen` changes, or undefined when none is near. */
  nextChange(atMs: number): number | undefined {
    const open = this.isOpen(atMs);
    let at = atMs;
    for (let joined = 0; joined < MAX_JOINED; joined += 1) {
      // what is open can only be closed by an end, and what is closed only be opened by a start
      const next = open ? this.#endAfter(at) : this.#start.next(at);
      if (next === undefined) return undefined;
      if (this.#compute(next) !== open) return next;
      at = next;
    }
    return undefined;
  }

  /** Where it may close after `atMs`; for a duration the next coming, where that is before it has passed. */
  #endAfter(atMs: number): number | undefined {
    if (typeof this.#end !== "number") return this.#end.next(atMs);
    const end = this.#durationEnd(atMs, this.#end);
    const again = this.#start.next(atMs);
    return end !== undefined && again !== undefined ? Math.min(end, again) : end;
  }

  #durationEnd(atMs: number, durationMs: number): number | undefined {
    const start = this.#start.previous(atMs);
    return start === undefined ? undefined : start + durationMs;
  }

  #compute(atMs: number): boolean {
    const start = this.#start.previous(atMs);
    if (start === undefined) return false;
    // all comings last equally long: the latest that has begun ends last
    if (typeof this.#end === "number") return atMs < start + this.#end;
    const end = this.#end.previous(atMs);
    if (end === undefined || start > end) return true;
    return start === end && this.#startsLaterOnTheWall(start);
  }

  /** Where the clocks skip an hour, all of it is one moment: the order in it is the order that they would have shown. */
  #startsLaterOnTheWall(atMs: number): boolean {
    const { start, end, timezone } = this.#spec;
    if (end === undefined || looksLikeMoment(start)) return false;
    const after = wallTime(timezone, atMs);
    const skipped = after - wallTime(timezone, atMs - 1_000) > 60_000;
    if (!skipped) return false;
    const shown = (text: string) => cronMoments(text, "UTC").previous(after) ?? after;
    return shown(start) > shown(end);
  }
}

/** Ms of a window's duration, or undefined where a text is none. */
export function windowDuration(text: string): number | undefined {
  try {
    const ms = parseDuration(text);
    return ms > 0 && ms <= MAX_DURATION_MS ? ms : undefined;
  } catch {
    return undefined;
  }
}

export const durationProblem = (text: string): string =>
  `${JSON.stringify(text)} cannot be used: expected a duration of more than 0 and at most 366d, such as "8h30m"`;

function momentsOf(
  field: string,
  text: string,
  timezone: string,
  problems: ScheduleProblem[],
  once: boolean,
): Moments | undefined {
  if (once && looksLikeMoment(text)) {
    const ms = parseMoment(text);
    if (ms !== undefined) return onceMoments(ms);
    const message = `${JSON.stringify(text)} is no moment: expected RFC 3339 with an offset, such as "2026-12-24T18:00:00+01:00"`;
    problems.push({ field, message });
    return undefined;
  }
  const problem = cronProblem(text);
  if (problem === undefined) return isTimezone(timezone) ? cronMoments(text, timezone) : onceMoments(0);
  problems.push({ field, message: problem });
  return undefined;
}

function orderProblems(start: string, end: string): ScheduleProblem[] {
  const once = looksLikeMoment(start);
  if (once !== looksLikeMoment(end)) {
    return [{ field: "end", message: `expected ${once ? "a moment" : "cron"}, as start is one` }];
  }
  if (once) {
    if (parseMoment(end)! > parseMoment(start)!) return [];
    return [{ field: "end", message: `${JSON.stringify(end)} is not after start (${start})` }];
  }
  if (canonical(start) !== canonical(end)) return [];
  return [{ field: "end", message: `is the same as start (${start}): such a window is never open` }];
}

/** One text for crons that differ in writing alone. */
function canonical(cron: string): string {
  return cron
    .trim()
    .toUpperCase()
    .replace(/\b0+(?=\d)/g, "")
    .split(/\s+/)
    .join(" ");
}
