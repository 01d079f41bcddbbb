import type { MetricSample, PolicyState, TargetObservation } from "../contracts.ts";
import type { Policy, PolicySchedule } from "../schema/policy.ts";
import type { Asks } from "./asks.ts";
import { type EffectiveBounds, scheduleText, windowOf } from "./bounds.ts";
import type { DueMoments } from "./due-moment.ts";
import { type HeldBack, slowDown } from "./limits.ts";

export interface DecideInput {
  readonly policy: Policy;
  readonly state: PolicyState;
  readonly nowMs: number;
  /** Between two evaluations. */
  readonly intervalMs: number;
  /** By `metricKey`; one that is not there is unknown. */
  readonly samples: ReadonlyMap<string, MetricSample>;
  readonly target: TargetObservation;
}

/** One evaluation, with what is worked out before anything is decided. */
export interface Round extends DecideInput {
  readonly bounds: EffectiveBounds;
  readonly moments: DueMoments;
  /** A window that has closed and left what it had raised. */
  readonly closed: PolicySchedule | undefined;
  readonly asks: Asks;
  /** What is moved: replicas, or where an autoscaler has the target the floor under it. */
  readonly from: number;
  /** An ElastiService names the target, and it sleeps, or is on its way to or from there. */
  readonly asleep: boolean;
}

/** What is to be there, before it is known whether that changes anything. */
export interface Want {
  readonly to: number;
  readonly action?: "scheduled";
  /** Null: nobody asks. */
  readonly triggeredBy: string | null;
  readonly reason: string;
  readonly heldBack?: HeldBack | undefined;
}

/** A moment that is due goes before the rules, unless they need more; then the bounds; what a closed window left comes last. */
export function wantOf(round: Round): Want {
  const { due } = round.moments;
  const byRules = wantOfRules(round);
  if (due !== undefined) return enforce(round, besideMoment(round, due, byRules));
  if (byRules.to === round.from && round.closed !== undefined) return giveBack(round, round.closed, byRules);
  return enforce(round, byRules);
}

function besideMoment(round: Round, due: NonNullable<DueMoments["due"]>, byRules: Want): Want {
  const { schedule } = due;
  const { to, heldBack } = clamp(round, schedule.desired_replicas);
  const text = `schedule "${scheduleText(schedule)}" of ${new Date(due.atMs).toISOString()} wants ${schedule.desired_replicas}`;
  const rulesNeedMore = round.asks.ask?.direction === "up" && byRules.to > to;
  if (rulesNeedMore) return { ...byRules, reason: `${byRules.reason}; ${text}: the most capacity wins` };
  const others = round.asks.ask === undefined ? "" : `; ${round.asks.ask.text} wants ${round.asks.ask.wants}`;
  return { to, action: "scheduled", triggeredBy: `schedule:${schedule.id}`, reason: text + others, heldBack };
}

/** What the rules come to after every limit. */
function wantOfRules(round: Round): Want {
  const { policy, state, asks, from, nowMs } = round;
  const { ask } = asks;
  const unread = asks.unknown[0] === undefined ? "" : `${asks.unknown[0]}`;
  if (ask === undefined) {
    const rules = policy.scale_up_rules.length + policy.scale_down_rules.length;
    const reason = rules === 0 ? "there is no rule" : "no rule holds";
    if (unread === "") return { to: from, triggeredBy: null, reason };
    const heldBack: HeldBack = { by: "unknown", message: `${unread}; unknown data changes nothing` };
    return { to: from, triggeredBy: null, reason, heldBack };
  }
  const triggeredBy = `rule:${ask.rule.id}`;
  const reason = `${ask.text} wants ${ask.wants}${asks.conflict === undefined ? "" : `; ${asks.conflict}`}`;
  if (ask.direction === "down" && asks.unknownUp) {
    const message = `${from} -> ${ask.wants}: a rule that may ask for more is unknown: ${unread}`;
    return { to: from, triggeredBy, reason, heldBack: { by: "unknown", message } };
  }
  const clamped = clamp(round, ask.wants);
  const slow = slowDown(policy, state, from, aimOf(round), nowMs);
  return { to: slow.replicas, triggeredBy, reason, heldBack: slow.heldBack ?? clamped.heldBack };
}

/** What the rules want within the bounds, whatever slows them down: what stabilization windows compare with. */
export function aimOf(round: Round): number {
  const { asks, from } = round;
  const { ask, unknownUp } = asks;
  if (ask === undefined || (ask.direction === "down" && unknownUp)) return from;
  const { to } = clamp(round, ask.wants);
  // what the bounds alone do is not the rule's doing
  return ask.direction === "up" ? Math.max(to, from) : Math.min(to, from);
}

/** A count within the bounds; 0 only where the policy allows it and no open window asks for more. */
function clamp(round: Round, wants: number): { readonly to: number; readonly heldBack?: HeldBack } {
  const { policy, bounds, nowMs } = round;
  const { min, max, minBy, maxBy } = bounds;
  if (wants <= 0 && policy.scale_to_zero && (minBy === "bounds" || min === 0)) return { to: 0 };
  const least = policy.scale_to_zero ? min : Math.max(1, min);
  const to = Math.max(least, Math.min(wants, max));
  if (to === wants) return { to };
  const above = wants > to;
  const by = above ? maxBy : minBy;
  const window = above ? bounds.maxWindow : bounds.minWindow;
  const limit = `${wants} wanted, ${limitText(by, above, to)}`;
  if (by !== "window" || window === undefined) return { to, heldBack: { by, message: limit } };
  const until = windowOf(window)?.nextChange(nowMs);
  const message = `${limit} in window "${scheduleText(window)}"`;
  return { to, heldBack: { by, message, ...(until === undefined ? {} : { until: new Date(until).toISOString() }) } };
}

const limitText = (by: EffectiveBounds["maxBy"], above: boolean, limit: number): string =>
  by === "cost" ? `max_hourly_cost pays for ${limit}` : `${above ? "at most" : "at least"} ${limit}`;

/** Brings what would be there within the bounds. */
function enforce(round: Round, want: Want): Want {
  const { policy, bounds, from, asleep } = round;
  const { min, max } = bounds;
  const above = want.to > max;
  // who sleeps is not woken by a least, but by a window's alone
  const mayRest = bounds.minWindow === undefined && (policy.scale_to_zero || asleep);
  const rests = want.to === 0 && (min === 0 || mayRest);
  if (!above && (want.to >= min || rests)) return want;
  const to = above ? max : min;
  const by = above ? bounds.maxBy : bounds.minBy;
  const window = above ? bounds.maxWindow : bounds.minWindow;
  const limit = limitText(by, above, to);
  const { heldBack, reason } = want;
  if (by === "window" && window !== undefined) {
    const text = `window "${scheduleText(window)}" wants ${limit}; ${reason}`;
    return { to, action: "scheduled", triggeredBy: `schedule:${window.id}`, reason: text, heldBack };
  }
  return { to, triggeredBy: "bounds", reason: `${limit}, ${from} are there; ${reason}`, heldBack };
}

function giveBack(round: Round, closed: PolicySchedule, want: Want): Want {
  const { to } = clamp(round, round.bounds.min);
  const reason = `window "${scheduleText(closed)}" has closed: back to ${to}; ${want.reason}`;
  return { to, action: "scheduled", triggeredBy: `schedule:${closed.id}`, reason, heldBack: want.heldBack };
}
