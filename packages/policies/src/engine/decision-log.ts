import type { Decision, HistoryEntry } from "../contracts.ts";
import { decisionMark } from "../domain/state.ts";
import type { Policy } from "../schema/policy.ts";
import type { Plan } from "./plan.ts";

/** What history says of evaluations: pure. */

/** Longest reason that is kept. */
const maxReason = 2_000;

export interface EntryContext {
  readonly id: string;
  readonly policy: Policy;
  readonly nowMs: number;
  readonly previous: number | null;
  readonly decision: Decision;
  readonly plan: Plan;
  /** Who asked for this evaluation; undefined: the engine itself. */
  readonly manualBy?: string;
}

/** What a decision and its outcome are, without the values that differ from one time to the next: only a change is recorded. */
export const markOf = (decision: Decision, plan: Plan, outcome: HistoryEntry["outcome"]): string =>
  JSON.stringify([outcome, plan.heldBack?.by ?? null, plan.winner, decisionMark(decision)]);

/** The line of an action. */
export function actionEntry(context: EntryContext, outcome: HistoryEntry["outcome"], message = ""): HistoryEntry {
  const { plan, decision, previous } = context;
  const { write } = plan;
  return {
    ...common(context),
    kind: "action",
    action: actionOf(context),
    outcome,
    new_replicas: write?.replicas ?? decision.desired_replicas,
    previous_replicas: previous,
    reason: short([reasonOf(context), message].filter((part) => part !== "").join(": ")),
    dry_run: outcome === "dry_run" || outcome === "shadow",
  };
}

/** The line of a decision that is another than the last. */
export function decisionEntry(context: EntryContext, outcome: HistoryEntry["outcome"]): HistoryEntry {
  const { decision, plan, previous } = context;
  const held = decision.held_back ?? plan.heldBack;
  return {
    ...common(context),
    kind: "decision",
    action: decision.action,
    outcome,
    previous_replicas: previous,
    new_replicas: decision.desired_replicas,
    reason: short(withMessage(decision.reason, held?.message ?? "")),
    dry_run: false,
  };
}

function common({ id, policy, nowMs, decision, plan, manualBy }: EntryContext) {
  return {
    id,
    policy_id: policy.id,
    policy_name: policy.name,
    target_type: policy.target_type,
    target_id: policy.target_id,
    target_ref: policy.target_ref,
    triggered_by:
      manualBy === undefined
        ? plan.winner === "override"
          ? `override:${plan.by ?? "unknown"}`
          : (decision.triggered_by ?? "bounds")
        : `manual:${manualBy}`,
    details: { decision, winner: plan.winner, ...(plan.conflict === undefined ? {} : { conflict: plan.conflict }) },
    executed_at: new Date(nowMs).toISOString(),
  };
}

/** What was done, by whoever won: a decision's own word where it was carried out. */
export function actionOf({ decision, plan, previous, manualBy }: EntryContext): HistoryEntry["action"] {
  if (manualBy !== undefined || plan.winner === "override") return "manual";
  if (decision.action !== "none") return decision.action;
  const { write } = plan;
  return write !== undefined && previous !== null && write.replicas < previous ? "scale_down" : "scale_up";
}

function reasonOf({ decision, plan }: EntryContext): string {
  const { write, winner } = plan;
  const said = winner === "override" ? "an override stands" : decision.reason;
  if (write?.bounds === undefined) return said;
  return `bounds become ${write.bounds.min} to ${write.bounds.max}: ${said}`;
}

/** Nothing is said twice. */
const withMessage = (reason: string, message: string): string =>
  reason.includes(message) ? reason : `${reason}; ${message}`;

const short = (text: string): string => (text.length > maxReason ? `${text.slice(0, maxReason - 3)}...` : text);
