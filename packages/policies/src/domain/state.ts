import type { Decision, PolicyState } from "../contracts.ts";

/** The state of a policy that was never evaluated. */
export function initialState(policyId: string): PolicyState {
  return {
    policy_id: policyId,
    current_replicas: null,
    floor: null,
    holds: {},
    recommendations: [],
    changes: [],
    last_scale_up_at: null,
    last_scale_down_at: null,
    last_scale_action: null,
    schedule_marks: {},
    decision_mark: "",
    evaluated_at: null,
    arbitrated: null,
    intent: null,
  };
}

/**
 * What makes a decision another one than the last: what it does and what holds it back, not the values that it saw, which are
 * others every time.
 */
export function decisionMark(decision: Decision): string {
  return JSON.stringify([
    decision.action,
    decision.action === "none" ? null : decision.desired_replicas,
    decision.bounds.min,
    decision.bounds.max,
    decision.triggered_by,
    decision.held_back?.by ?? null,
    decision.windows,
    decision.wants_awake,
    decision.wants_zero,
  ]);
}
