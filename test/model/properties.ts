import { isHeld, podOf, READY, SEALED, type State } from "./state.ts";
import type { Mover } from "./world.ts";

/**
 * What is proven within the bounds of protocol.test.ts, and under which assumptions.
 *
 *  1. No request is lost: none is refused by a node, led to a pod that cannot take it, or has its pod ended under it.
 *  2. A wake always wins: no zero lands after the phase that a wake wrote, and no request is held for ever, though only one
 *     of the two replicas acts.
 *  3. Never zero while Active or Unknown: no zero lands when the second look was not idle, when a request went to a pod
 *     directly since Draining, or when one came to a resolver after that resolver had seen Draining.
 *
 * Assumed of the world; what breaks these is excluded from the promise:
 *  - A kube-proxy learns of all EndpointSlices in the order of their changes (it has one watch for them), however late; the
 *    model's one node is the client's and the resolvers'. A node without a resolver is covered by grace alone.
 *  - When a sleep begins, the nodes know how the one before ended: the cooldown is longer than their lag. (Taken away, the
 *    proof can be answered by a table from before: "settled nodes".)
 *  - Connections that clients keep open to a pod are used before the second look or not at all.
 *  - The controllers act on a change within the 2 s for which pods of before are not trusted.
 *  - A resolver restarts with no request in it, and is not listed before it has read the phases.
 *  - The watch on ElastiServices may be late and skip phases; the leader reads the phase afresh for each step.
 */
export const broken = {
  nobody: "a request is lost: the node leads to nobody",
  wrongPod: "a request is lost: the node leads to a pod that cannot take it",
  podEnded: "a request is lost: its pod is ended under it",
  zeroAfterWake: "a zero lands after a wake",
  zeroWhileActive: "a zero lands though it was not idle",
  heldForEver: (alone: Mover) => `a request is held for ever when only the ${alone} acts`,
} as const;

/** A pod is about to be told to end. */
export function endingPod(s: State, pod: number): string | undefined {
  return s.requests.some((q) => podOf(q) === pod) ? broken.podEnded : undefined;
}

/** A node has led a request to a pod. */
export function ledTo(s: State, pod: number): string | undefined {
  return s.pods[pod] === READY ? undefined : broken.wrongPod;
}

/** A zero has taken effect. @param current no phase was written since it was decided */
export function zeroLanded(s: State, current: boolean): string | undefined {
  if (s.phase !== SEALED || !current) return broken.zeroAfterWake;
  return s.busy ? broken.zeroWhileActive : undefined;
}

export const holds = (s: State): boolean => s.requests.some(isHeld);
