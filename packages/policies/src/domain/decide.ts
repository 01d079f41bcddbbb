import type { Decision, PolicyState, TargetObservation } from "../contracts.ts";
import type { Policy, PolicySchedule } from "../schema/policy.ts";
import { askRules } from "./asks.ts";
import { boundsAt, type EffectiveBounds } from "./bounds.ts";
import { GAP_INTERVALS } from "./conditions.ts";
import { dueMoment } from "./due-moment.ts";
import { recommend, recordChange } from "./limits.ts";
import { aimOf, type DecideInput, type Round, type Want, wantOf } from "./wants.ts";

export interface Decided {
  readonly decision: Decision;
  /** To be kept where the decision was carried out, or would have been but for a dry run or shadow. */
  readonly state: PolicyState;
  /** To be kept where it was not: what was seen is kept, a moment stays due, no cooldown begins. */
  readonly undone: PolicyState;
}

/** Phases of an ElastiService in which the target is not a policy's to move. */
const sleepingPhases: ReadonlySet<string> = new Set(["Draining", "Sealed", "Asleep", "Waking"]);

type Found = Extract<TargetObservation, { kind: "found" }>;
type Marks = PolicyState["schedule_marks"];

/**
 * What a policy comes to now. Pure, and whatever the order of its rules: bounds by windows and cost; a moment that is due;
 * then the rules, slowed down. The most capacity wins, and what is not known changes nothing.
 *
 * Where an autoscaler has the target, what is moved is the floor under it: `bounds` of the decision is what it is to be given.
 */
export function decide(input: DecideInput): Decided {
  const { policy, nowMs, target } = input;
  const found = target.kind === "found" ? target : undefined;
  const bounds = boundsAt(policy, nowMs);
  const from = movedCount(input.state, bounds, found);
  const state = afterGap(input, from);
  const kept: Record<string, { readonly since: string; readonly seen: string }> = {};
  const context = { nowMs, intervalMs: input.intervalMs, samples: input.samples, holds: state.holds, kept };
  const bases = { up: Math.max(from, found?.bounds === undefined ? 0 : found.replicas), down: from };
  const closed = closedWindow(policy, state, bounds, from);
  const round: Round = {
    ...input,
    state,
    bounds,
    closed,
    from,
    asks: askRules(policy, bases, context),
    moments: dueMoment(policy, state, nowMs),
    asleep: found?.phase !== undefined && sleepingPhases.has(found.phase),
  };
  const seen: PolicyState = {
    ...state,
    policy_id: policy.id,
    current_replicas: found?.replicas ?? state.current_replicas,
    holds: kept,
    schedule_marks: { ...windowMarks(round), ...round.moments.before },
    evaluated_at: new Date(nowMs).toISOString(),
  };
  if (found === undefined) return { decision: withoutTarget(round), state: seen, undone: seen };
  const want = wantOf(round);
  const decision = round.asleep ? asleepDecision(round, found, want) : awakeDecision(round, found, want);
  const undone = { ...seen, recommendations: recommend(policy, state.recommendations, aimOf(round), nowMs) };
  return { decision, undone, state: round.asleep ? undone : carriedOut(round, found, undone, decision, want) };
}

/** Replicas, or the floor under an autoscaler. */
function movedCount(state: PolicyState, bounds: EffectiveBounds, found: Found | undefined): number {
  if (found === undefined) return 0;
  if (found.bounds === undefined) return found.replicas;
  return Math.max(bounds.min, Math.min(state.floor ?? bounds.min, bounds.max));
}

/** Who begins, or comes back after a pause, knows of no time in which less was wanted than there is. */
function afterGap(input: DecideInput, from: number): PolicyState {
  const { state, policy, nowMs, intervalMs } = input;
  const evaluatedMs = state.evaluated_at === null ? Number.NEGATIVE_INFINITY : Date.parse(state.evaluated_at);
  const gap = Math.abs(nowMs - evaluatedMs) > GAP_INTERVALS * intervalMs;
  return gap ? { ...state, recommendations: recommend(policy, [], from, nowMs) } : state;
}

/**
 * A window whose floor raised the target has closed, and no rule would ever lower it: what it raised is to be given back. Where
 * there are rules that scale down, they decide.
 */
function closedWindow(
  policy: Policy,
  state: PolicyState,
  bounds: EffectiveBounds,
  from: number,
): PolicySchedule | undefined {
  if (policy.scale_down_rules.length > 0 || from <= bounds.min) return undefined;
  return policy.schedules.find(
    (one) =>
      one.kind === "window" &&
      one.min_replicas === from &&
      state.schedule_marks[one.id] !== undefined &&
      !bounds.open.includes(one),
  );
}

/** Windows with a floor are marked while they are open, and until what they have raised is given back. */
function windowMarks(round: Round): Marks {
  const marks: Record<string, string> = {};
  for (const one of round.bounds.open) {
    if (one.min_replicas !== undefined) marks[one.id] = new Date(round.nowMs).toISOString();
  }
  const { closed } = round;
  const mark = closed === undefined ? undefined : round.state.schedule_marks[closed.id];
  if (closed !== undefined && mark !== undefined) marks[closed.id] = mark;
  return marks;
}

type Frame = Pick<Decision, "bounds" | "rules" | "windows" | "wants_awake">;

function frame({ bounds, asks }: Round): Frame {
  return {
    bounds: { min: bounds.min, max: bounds.max },
    rules: asks.rules,
    windows: bounds.open.map((one) => one.id),
    wants_awake: bounds.minWindow !== undefined && bounds.min >= 1,
  };
}

function withoutTarget(round: Round): Decision {
  const { target } = round;
  const missing = target.kind === "missing";
  const message = target.kind === "found" ? "" : target.message;
  return {
    ...frame(round),
    action: "none",
    current_replicas: null,
    desired_replicas: null,
    triggered_by: null,
    reason: `${missing ? "waiting for the target" : "the target is not known"}: ${message}`,
    held_back: { by: missing ? "target" : "unknown", message },
    wants_zero: false,
  };
}

const asksForZero = (round: Round, want: Want): boolean =>
  want.to === 0 && (want.triggeredBy !== null || round.bounds.max === 0);

function asleepDecision(round: Round, found: Found, want: Want): Decision {
  const common = frame(round);
  const asked = want.to > 0 && want.to !== round.from;
  const wakes = common.wants_awake ? "; a window asks that it be awake" : "";
  const message = `${found.phase}${asked ? `: ${round.from} -> ${want.to}: ${want.reason}` : ""}${wakes}`;
  return {
    ...common,
    action: "none",
    current_replicas: found.replicas,
    desired_replicas: found.replicas,
    triggered_by: asked ? (want.triggeredBy ?? "bounds") : null,
    reason: `the target is ${message}`,
    held_back: asked || common.wants_awake ? { by: "asleep", message } : null,
    wants_zero: asksForZero(round, want),
  };
}

function awakeDecision(round: Round, found: Found, want: Want): Decision {
  const { bounds, from, policy } = round;
  const common = { ...frame(round), current_replicas: found.replicas };
  const given = { min: Math.max(want.to, policy.scale_to_zero ? 0 : 1), max: Math.max(bounds.max, want.to, 1) };
  const { bounds: has } = found;
  const moves = has === undefined ? want.to !== from : has.min !== given.min || has.max !== given.max;
  const more = has === undefined ? want.to - from : given.min - has.min || given.max - has.max;
  const count = has === undefined ? `${from} -> ${want.to}` : `${has.min}..${has.max} -> ${given.min}..${given.max}`;
  const conflict = bounds.conflict === undefined ? "" : `; ${bounds.conflict}`;
  // the bounds of an autoscaler follow an open window without anybody asking for a count
  const byMin = has?.min === given.min ? undefined : bounds.minWindow;
  const window = want.triggeredBy === null && has !== undefined ? (byMin ?? bounds.maxWindow) : undefined;
  const direction = more > 0 ? "scale_up" : "scale_down";
  return {
    ...common,
    ...(has === undefined ? {} : { bounds: given }),
    action: moves ? (want.action ?? (window === undefined ? direction : "scheduled")) : "none",
    desired_replicas: want.to,
    triggered_by: !moves
      ? want.triggeredBy
      : (want.triggeredBy ?? (window === undefined ? "bounds" : `schedule:${window.id}`)),
    reason: `${moves ? `${count}: ` : ""}${want.reason}${conflict}`,
    held_back: want.heldBack ?? null,
    wants_zero: asksForZero(round, want),
  };
}

/** The state that follows a decision. A vote for sleep is no change: it stands, and so does the moment that asks for it. */
function carriedOut(round: Round, found: Found, seen: PolicyState, decision: Decision, want: Want): PolicyState {
  const { from, bounds, nowMs, closed, moments } = round;
  const now = new Date(nowMs).toISOString();
  const vote = found.phase !== undefined && want.to === 0 && from > 0;
  const marks = { ...seen.schedule_marks, ...(vote ? {} : moments.after) };
  if (closed !== undefined) delete marks[closed.id];
  const floor = found.bounds !== undefined && want.to > bounds.min ? want.to : null;
  const state: PolicyState = { ...seen, schedule_marks: marks, floor };
  if (vote || decision.action === "none") return state;
  // only the ceiling of an autoscaler has moved: no cooldown begins
  if (want.to === from) return { ...state, last_scale_action: decision.action };
  return {
    ...state,
    changes: recordChange(seen.changes, from, want.to, nowMs),
    ...(want.to > from ? { last_scale_up_at: now } : { last_scale_down_at: now }),
    last_scale_action: decision.action,
  };
}
