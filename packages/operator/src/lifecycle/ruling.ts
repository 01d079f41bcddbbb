import type { ElastiService, Waking } from "@elasti/api";
import { type Intent, type Override, overrideIntent, overrideText } from "@elasti/scaling";
import type { PolicyVote, PolicyVotes } from "../policy-hooks.ts";
import type { OverrideReader } from "./override-of.ts";

/** Reason of `status.waking` by which resolvers know that requests are refused, and not because something failed. */
export const PINNED_ASLEEP = "PinnedAsleep";

/** What an override and the policies have to say, in the terms of sleeping and waking. */
export interface Ruling {
  /**
   * It is to sleep whatever triggers, cooldown and period say. `asleep`: but not under requests; `pinned`: requests are refused
   * as soon as it begins to fall asleep.
   */
  readonly sleep: "asleep" | "pinned" | undefined;
  /** Why it may not sleep. */
  readonly stay:
    | { readonly reason: "Override" | "PolicyFloor" | "PoliciesUnknown"; readonly message: string }
    | undefined;
  /** Who wants it awake. */
  readonly wake: "override" | "policy" | undefined;
  /** Triggers and the enabled period wake nothing. */
  readonly quiet: boolean;
  /** Why it counts as idle before the cooldown is over. */
  readonly idle: string | undefined;
  /** What the override says of replicas while awake; undefined: nothing. */
  readonly intent: Intent | undefined;
  readonly by: string | undefined;
}

const nothing: Ruling = {
  sleep: undefined,
  stay: undefined,
  wake: undefined,
  quiet: false,
  idle: undefined,
  intent: undefined,
  by: undefined,
};

/** An override outranks policies: all but a floor, which lets them ask for more. */
export function rulingOf(override: Override | undefined, vote: PolicyVote): Ruling {
  const { floor, idle, unknown } = vote;
  const policies: Ruling = {
    ...nothing,
    idle,
    ...(unknown === undefined ? {} : { stay: { reason: "PoliciesUnknown", message: unknown } }),
    ...(floor === undefined ? {} : { stay: { reason: "PolicyFloor", message: floor.message }, wake: "policy" }),
  };
  if (override === undefined) return policies;
  const { by, kind } = override;
  const stay = { reason: "Override", message: overrideText(override) } as const;
  const intent = overrideIntent(override);
  switch (kind) {
    case "pause":
      return { ...nothing, stay, quiet: true, by };
    case "asleep":
      return { ...nothing, sleep: "asleep", quiet: true, by };
    case "awake":
    case "at-least":
      return { ...nothing, stay, wake: "override", intent, by };
    case "pin":
      return override.replicas === 0
        ? { ...nothing, sleep: "pinned", quiet: true, by }
        : { ...nothing, stay, wake: "override", intent, by };
  }
}

/** Replicas that a wake asks for. @param least what minTargetReplicas and the autoscaler ask for */
export function wakeReplicas(override: Override | undefined, vote: PolicyVote, least: number): number {
  if (override?.kind === "pin" && override.replicas > 0) return override.replicas;
  const floor = override?.kind === "at-least" ? override.replicas : 1;
  return Math.max(least, floor, vote.awake ?? 1, vote.floor?.replicas ?? 1);
}

interface Wanted {
  readonly replicas: number;
  /** An HPA or ScaledObject has them from one up. */
  readonly autoscaled: boolean;
}

/** Replicas that a wake asks for, now, with what an override and the policies ask for. */
export function wakeWanted(
  ofTarget: (es: ElastiService) => Wanted,
  votes: Pick<PolicyVotes, "of">,
  overrideOf: OverrideReader,
): (es: ElastiService) => Wanted {
  return (es) => {
    const { found } = overrideOf(es);
    const { replicas, autoscaled } = ofTarget(es);
    const override = found.state === "active" ? found.override : undefined;
    return { replicas: wakeReplicas(override, votes.of(es), replicas), autoscaled };
  };
}

/** What `status.waking` says while requests are to be refused; undefined: they are not. */
export function pinnedWaking(override: Override, before: Waking | undefined, nowMs: number): Waking | undefined {
  if (override.kind !== "pin" || override.replicas !== 0) return undefined;
  return {
    reason: PINNED_ASLEEP,
    message: `pinned-asleep: ${overrideText(override)}`,
    since: before?.reason === PINNED_ASLEEP ? before.since : new Date(nowMs).toISOString(),
    certain: true,
    until: new Date(override.untilMs).toISOString(),
  };
}
