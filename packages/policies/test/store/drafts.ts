import { randomUUID } from "node:crypto";
import type { HistoryEntry, PolicyDraft, PolicyRule, PolicySchedule, PolicyState } from "../../src/index.ts";

export function draft(more: Partial<PolicyDraft> = {}): PolicyDraft {
  return {
    id: randomUUID(),
    name: `policy-${randomUUID()}`,
    description: "",
    target_type: "workload",
    target_id: null,
    target_ref: { namespace: "default", name: "web", api_version: "apps/v1", kind: "Deployment" },
    min_replicas: 1,
    max_replicas: 10,
    cooldown_seconds: 300,
    max_hourly_cost: null,
    price_per_replica_hour: null,
    scale_to_zero: false,
    enabled: true,
    shadow: false,
    behavior: {},
    scale_up_rules: [],
    scale_down_rules: [],
    schedules: [],
    ...more,
  };
}

export function rule(more: Partial<PolicyRule> = {}): PolicyRule {
  return {
    id: randomUUID(),
    when: { metric: "queue", operator: "gt", threshold: 10 },
    duration_seconds: 60,
    scale_by: 2,
    ...more,
  };
}

export function windowOf(more: object = {}): PolicySchedule {
  return {
    id: randomUUID(),
    kind: "window",
    enabled: true,
    timezone: "Europe/Berlin",
    start: "0 8 * * 1-5",
    end: "0 18 * * 1-5",
    min_replicas: 3,
    max_replicas: 20,
    ...more,
  };
}

export function momentOf(more: object = {}): PolicySchedule {
  return {
    id: randomUUID(),
    kind: "moment",
    enabled: true,
    timezone: "UTC",
    cron_expression: "0 8 * * *",
    desired_replicas: 4,
    ...more,
  };
}

export function entry(more: Partial<HistoryEntry> = {}): HistoryEntry {
  return {
    id: randomUUID(),
    kind: "action",
    policy_id: null,
    policy_name: "night",
    action: "scale_up",
    outcome: "executed",
    target_type: "workload",
    target_id: null,
    target_ref: { namespace: "default", name: "web" },
    previous_replicas: 1,
    new_replicas: 3,
    reason: "queue is 12, more than 10",
    triggered_by: "operator",
    dry_run: false,
    details: null,
    executed_at: "2026-01-01T00:00:00.000Z",
    ...more,
  };
}

export function state(policyId: string, more: Partial<PolicyState> = {}): PolicyState {
  return {
    policy_id: policyId,
    current_replicas: 2,
    floor: 3,
    holds: { k1: { since: "2026-01-01T00:00:00.000Z", seen: "2026-01-01T00:01:00.000Z" } },
    recommendations: [{ at: "2026-01-01T00:00:00.000Z", replicas: 3 }],
    changes: [{ at: "2026-01-01T00:00:00.000Z", from: 1, to: 2 }],
    last_scale_up_at: "2026-01-01T00:00:00.000Z",
    last_scale_down_at: null,
    last_scale_action: "scale_up",
    schedule_marks: { s1: "2026-01-01T08:00:00.000Z" },
    decision_mark: "none",
    evaluated_at: "2026-01-01T00:01:00.000Z",
    arbitrated: "rules:3",
    intent: null,
    ...more,
  };
}
