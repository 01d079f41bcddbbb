import { cronMoments, isTimezone } from "@elasti/scaling";
import type { PolicyState } from "../contracts.ts";
import type { Policy, PolicySchedule } from "../schema/policy.ts";

type MomentSchedule = Extract<PolicySchedule, { kind: "moment" }>;

export interface DueMoment {
  readonly schedule: MomentSchedule;
  readonly atMs: number;
}
export interface DueMoments {
  /** The latest moment of all, where it has not been acted on. */
  readonly due?: DueMoment;
  /** Marks as they are before the due one is acted on: those that a later moment took the place of are passed. */
  readonly before: PolicyState["schedule_marks"];
  /** As they are once it has been. */
  readonly after: PolicyState["schedule_marks"];
}

/**
 * The moment of a policy's schedules that has to be acted on, if there is one. What was missed while nobody ran comes once, and
 * only where it is the latest of all; what lies before a schedule was made does not come.
 */
export function dueMoment(policy: Policy, state: PolicyState, nowMs: number): DueMoments {
  const moments = policy.schedules.filter((one): one is MomentSchedule => one.kind === "moment" && one.enabled);
  const before: Record<string, string> = {};
  const after: Record<string, string> = {};
  const seen = moments.map((schedule) => {
    const atMs = isTimezone(schedule.timezone)
      ? cronMoments(schedule.cron_expression, schedule.timezone).previous(nowMs)
      : undefined;
    const mark = state.schedule_marks[schedule.id] ?? policy.updated_at;
    before[schedule.id] = mark;
    after[schedule.id] = mark;
    return { schedule, atMs: atMs ?? Number.NEGATIVE_INFINITY, isNew: atMs !== undefined && atMs > Date.parse(mark) };
  });
  const latest = Math.max(...seen.map((one) => one.atMs));
  let due: DueMoment | undefined;
  for (const { schedule, atMs, isNew } of seen) {
    if (!isNew) continue;
    after[schedule.id] = new Date(atMs).toISOString();
    if (atMs < latest) before[schedule.id] = new Date(atMs).toISOString();
    else if (due === undefined || outranks(schedule, due.schedule)) due = { schedule, atMs };
  }
  return { ...(due === undefined ? {} : { due }), before, after };
}

/** Of two at one moment: the most capacity, and then whichever id is first. */
function outranks(one: MomentSchedule, other: MomentSchedule): boolean {
  const more = one.desired_replicas - other.desired_replicas;
  return more > 0 || (more === 0 && one.id < other.id);
}
