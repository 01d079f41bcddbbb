import type { NewPolicy, Policy, PolicyDraft, PolicyRule, PolicySchedule, Rule, Schedule } from "../schema/policy.ts";

/**
 * A kept policy as a body that makes the same one again: every default filled in, a rule with one comparison in the short
 * form. The answer of the API is this with `id`, `version` and the times.
 */
export function policyBody(policy: Policy | PolicyDraft): NewPolicy {
  return {
    name: policy.name,
    description: policy.description,
    target_type: policy.target_type,
    target_id: policy.target_id,
    target_ref: policy.target_ref,
    min_replicas: policy.min_replicas,
    max_replicas: policy.max_replicas,
    cooldown_seconds: policy.cooldown_seconds,
    max_hourly_cost: policy.max_hourly_cost,
    price_per_replica_hour: policy.price_per_replica_hour,
    scale_to_zero: policy.scale_to_zero,
    enabled: policy.enabled,
    shadow: policy.shadow,
    behavior: policy.behavior,
    scale_up_rules: policy.scale_up_rules.map(ruleBody),
    scale_down_rules: policy.scale_down_rules.map(ruleBody),
    schedules: policy.schedules.map(scheduleBody),
  };
}

export function ruleBody(rule: PolicyRule): Rule {
  const { when, ...rest } = rule;
  if (!("metric" in when) || (when.duration_seconds ?? 0) > 0) return { ...rest, when };
  const { metric, operator, threshold } = when;
  return { ...rest, metric, operator, threshold };
}

export function scheduleBody(schedule: PolicySchedule): Schedule {
  const { kind: _kind, ...rest } = schedule;
  return rest;
}
