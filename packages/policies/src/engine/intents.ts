import type { ActionIntent, PolicyState, TargetObservation } from "../contracts.ts";

/** What came of an action that was begun, as the target tells it. */
export type Settled =
  /** It landed, by whomever it was begun: `state` follows it. */
  | { readonly outcome: "landed"; readonly state: PolicyState }
  /** Somebody has changed the target since, whether or not it had landed: their change stands, and it is not repeated. */
  | { readonly outcome: "overtaken"; readonly state: PolicyState }
  /** It did not, and cannot any more. */
  | { readonly outcome: "void"; readonly state: PolicyState }
  /** The target cannot be seen. */
  | { readonly outcome: "open"; readonly state: PolicyState };

/**
 * Settles what a state says was begun. The write was conditional on a resourceVersion: as long as the target is at that version
 * it has not landed, and a write decided anew under the same version excludes it. At another version the target is what was
 * wanted exactly if it has, and what it was before if ours was refused. Anything else is somebody's own change.
 * @param observation read from the API server itself: a watch may be behind the write
 */
export function settle(state: PolicyState, observation: TargetObservation): Settled {
  const { intent } = state;
  if (intent === null) return { outcome: "void", state };
  if (observation.kind === "unknown") return { outcome: "open", state };
  const dropped: PolicyState = { ...state, intent: null };
  if (observation.kind !== "found" || observation.resource_version === intent.resource_version)
    return { outcome: "void", state: dropped };
  if (isAsWanted(intent, observation)) return { outcome: "landed", state: { ...intent.next, intent: null } };
  const { previous_replicas: before } = intent.entry;
  if (intent.bounds === undefined && before !== null && observation.replicas !== before)
    return { outcome: "overtaken", state: { ...intent.next, intent: null } };
  return { outcome: "void", state: dropped };
}

export type Found = Extract<TargetObservation, { kind: "found" }>;

function isAsWanted(intent: ActionIntent, observed: Found): boolean {
  const { bounds } = intent;
  if (bounds === undefined) return observed.replicas === intent.replicas;
  return observed.bounds?.min === bounds.min && observed.bounds.max === bounds.max;
}
