import type { HistoryEntry, PolicyState } from "../contracts.ts";
import type { Policy, PolicyDraft, PolicyRule, PolicySchedule, PolicyTarget, ScaleBy } from "../schema/policy.ts";
import { isUuid, jsonOf, maybeTime, timeOf } from "./encode.ts";
import type { HistoryRow, PolicyRow, RuleRow, ScheduleRow, StateRow } from "./tables.ts";

/** Between what the engine means and what tables hold. */

type TargetColumns = Pick<PolicyRow, "target_namespace" | "target_name" | "target_api_version" | "target_kind">;

function targetColumns(target: PolicyTarget | null): TargetColumns {
  return {
    target_namespace: target?.namespace ?? null,
    target_name: target?.name ?? null,
    target_api_version: target?.api_version ?? null,
    target_kind: target?.kind ?? null,
  };
}

function targetOf(row: TargetColumns): PolicyTarget | null {
  if (row.target_namespace === null || row.target_name === null) return null;
  return {
    namespace: row.target_namespace,
    name: row.target_name,
    ...(row.target_api_version === null ? {} : { api_version: row.target_api_version }),
    ...(row.target_kind === null ? {} : { kind: row.target_kind }),
  };
}

/** JSON of a column, or what is inside of JSON already. */
const parsed = (value: unknown): unknown => (typeof value === "string" ? JSON.parse(value) : value);

export function policyRow(policy: PolicyDraft): Omit<PolicyRow, "version" | "created_at" | "updated_at"> {
  return {
    id: policy.id,
    name: policy.name,
    description: policy.description,
    target_type: policy.target_type,
    target_id: policy.target_id?.toLowerCase() ?? null,
    ...targetColumns(policy.target_ref),
    min_replicas: policy.min_replicas,
    max_replicas: policy.max_replicas,
    cooldown_seconds: policy.cooldown_seconds,
    max_hourly_cost: policy.max_hourly_cost,
    price_per_replica_hour: policy.price_per_replica_hour,
    scale_to_zero: policy.scale_to_zero,
    enabled: policy.enabled,
    shadow: policy.shadow,
    behavior: jsonOf(policy.behavior),
  };
}

/** A policy with its parts, each in its order. */
export function policyOf(
  row: PolicyRow,
  rules: readonly Omit<RuleRow, "policy_id">[],
  schedules: readonly Omit<ScheduleRow, "policy_id">[],
): Policy {
  const rulesOf = (type: RuleRow["rule_type"]) => rules.filter((rule) => rule.rule_type === type).map(ruleOf);
  return {
    id: row.id,
    name: row.name,
    description: row.description,
    target_type: row.target_type,
    target_id: row.target_id,
    target_ref: targetOf(row),
    min_replicas: row.min_replicas,
    max_replicas: row.max_replicas,
    cooldown_seconds: row.cooldown_seconds,
    max_hourly_cost: row.max_hourly_cost,
    price_per_replica_hour: row.price_per_replica_hour,
    scale_to_zero: Boolean(row.scale_to_zero),
    enabled: Boolean(row.enabled),
    shadow: Boolean(row.shadow),
    behavior: parsed(row.behavior) as Policy["behavior"],
    scale_up_rules: rulesOf("scale_up"),
    scale_down_rules: rulesOf("scale_down"),
    schedules: schedules.map(scheduleOf),
    version: row.version,
    created_at: row.created_at,
    updated_at: row.updated_at,
  };
}

export function ruleRow(rule: PolicyRule, type: RuleRow["rule_type"], position: number): Omit<RuleRow, "policy_id"> {
  return {
    id: rule.id,
    rule_type: type,
    position,
    name: rule.name ?? null,
    condition: jsonOf(rule.when),
    duration_seconds: rule.duration_seconds,
    scale_by: Number.parseInt(String(rule.scale_by), 10),
    scale_by_percent: typeof rule.scale_by === "string",
  };
}

function ruleOf(row: Omit<RuleRow, "policy_id">): PolicyRule {
  const scaleBy: ScaleBy = row.scale_by_percent ? `${row.scale_by}%` : row.scale_by;
  return {
    id: row.id,
    ...(row.name === null ? {} : { name: row.name }),
    when: parsed(row.condition) as PolicyRule["when"],
    duration_seconds: row.duration_seconds,
    scale_by: scaleBy,
  };
}

export function scheduleRow(schedule: PolicySchedule, position: number): Omit<ScheduleRow, "policy_id"> {
  const window = schedule.kind === "window" ? schedule : undefined;
  const moment = schedule.kind === "moment" ? schedule : undefined;
  return {
    id: schedule.id,
    position,
    kind: schedule.kind,
    name: schedule.name ?? null,
    enabled: schedule.enabled,
    timezone: schedule.timezone,
    cron_expression: moment?.cron_expression ?? null,
    desired_replicas: moment?.desired_replicas ?? null,
    window_start: window?.start ?? null,
    window_end: window?.end ?? null,
    window_duration: window?.duration ?? null,
    min_replicas: window?.min_replicas ?? null,
    max_replicas: window?.max_replicas ?? null,
  };
}

function scheduleOf(row: Omit<ScheduleRow, "policy_id">): PolicySchedule {
  const common = {
    id: row.id,
    ...(row.name === null ? {} : { name: row.name }),
    enabled: Boolean(row.enabled),
    timezone: row.timezone,
  };
  if (row.kind === "moment") {
    return {
      ...common,
      kind: "moment",
      cron_expression: row.cron_expression!,
      desired_replicas: row.desired_replicas!,
    };
  }
  return {
    ...common,
    kind: "window",
    start: row.window_start!,
    ...(row.window_end === null ? {} : { end: row.window_end }),
    ...(row.window_duration === null ? {} : { duration: row.window_duration }),
    ...(row.min_replicas === null ? {} : { min_replicas: row.min_replicas }),
    ...(row.max_replicas === null ? {} : { max_replicas: row.max_replicas }),
  };
}

/** One that is none must not keep the lines beside it from being written. */
const maybeUuid = (id: string | null): string | null => (id !== null && isUuid(id) ? id.toLowerCase() : null);

/** With JSON as it is, to be written in one piece. */
export function historyRow(entry: HistoryEntry): Omit<HistoryRow, "details"> & { details: unknown } {
  return {
    id: entry.id.toLowerCase(),
    kind: entry.kind,
    policy_id: maybeUuid(entry.policy_id),
    policy_name: entry.policy_name,
    action: entry.action,
    outcome: entry.outcome,
    target_type: entry.target_type,
    target_id: maybeUuid(entry.target_id),
    ...targetColumns(entry.target_ref),
    previous_replicas: entry.previous_replicas,
    new_replicas: entry.new_replicas,
    reason: entry.reason,
    triggered_by: entry.triggered_by,
    dry_run: entry.dry_run,
    details: entry.details ?? null,
    executed_at: timeOf(entry.executed_at),
  };
}

export function historyEntry(row: HistoryRow): HistoryEntry {
  return {
    id: row.id,
    kind: row.kind as HistoryEntry["kind"],
    policy_id: row.policy_id,
    policy_name: row.policy_name,
    action: row.action as HistoryEntry["action"],
    outcome: row.outcome as HistoryEntry["outcome"],
    target_type: row.target_type,
    target_id: row.target_id,
    target_ref: targetOf(row),
    previous_replicas: row.previous_replicas,
    new_replicas: row.new_replicas,
    reason: row.reason,
    triggered_by: row.triggered_by,
    dry_run: Boolean(row.dry_run),
    details: row.details === null ? null : JSON.parse(row.details),
    executed_at: row.executed_at,
  };
}

export type StateValues = Omit<
  StateRow,
  "pending_conditions" | "recommendations" | "changes" | "schedule_marks" | "intent"
> & {
  pending_conditions: unknown;
  recommendations: unknown;
  changes: unknown;
  schedule_marks: unknown;
  intent: unknown;
};

/** With JSON as it is, to be written in one piece. */
export function stateRow(state: PolicyState): StateValues {
  return {
    policy_id: state.policy_id.toLowerCase(),
    current_replicas: state.current_replicas,
    floor: state.floor,
    pending_conditions: state.holds,
    recommendations: state.recommendations,
    changes: state.changes,
    last_scale_up_at: maybeTime(state.last_scale_up_at),
    last_scale_down_at: maybeTime(state.last_scale_down_at),
    last_scale_action: state.last_scale_action,
    schedule_marks: state.schedule_marks,
    decision_mark: state.decision_mark,
    evaluated_at: maybeTime(state.evaluated_at),
    arbitrated: state.arbitrated,
    intent: state.intent,
  };
}

export function stateOf(row: StateRow): PolicyState {
  return {
    policy_id: row.policy_id,
    current_replicas: row.current_replicas,
    floor: row.floor,
    holds: parsed(row.pending_conditions) as PolicyState["holds"],
    recommendations: parsed(row.recommendations) as PolicyState["recommendations"],
    changes: parsed(row.changes) as PolicyState["changes"],
    last_scale_up_at: row.last_scale_up_at,
    last_scale_down_at: row.last_scale_down_at,
    last_scale_action: row.last_scale_action,
    schedule_marks: parsed(row.schedule_marks) as PolicyState["schedule_marks"],
    decision_mark: row.decision_mark,
    evaluated_at: row.evaluated_at,
    arbitrated: row.arbitrated,
    intent: row.intent === null ? null : (JSON.parse(row.intent) as PolicyState["intent"]),
  };
}
