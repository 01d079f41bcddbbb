import type { Condition } from "@elasti/api";

/** A condition as it stands now; times are added by `setConditions`. */
export interface ConditionUpdate {
  readonly type: string;
  readonly status: Condition["status"];
  readonly reason: string;
  readonly message: string;
}

/** The API server takes longer messages; nobody reads them. */
const MAX_MESSAGE = 1_024;

/**
 * The conditions that `updates` say, in their order; others go. `lastTransitionTime` moves only when status changes. A message that
 * changed alone is taken over only together with a change of status or reason: numbers in messages would otherwise write
 * status in every round.
 */
export function setConditions(
  before: readonly Condition[],
  updates: readonly ConditionUpdate[],
  options: { readonly nowMs: number; readonly generation: number | undefined },
): Condition[] {
  const { nowMs, generation } = options;
  return updates.map(({ type, status, reason, message }) => {
    const old = before.find((condition) => condition.type === type);
    const same = old !== undefined && old.status === status && old.reason === reason;
    return {
      type,
      status,
      reason,
      message: same ? old.message : message.slice(0, MAX_MESSAGE),
      lastTransitionTime: old?.status === status ? old.lastTransitionTime : new Date(nowMs).toISOString(),
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    };
  });
}
