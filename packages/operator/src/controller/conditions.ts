import type { Condition } from "@elasti/api";

/** What a condition should say. */
export interface ConditionUpdate {
  readonly type: string;
  readonly status: Condition["status"];
  readonly reason: string;
  readonly message: string;
}

/** Longest message; whatever an API server or a Prometheus had to say, status stays small. */
export const maxConditionMessage = 1_024;

/** The order in which people read them; others follow by name. */
const order = ["Ready", "RoutingSupported", "TargetFound", "Idle"];

const rankOf = (type: string): number => (order.includes(type) ? order.indexOf(type) : order.length);

/**
 * The conditions of a status: exactly those in `updates`, in a stable order. A condition whose status is what it was keeps
 * its transition time; one that changes nothing but that time is left as it was, so that equal input gives equal output.
 * @param existing what status says now
 * @param options.before where former times are looked up, where that is not `existing`
 */
export function setConditions(
  existing: readonly Condition[],
  updates: readonly ConditionUpdate[],
  options: { nowMs: number; generation?: number | undefined; before?: readonly Condition[] },
): Condition[] {
  const before = options.before ?? existing;
  const byType = new Map(updates.map((update) => [update.type, update]));
  const conditions = [...byType.values()].map((update): Condition => {
    const old = before.find(({ type }) => type === update.type);
    return {
      type: update.type,
      status: update.status,
      reason: oneWord(update.reason),
      message: cut(update.message),
      lastTransitionTime:
        old?.status === update.status ? old.lastTransitionTime : new Date(options.nowMs).toISOString(),
      ...(options.generation === undefined ? {} : { observedGeneration: options.generation }),
    };
  });
  return conditions.sort((a, b) => rankOf(a.type) - rankOf(b.type) || (a.type < b.type ? -1 : 1));
}

/** Kubernetes' own rule for reasons: letters, digits, underscores, beginning with a letter. */
function oneWord(reason: string): string {
  const word = reason.replaceAll(/[^A-Za-z0-9_]/g, "");
  return /^[A-Za-z]/.test(word) ? word.slice(0, 256) : "Unknown";
}

function cut(message: string): string {
  return message.length <= maxConditionMessage ? message : `${message.slice(0, maxConditionMessage - 1)}…`;
}
