import { cronProblem, isTimezone, ScheduleWindow, timezoneProblem } from "@elasti/scaling";
import type { PolicySchedule, Schedule } from "../schema/policy.ts";
import { isRecord, type Problems } from "./normalize-context.ts";

/** What the policy says beside its schedules. */
export interface ScheduleLimits {
  readonly min: number;
  readonly max: number;
  readonly scaleToZero: boolean;
  /** Replicas that the ceiling of cost allows. */
  readonly costLimit: number | undefined;
}

const momentFields = ["cron_expression", "desired_replicas"] as const;
const windowFields = ["start", "end", "duration", "min_replicas", "max_replicas"] as const;

/** A schedule as it is kept, its id as given or empty; undefined where something is wrong, which is then in `problems`. */
export function normalizeSchedule(
  schedule: Schedule,
  field: string,
  limits: ScheduleLimits,
  problems: Problems,
): PolicySchedule | undefined {
  if (!isRecord(schedule)) return undefined;
  const given = problems.fineFields(schedule, field);
  const hasMoment = momentFields.some((key) => schedule[key] !== undefined);
  const hasWindow = windowFields.some((key) => schedule[key] !== undefined);
  const isWindow = schedule.start !== undefined || (hasWindow && schedule.cron_expression === undefined);
  if (!hasMoment && !hasWindow) {
    problems.add(field, "says nothing: expected cron_expression and desired_replicas, or start with end or duration");
    return undefined;
  }
  for (const key of isWindow ? momentFields : windowFields) {
    if (schedule[key] === undefined) continue;
    const beside = isWindow ? "a window (start, end or duration)" : "cron_expression";
    problems.add(`${field}.${key}`, `cannot stand beside ${beside}`);
  }
  const common = {
    id: given.id ?? "",
    ...(given.name === undefined ? {} : { name: given.name }),
    enabled: given.enabled ?? true,
    timezone: given.timezone ?? "UTC",
  };
  return isWindow ? windowOf(given, common, field, limits, problems) : momentOf(given, common, field, limits, problems);
}

type Common = Pick<PolicySchedule, "id" | "name" | "enabled" | "timezone">;

function momentOf(
  schedule: Partial<Schedule>,
  common: Common,
  field: string,
  limits: ScheduleLimits,
  problems: Problems,
): PolicySchedule | undefined {
  const { cron_expression: cron, desired_replicas: desired } = schedule;
  if (!isTimezone(common.timezone)) problems.add(`${field}.timezone`, timezoneProblem(common.timezone));
  const problem = cron === undefined ? "is required beside desired_replicas" : cronProblem(cron);
  if (problem !== undefined) problems.add(`${field}.cron_expression`, problem);
  if (desired === undefined) {
    problems.add(`${field}.desired_replicas`, "is required beside cron_expression");
  } else if (desired === 0 && !limits.scaleToZero) {
    problems.add(`${field}.desired_replicas`, "0 is asked for while scale_to_zero is false: expected at least 1");
  } else if (desired > limits.max) {
    problems.add(`${field}.desired_replicas`, `${desired} is above max_replicas (${limits.max})`);
  }
  if (cron === undefined || desired === undefined || !problems.fine(field)) return undefined;
  return { ...common, kind: "moment", cron_expression: cron, desired_replicas: desired };
}

function windowOf(
  schedule: Partial<Schedule>,
  common: Common,
  field: string,
  limits: ScheduleLimits,
  problems: Problems,
): PolicySchedule | undefined {
  const { start, end, duration, min_replicas: min, max_replicas: max } = schedule;
  if (start === undefined) {
    problems.add(`${field}.start`, "is required of a window");
    return undefined;
  }
  const parsed = ScheduleWindow.parse({ start, end, duration, timezone: common.timezone });
  if ("problems" in parsed) for (const one of parsed.problems) problems.add(`${field}.${one.field}`, one.message);
  if (min === undefined && max === undefined) {
    problems.add(
      `${field}.min_replicas`,
      "is required where there is no max_replicas: a window moves at least one of both",
    );
  }
  if (max === 0 && !limits.scaleToZero) {
    problems.add(`${field}.max_replicas`, "0 is asked for while scale_to_zero is false: expected at least 1");
  }
  const least = min ?? limits.min;
  const most = max ?? limits.max;
  // a window with a max of 0 says that the target sleeps: min is the least while awake
  if (least > most && !(max === 0 && min === undefined)) {
    if (min !== undefined) {
      const of = max === undefined ? "max_replicas of the policy" : "max_replicas";
      problems.add(`${field}.min_replicas`, `${min} is above ${of} (${most})`);
    } else {
      const message = `${most} is below min_replicas of the policy (${least}): expected min_replicas here too`;
      problems.add(`${field}.max_replicas`, message);
    }
  }
  if (min !== undefined && limits.costLimit !== undefined && min > limits.costLimit) {
    problems.add(`${field}.min_replicas`, `max_hourly_cost pays for ${limits.costLimit}, not for ${min}`);
  }
  if (!problems.fine(field)) return undefined;
  return {
    ...common,
    kind: "window",
    start,
    ...(end === undefined ? {} : { end }),
    ...(duration === undefined ? {} : { duration }),
    ...(min === undefined ? {} : { min_replicas: min }),
    ...(max === undefined ? {} : { max_replicas: max }),
  };
}
