import type { Condition } from "@elasti/api";

/** What a condition should say. */
export interface ConditionUpdate {
  readonly type: string;
  readonly status: Condition["status"];
  readonly reason: string;
  readonly message: string;
  /** Amounts in the message matter: it is taken over whatever changed. */
  readonly exact?: boolean;
}

/** Longest message; whatever an API server or a Prometheus had to say, status stays small. */
export const maxConditionMessage = 1_024;

/** The order in which people read them; others follow by name. */
const order = ["Ready", "RoutingSupported", "TargetFound", "Idle"];

const rankOf = (type: string): number => (order.includes(type) ? order.indexOf(type) : order.length);

/**
 * The conditions that `updates` say, in a stable order; others go. `lastTransitionTime` moves only when status changes. A
 * message of which only numbers changed is not taken over: it would write status in every round.
 * @param before what status says now
 */
export function setConditions(
  before: readonly Condition[],
  updates: readonly ConditionUpdate[],
  options: { readonly nowMs: number; readonly generation: number | undefined },
): Condition[] {
  const { nowMs, generation } = options;
  const byType = new Map(updates.map((update) => [update.type, update]));
  const conditions = [...byType.values()].map(({ type, status, reason: given, message, exact = false }): Condition => {
    const reason = oneWord(given);
    const old = before.find((condition) => condition.type === type);
    const sameStatus = old !== undefined && old.status === status;
    return {
      type,
      status,
      reason,
      message:
        !exact && sameStatus && old.reason === reason && sameWords(old.message, cut(message))
          ? old.message
          : cut(message),
      lastTransitionTime: sameStatus ? old.lastTransitionTime : new Date(nowMs).toISOString(),
      ...(generation === undefined ? {} : { observedGeneration: generation }),
    };
  });
  return conditions.sort((a, b) => rankOf(a.type) - rankOf(b.type) || (a.type < b.type ? -1 : 1));
}

/** Whether two messages differ in amounts alone. Numbers inside words and brackets are names: `web-2`, `triggers[1]`. */
export const sameWords = (a: string, b: string): boolean => withoutAmounts(a) === withoutAmounts(b);

const withoutAmounts = (message: string): string => message.replaceAll(/(?<![\w[-])\d+(?:\.\d+)?/g, "#");

/** Kubernetes' own rule for reasons: letters, digits, underscores, beginning with a letter. */
function oneWord(reason: string): string {
  const word = reason.replaceAll(/[^A-Za-z0-9_]/g, "");
  return /^[A-Za-z]/.test(word) ? word.slice(0, 256) : "Unknown";
}

/** A message as status may have it. */
export function cut(message: string): string {
  return message.length <= maxConditionMessage ? message : `${message.slice(0, maxConditionMessage - 1)}…`;
}
