import type { Generated } from "kysely";

/** JSON as text, parsed where rows become objects. */
type Json = string;
/** RFC 3339 in UTC with milliseconds, so that text sorts as time does. */
type Time = string;
/** SQLite answers with 0 and 1. */
type Flag = boolean | number;

export interface PolicyRow {
  id: string;
  name: string;
  description: string;
  target_type: string;
  target_id: string | null;
  target_namespace: string | null;
  target_name: string | null;
  target_api_version: string | null;
  target_kind: string | null;
  min_replicas: number;
  max_replicas: number;
  cooldown_seconds: number;
  max_hourly_cost: number | null;
  price_per_replica_hour: number | null;
  scale_to_zero: Flag;
  enabled: Flag;
  shadow: Flag;
  behavior: Json;
  version: number;
  created_at: Time;
  updated_at: Time;
}

export interface RuleRow {
  id: string;
  policy_id: string;
  rule_type: "scale_up" | "scale_down";
  position: number;
  name: string | null;
  condition: Json;
  duration_seconds: number;
  scale_by: number;
  /** Whether scale_by is percent. */
  scale_by_percent: Flag;
}

export interface ScheduleRow {
  id: string;
  policy_id: string;
  position: number;
  kind: "moment" | "window";
  name: string | null;
  enabled: Flag;
  timezone: string;
  cron_expression: string | null;
  desired_replicas: number | null;
  window_start: string | null;
  window_end: string | null;
  window_duration: string | null;
  min_replicas: number | null;
  max_replicas: number | null;
}

export interface HistoryRow {
  id: string;
  kind: string;
  policy_id: string | null;
  policy_name: string;
  action: string;
  outcome: string;
  target_type: string;
  target_id: string | null;
  target_namespace: string | null;
  target_name: string | null;
  target_api_version: string | null;
  target_kind: string | null;
  previous_replicas: number | null;
  new_replicas: number | null;
  reason: string;
  triggered_by: string;
  dry_run: Flag;
  details: Json | null;
  executed_at: Time;
}

export interface StateRow {
  policy_id: string;
  current_replicas: number | null;
  floor: number | null;
  pending_conditions: Json;
  recommendations: Json;
  changes: Json;
  last_scale_up_at: Time | null;
  last_scale_down_at: Time | null;
  last_scale_action: string | null;
  schedule_marks: Json;
  decision_mark: string;
  evaluated_at: Time | null;
  arbitrated: string | null;
  intent: Json | null;
}

export interface Tables {
  scaling_policies: PolicyRow;
  scaling_rules: RuleRow;
  scaling_schedules: ScheduleRow;
  scaling_history: HistoryRow;
  scaling_state: StateRow;
  /** One row. */
  scaling_revision: { id: Generated<number>; value: number };
  /** One row: which leader may save states. */
  scaling_term: { id: Generated<number>; value: number };
}

export type DatabaseKind = "postgres" | "sqlite";
