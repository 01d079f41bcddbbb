import { ScheduleWindow } from "@elasti/scaling";
import type { Policy, PolicySchedule } from "../schema/policy.ts";
import { affordableReplicas } from "./cost.ts";

type WindowSchedule = Extract<PolicySchedule, { kind: "window" }>;

/** The bounds that hold at a moment, and who set them. */
export interface EffectiveBounds {
  readonly min: number;
  readonly max: number;
  readonly minBy: "bounds" | "window";
  readonly maxBy: "bounds" | "window" | "cost";
  /** The window that sets the one or the other. */
  readonly minWindow?: WindowSchedule;
  readonly maxWindow?: WindowSchedule;
  readonly open: readonly WindowSchedule[];
  /** What excluded one another, for people. */
  readonly conflict?: string;
}

const windows = new WeakMap<WindowSchedule, ScheduleWindow | undefined>();

/** The evaluator of a window, made once; undefined where its words mean nothing any more (a zone that was abolished). */
export function windowOf(schedule: WindowSchedule): ScheduleWindow | undefined {
  if (!windows.has(schedule)) {
    const parsed = ScheduleWindow.parse(schedule);
    windows.set(schedule, "window" in parsed ? parsed.window : undefined);
  }
  return windows.get(schedule);
}

export const scheduleText = (schedule: PolicySchedule): string =>
  schedule.name ?? (schedule.kind === "window" ? schedule.start : schedule.cron_expression);

/**
 * Open windows replace the policy's own bounds: of several the highest min holds, and the highest max of those that set one. A
 * floor beats a ceiling, but not a ceiling of cost. A window with a max of 0 and no min lets the target sleep.
 */
export function boundsAt(policy: Policy, nowMs: number): EffectiveBounds {
  const open = policy.schedules.filter(
    (one): one is WindowSchedule => one.kind === "window" && one.enabled && windowOf(one)?.isOpen(nowMs) === true,
  );
  const minWindow = highest(open, "min_replicas");
  const maxWindow = highest(open, "max_replicas");
  let min = minWindow?.min_replicas ?? policy.min_replicas;
  let max = maxWindow?.max_replicas ?? policy.max_replicas;
  let maxBy: EffectiveBounds["maxBy"] = maxWindow === undefined ? "bounds" : "window";
  let conflict: string | undefined;
  if (max === 0 && minWindow === undefined) min = 0;
  if (min > max) {
    conflict = `a least of ${min} and a most of ${max} exclude one another: the floor stands`;
    max = min;
  }
  const affordable = affordableReplicas(policy.max_hourly_cost, policy.price_per_replica_hour);
  if (affordable !== undefined && affordable < max) {
    if (affordable < min) conflict = `max_hourly_cost pays for ${affordable}, not for the least of ${min}`;
    max = affordable;
    maxBy = "cost";
    min = Math.min(min, max);
  }
  return {
    min,
    max,
    minBy: minWindow === undefined ? "bounds" : "window",
    maxBy,
    ...(minWindow === undefined ? {} : { minWindow }),
    ...(maxWindow === undefined ? {} : { maxWindow }),
    open,
    ...(conflict === undefined ? {} : { conflict }),
  };
}

/** Of equals the one whose name, then id, comes first: not the one whose place does. */
function highest(open: readonly WindowSchedule[], key: "min_replicas" | "max_replicas"): WindowSchedule | undefined {
  let best: WindowSchedule | undefined;
  for (const one of open) {
    if (one[key] === undefined) continue;
    const more = one[key] - (best?.[key] ?? -1);
    if (best === undefined || more > 0 || (more === 0 && orderOf(one) < orderOf(best))) best = one;
  }
  return best;
}

const orderOf = (schedule: WindowSchedule): string => `${scheduleText(schedule)}\n${schedule.id}`;
