import type { ElastiServiceSpec } from "@elasti/api";
import { type ElastiError, errorText, parseDuration } from "@elasti/core";
import { Cron } from "croner";
import { scalingErrors } from "./errors.ts";

export type EnabledPeriodSpec = NonNullable<ElastiServiceSpec["enabledPeriod"]>;

/** Windows that touch are one; after so many in a row the period is taken as without end. */
const MAX_JOINED = 1_000;
const MAX_DURATION_MS = 366 * 86_400_000;

/**
 * The windows in which sleeping is allowed: each begins when the schedule says and lasts `duration` of elapsed time, so that
 * it may cross midnight, overlap the next, and meet a day of 23 or 25 hours.
 */
export class EnabledPeriod {
  readonly #cron: Cron;
  readonly #durationMs: number;

  private constructor(cron: Cron, durationMs: number) {
    this.#cron = cron;
    this.#durationMs = durationMs;
  }

  /** @throws ELASTI_PERIOD_INVALID with `details.errors: {field, message}[]`, all problems at once */
  static parse(spec: EnabledPeriodSpec): EnabledPeriod {
    const { schedule = "0 0 * * *", duration = "24h", timezone = "UTC" } = spec;
    const problems: { field: string; message: string }[] = [];
    const field = "spec.enabledPeriod";

    const zone = validTimezone(timezone);
    if (!zone) {
      const message = `${quoted(timezone)} is no time zone: expected an IANA name, such as "Europe/Berlin"`;
      problems.push({ field: `${field}.timezone`, message });
    }
    let durationMs = 0;
    try {
      durationMs = parseDuration(duration);
      if (durationMs <= 0 || durationMs > MAX_DURATION_MS) throw new Error("out of range");
    } catch {
      const message = `${quoted(duration)} cannot be used: expected a duration of more than 0 and at most 366d, such as "8h30m"`;
      problems.push({ field: `${field}.duration`, message });
    }
    let cron: Cron | undefined;
    try {
      // with five fields alone: what KubeElasti accepts, and no seconds by accident
      if (schedule.trim().split(/\s+/).length !== 5) throw new Error("not five fields");
      cron = new Cron(schedule, { timezone: zone ? timezone : "UTC", mode: "5-part", paused: true });
      if (cron.nextRun(new Date(0)) === null) throw new Error("such a moment never comes");
    } catch (error) {
      const why = errorText(error).replace(/^CronPattern: /, "");
      const message = `${quoted(schedule)} cannot be used: expected cron with five fields, such as "0 8 * * 1-5" (${why})`;
      problems.push({ field: `${field}.schedule`, message });
    }
    if (cron === undefined || problems.length > 0) {
      throw scalingErrors.ELASTI_PERIOD_INVALID(problems.map((one) => `${one.field}: ${one.message}`).join("; "), {
        details: { errors: problems },
      });
    }
    return new EnabledPeriod(cron, durationMs);
  }

  /** Whether sleeping is allowed at a moment, wall-clock ms. */
  inside(atMs: number): boolean {
    const start = this.#startAtOrBefore(atMs);
    // all windows are equally long: the latest one that has begun ends last
    return start !== undefined && atMs < start + this.#durationMs;
  }

  /** The first moment after `atMs` at which `inside` changes, or undefined when none is near. */
  nextChange(atMs: number): number | undefined {
    const start = this.#startAtOrBefore(atMs);
    if (start === undefined || atMs >= start + this.#durationMs) return this.#startAfter(atMs);
    let last = start;
    for (let joined = 0; joined < MAX_JOINED; joined += 1) {
      const next = this.#startAfter(last);
      if (next === undefined || next > last + this.#durationMs) return last + this.#durationMs;
      last = next;
    }
    return undefined;
  }

  #startAtOrBefore(atMs: number): number | undefined {
    // croner looks strictly before its reference
    return this.#cron.previousRuns(1, new Date(atMs + 1))[0]?.getTime();
  }

  #startAfter(atMs: number): number | undefined {
    return this.#cron.nextRun(new Date(atMs))?.getTime();
  }
}

export interface EnabledPeriodState {
  /** Sleeping is allowed. */
  readonly inside: boolean;
  /** The period cannot be understood: then nothing sleeps, and nothing needs to be woken for it either. */
  readonly problem?: ElastiError;
}

/** Objects of a spec come frozen out of a store and are asked many times a minute; to parse one costs a millisecond. */
const parsed = new WeakMap<EnabledPeriodSpec, EnabledPeriod | ElastiError>();

/** Where a spec's period stands at a moment; without a period sleeping is always allowed. Never throws for what a spec says. */
export function enabledPeriodAt(spec: EnabledPeriodSpec | undefined, atMs: number): EnabledPeriodState {
  if (spec === undefined) return { inside: true };
  let period = parsed.get(spec);
  if (period === undefined) {
    try {
      period = EnabledPeriod.parse(spec);
    } catch (error) {
      period = error as ElastiError;
    }
    parsed.set(spec, period);
  }
  return period instanceof EnabledPeriod ? { inside: period.inside(atMs) } : { inside: false, problem: period };
}

function validTimezone(timezone: string): boolean {
  try {
    new Intl.DateTimeFormat("en", { timeZone: timezone });
    return true;
  } catch {
    return false;
  }
}

const quoted = (text: string): string => JSON.stringify(text);
