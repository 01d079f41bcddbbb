import { type Arbitration, arbitrate, type Intent } from "@elasti/scaling";
import type { Decision, HoldBack, TargetObservation } from "../contracts.ts";
import { type AutoscalerObject, isLeftByHand, leastMinOf, ownBoundsOf } from "../executors/bounds-executor.ts";
import type { Policy } from "../schema/policy.ts";

type Found = Extract<TargetObservation, { kind: "found" }>;

/** What is to be done about a decision once everybody else who has a say was heard. */
export interface Plan {
  /** undefined: nothing is written. */
  readonly write?: {
    readonly replicas: number;
    readonly bounds?: { readonly min: number; readonly max: number };
    readonly pinned?: number;
  };
  /** Why what the decision asks for is not done. */
  readonly heldBack?: { readonly by: HoldBack; readonly message: string };
  /** Whose word it was: `rule`, `window`, `override`, and so on. */
  readonly winner: Arbitration["winner"];
  /** What the arbiter decided, by which a change by hand is told from one that it has not made yet. */
  readonly mark: string | null;
  /** Who an override is from. */
  readonly by?: string;
  readonly conflict?: string;
}

/** Phases in which the sleep machine alone writes. */
const closed: ReadonlySet<string> = new Set(["Draining", "Sealed", "Asleep", "Waking"]);

export const isSuppressed = (target: TargetObservation): boolean =>
  target.kind === "found" && target.phase !== undefined && closed.has(target.phase);

/**
 * The intents that a decision hands in: its bounds stand all the time, so that a change by hand is told from one that was never
 * made; a rule or a moment asks only when it fires.
 */
export function intentsOf(policy: Policy, decision: Decision, target: Found): Intent[] {
  const { bounds, desired_replicas: desired, triggered_by: by, action, reason } = decision;
  const rests = target.replicas === 0 && desired === 0;
  const window: Intent = { actor: "window", ...(rests ? {} : { min: bounds.min }), max: bounds.max, by: policy.id };
  // what is moved of an autoscaler are its bounds, and they are decided on already
  if (target.bounds !== undefined && !decision.wants_zero) return [window];
  if (decision.wants_zero && !rests) return [window, { actor: "rule", replicas: 0, by: by ?? policy.id, reason }];
  if (action !== "none" && by !== null && by !== "bounds" && desired !== null)
    return [window, { actor: "rule", replicas: desired, by, reason }];
  return [window];
}

/** Arbitrates between a decision and the overrides of its target. Pure. */
export function planOf(options: {
  readonly policy: Policy;
  readonly decision: Decision;
  readonly target: TargetObservation;
  /** The autoscaler that has the target. */
  readonly autoscaler: AutoscalerObject | undefined;
  readonly overrides: readonly Intent[];
  readonly named: boolean;
  readonly last: string | null;
}): Plan {
  const { policy, decision, target, overrides, named, last, autoscaler } = options;
  if (target.kind !== "found" || decision.desired_replicas === null) return { winner: "person", mark: last };
  if (isSuppressed(target)) {
    const heldBack = { by: "asleep" as const, message: `the ElastiService is ${target.phase}` };
    // once it has slept, what was decided before it is over
    return { winner: "sleep", mark: null, ...(isAsking(decision) ? { heldBack } : {}) };
  }
  const intents = [...intentsOf(policy, decision, target), ...overrides];
  const autoscaled = target.bounds !== undefined;
  const ownBounds = autoscaler === undefined ? undefined : ownBoundsOf(autoscaler);
  const arbitration = arbitrate(intents, {
    replicas: target.replicas,
    autoscaled,
    named,
    ...(target.bounds === undefined ? {} : { bounds: target.bounds, ownBounds }),
    // of bounds the record on the object tells what a person has changed
    last: autoscaled ? undefined : (last ?? undefined),
  });
  const { winner, intent = null, replicas, bounds, conflict, losers } = arbitration;
  const pin = overrides.find((one) => one.actor === "override" && one.ask === "pin");
  const isPin = winner === "override" && pin !== undefined && "replicas" in pin;
  const by = winner === "override" ? overrides.find(({ actor }) => actor === "override")?.by : undefined;
  const said = {
    winner,
    mark: intent,
    ...(by === undefined ? {} : { by }),
    ...(conflict === undefined ? {} : { conflict }),
  };
  if (replicas !== undefined) return { ...said, write: { replicas } };
  if (bounds !== undefined && autoscaler !== undefined) {
    const wanted = { min: Math.max(bounds.min, leastMinOf(autoscaler)), max: Math.max(bounds.max, 1) };
    // what was asked for is less than an HPA can have
    if (wanted.min === target.bounds?.min && wanted.max === target.bounds.max && !isPin)
      return { ...said, heldBack: { by: "autoscaler", message: `an HPA cannot have less than ${wanted.min}` } };
    if (isLeftByHand(autoscaler, { policy: policy.id, ...wanted })) return { ...said, heldBack: byHand };
    const within = Math.max(bounds.min, Math.min(target.replicas, bounds.max));
    return { ...said, write: { replicas: within, bounds: wanted, ...(isPin ? { pinned: pin.replicas } : {}) } };
  }
  if (!isAsking(decision)) return said;
  const rule = losers.find((loser) => loser.intent.actor === "rule") ?? losers[0];
  const heldBack = heldBackOf(rule?.why, overrides.length > 0);
  return { ...said, ...(heldBack === undefined ? {} : { heldBack }) };
}

const byHand = { by: "by_hand", message: "somebody has changed the target since this was done" } as const;

const isAsking = ({ action, wants_zero }: Decision): boolean => action !== "none" || wants_zero;

function heldBackOf(
  why: Arbitration["losers"][number]["why"] | undefined,
  overridden: boolean,
): Plan["heldBack"] | undefined {
  switch (why) {
    case "by-hand":
      return byHand;
    case "autoscaler-owns":
      return { by: "autoscaler", message: "an autoscaler has the target" };
    case "one-door":
    case "asleep":
      return { by: "asleep", message: "zero, and the way back, are for the ElastiService" };
    case "outranked":
    case "less-capacity":
      return { by: overridden ? "override" : "bounds", message: "something else that has the target asks otherwise" };
    default:
      return undefined;
  }
}
