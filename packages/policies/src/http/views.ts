import type { Override, OverrideState } from "@elasti/scaling";
import type { HistoryEntry, Page, PolicyState } from "../contracts.ts";
import { policyBody } from "../domain/body.ts";
import type { Savings } from "../domain/savings.ts";
import type { Policy, PolicyDraft } from "../schema/policy.ts";
import type { Evaluation, StateAnswer } from "../service/evaluation.ts";
import type { IdleAnswer } from "../service/idle.ts";
import type { PolicySavings, SavingsSummary } from "../service/savings.ts";
import type { WakeAnswer } from "../service/wake.ts";

/** What is answered, made of what the services give. Shapes are those of answers.ts. */

const moment = (ms: number | undefined): string | null => (ms === undefined ? null : new Date(ms).toISOString());
const cents = (value: number): number => Math.round(value * 1e6) / 1e6;

export function policyView(policy: Policy) {
  const { id, version, created_at, updated_at } = policy;
  return { id, ...policyBody(policy), version, created_at, updated_at };
}

/** Of a policy that is not kept: its ids would mean nothing. */
export function checkView(draft: PolicyDraft) {
  const body = policyBody(draft);
  const withoutIds = <T extends { id?: string }>(all: readonly T[] = []) => all.map(({ id: _, ...rest }) => rest);
  const { scale_up_rules, scale_down_rules, schedules } = body;
  return {
    policy: {
      ...body,
      scale_up_rules: withoutIds(scale_up_rules),
      scale_down_rules: withoutIds(scale_down_rules),
      schedules: withoutIds(schedules),
    },
  };
}

export const policiesView = ({ items, total, next }: Page<Policy>) => ({
  policies: items.map(policyView),
  total_count: total,
  next,
});

export function evaluationView({ decision, outcome, message }: Evaluation, dryRun: boolean) {
  const { action, current_replicas, desired_replicas, reason } = decision;
  return {
    decision,
    current_replicas,
    would_scale: desired_replicas !== null && desired_replicas !== current_replicas,
    action,
    desired_replicas,
    reason,
    dry_run: dryRun,
    outcome,
    ...(message === undefined ? {} : { message }),
  };
}

export const stateView = ({ policy, state, cooldownEndsMs }: StateAnswer) => ({
  policy_id: policy.id,
  policy_name: policy.name,
  in_cooldown: cooldownEndsMs !== undefined,
  cooldown_ends: moment(cooldownEndsMs),
  state: state === undefined ? null : stateOf(state),
});

function stateOf(state: PolicyState) {
  const { policy_id, current_replicas, last_scale_up_at, last_scale_down_at, last_scale_action } = state;
  const times = [last_scale_up_at, last_scale_down_at].filter((at) => at !== null).sort();
  return {
    policy_id,
    current_replicas,
    last_scale_time: times.at(-1) ?? null,
    last_scale_action,
    last_scale_up_at,
    last_scale_down_at,
    pending_conditions: Object.fromEntries(Object.entries(state.holds).map(([key, { since }]) => [key, since])),
    updated_at: state.evaluated_at,
  };
}

/** @param name of the list in the answer */
export const historyView = (name: "history" | "decisions", { items, total, at_least, next }: Page<HistoryEntry>) => ({
  [name]: items,
  total_count: total,
  ...(at_least === undefined ? {} : { at_least }),
  next,
});

export function wakeView({ policyId, previousReplicas, targetReplicas, reason, status, message, error }: WakeAnswer) {
  const replicas = { previous_replicas: previousReplicas, target_replicas: targetReplicas };
  return { policy_id: policyId, ...replicas, reason, status, message, ...(error === undefined ? {} : { error }) };
}

export const wakeAllView = (answers: readonly WakeAnswer[]) => ({
  woken: answers.filter(({ status, alreadyRunning }) => status !== "failed" && !alreadyRunning).length,
  already_running: answers.filter(({ alreadyRunning }) => alreadyRunning).length,
  failed: answers.filter(({ status }) => status === "failed").length,
  policies: answers.map(wakeView),
});

export const idleView = (idle: IdleAnswer) => ({
  policy_id: idle.policy.id,
  policy_name: idle.policy.name,
  last_activity_at: moment(idle.lastActivityMs),
  idle_since: moment(idle.lastActivityMs ?? idle.scaledToZeroMs),
  idle_duration_seconds: idle.idleMs / 1_000,
  is_scaled_to_zero: idle.scaledToZero,
  scaled_to_zero_at: moment(idle.scaledToZeroMs),
  last_wake_at: moment(idle.lastWakeMs),
  wake_reason: idle.wakeReason ?? null,
});

type Slept = Pick<Savings, "hours_slept" | "replica_hours_saved" | "money_saved">;
const sleptView = ({ hours_slept, replica_hours_saved, money_saved }: Slept) => ({
  idle_hours: hours_slept,
  scaled_to_zero_hours: hours_slept,
  replica_hours_saved,
  savings: money_saved,
});

export const savingsView = ({ policyId, policyName, savings }: PolicySavings, days: number) => ({
  policy_id: policyId,
  policy_name: policyName,
  period: `last_${days}_days`,
  total_idle_hours: savings.hours_slept,
  total_scaled_to_zero_hours: savings.hours_slept,
  total_replica_hours_saved: savings.replica_hours_saved,
  estimated_savings: savings.money_saved,
  daily_breakdown: savings.days.map((day) => ({ date: day.date, ...sleptView(day) })),
});

/** @param limit policies that are listed, of all that are counted */
export const summaryView = ({ policies, policyCount, total }: SavingsSummary, days: number, limit: number) => ({
  period: `last_${days}_days`,
  total_idle_hours: cents(total.hours),
  total_scaled_to_zero_hours: cents(total.hours),
  total_replica_hours_saved: cents(total.replicaHours),
  total_savings: cents(total.money),
  policy_count: policyCount,
  policies: policies.slice(0, limit).map(({ policyId, policyName, savings }) => ({
    policy_id: policyId,
    policy_name: policyName,
    ...sleptView(savings),
  })),
});

export function overrideView(found: Exclude<OverrideState, { state: "none" }>) {
  if (found.state === "invalid") return { state: found.state, override: null, problems: found.problems };
  return { state: found.state, override: overrideOf(found.override) };
}

function overrideOf({ untilMs: _, kind, ...rest }: Override & { readonly replicas?: number }) {
  return { kind: kind === "at-least" ? "at_least" : kind, ...rest };
}
