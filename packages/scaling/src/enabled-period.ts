import type { ElastiServiceSpec } from "@elasti/api";
import type { ElastiError } from "@elasti/core";
import { scalingErrors } from "./errors.ts";
import { ScheduleWindow } from "./schedules/window.ts";

export type EnabledPeriodSpec = NonNullable<ElastiServiceSpec["enabledPeriod"]>;

/**
 * The windows in which sleeping is allowed: each begins when the schedule says and lasts `duration` of elapsed time, so that
 * it may cross midnight, overlap the next, and meet a day of 23 or 25 hours.
 */
export class EnabledPeriod {
  readonly #window: ScheduleWindow;

  private constructor(window: ScheduleWindow) {
    this.#window = window;
  }

  /** @throws ELASTI_PERIOD_INVALID with `details.errors: {field, message}[]`, all problems at once */
  static parse(spec: EnabledPeriodSpec): EnabledPeriod {
    const { schedule = "0 0 * * *", duration = "24h", timezone = "UTC" } = spec;
    const parsed = ScheduleWindow.parse({ start: schedule, duration, timezone }, { once: false });
    if ("window" in parsed) return new EnabledPeriod(parsed.window);
    const problems = parsed.problems.map(({ field, message }) => ({
      field: `spec.enabledPeriod.${field === "start" ? "schedule" : field}`,
      message,
    }));
    throw scalingErrors.ELASTI_PERIOD_INVALID(problems.map((one) => `${one.field}: ${one.message}`).join("; "), {
      details: { errors: problems },
    });
  }

  /** Whether sleeping is allowed at a moment, wall-clock ms. */
  inside(atMs: number): boolean {
    return this.#window.isOpen(atMs);
  }

  /** The first moment after `atMs` at which `inside` changes, or undefined when none is near. */
  nextChange(atMs: number): number | undefined {
    return this.#window.nextChange(atMs);
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
