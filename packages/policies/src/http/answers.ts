import { type TProperties, type TSchema, Type } from "typebox";
import { historyActions, historyOutcomes, holdBacks } from "../contracts.ts";
import { NewPolicySchema, TargetRefSchema } from "../schema/policy.ts";
import { overrideKinds } from "../service/overrides.ts";

/** What is answered. Clients must let fields pass that they do not know. */

const object = <T extends TProperties>(title: string, properties: T) => Type.Object(properties, { title });
const oneOf = <const T extends readonly string[]>(values: T, description?: string) =>
  Type.Unsafe<T[number]>({ type: "string", enum: [...values], ...(description === undefined ? {} : { description }) });
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);
const uuid = Type.String({ format: "uuid" });
const moment = Type.String({ format: "date-time" });
const count = Type.Integer({ minimum: 0 });
const hours = Type.Number({ minimum: 0 });

export const ProblemAnswer = object("Problem", {
  type: Type.String(),
  title: Type.String(),
  status: Type.Integer(),
  detail: Type.Optional(Type.String()),
  instance: Type.Optional(Type.String()),
  reason: Type.Optional(Type.String({ description: "A heading of the page of troubleshooting." })),
  errors: Type.Optional(Type.Array(Type.Object({ field: Type.String(), message: Type.String() }))),
});

export const PolicySchema = object("Policy", {
  id: uuid,
  ...Type.Required(NewPolicySchema).properties,
  version: Type.Integer({ minimum: 1, description: "Raised by every change; the ETag." }),
  created_at: moment,
  updated_at: moment,
});
export const CheckAnswer = Type.Object({ policy: object("CheckedPolicy", Type.Required(NewPolicySchema).properties) });
export const PolicyAnswer = Type.Object({ policy: PolicySchema });
export const PoliciesAnswer = Type.Object({
  policies: Type.Array(PolicySchema),
  total_count: count,
  next: nullable(Type.String({ description: "What `after` has to be for the next page." })),
});
export const MessageAnswer = Type.Object({ message: Type.String() });

const ConditionResultSchema = Type.Unsafe<unknown>(
  Type.Cyclic(
    {
      ConditionResult: Type.Object({
        key: Type.String({ description: "Names it among the conditions of its policy." }),
        text: Type.String(),
        value: Type.Optional(nullable(Type.Number())),
        unknown: Type.Optional(Type.String({ description: "Why the metric is unknown." })),
        met: Type.Boolean({ description: "The comparison alone, now." }),
        held: Type.Boolean({ description: "Met for as long as it has to be." }),
        held_seconds: Type.Optional(Type.Number()),
        parts: Type.Optional(Type.Array(Type.Ref("ConditionResult"))),
      }),
    },
    "ConditionResult",
  ),
);

export const DecisionSchema = object("Decision", {
  action: oneOf(["scale_up", "scale_down", "scheduled", "none"]),
  current_replicas: nullable(count),
  desired_replicas: nullable(count),
  bounds: Type.Object({ min: count, max: count }),
  triggered_by: nullable(Type.String()),
  reason: Type.String(),
  held_back: nullable(Type.Object({ by: oneOf(holdBacks), message: Type.String(), until: Type.Optional(moment) })),
  rules: Type.Array(
    Type.Object({
      rule: Type.String(),
      direction: oneOf(["up", "down"]),
      fired: Type.Boolean(),
      wants: nullable(count),
      condition: ConditionResultSchema,
    }),
  ),
  windows: Type.Array(Type.String()),
  wants_awake: Type.Boolean(),
  wants_zero: Type.Boolean(),
});
export const EvaluationAnswer = object("Evaluation", {
  decision: DecisionSchema,
  current_replicas: nullable(count),
  would_scale: Type.Boolean({ description: "The decision wants another number than there is." }),
  action: DecisionSchema.properties.action,
  desired_replicas: nullable(count),
  reason: Type.String(),
  dry_run: Type.Boolean(),
  outcome: oneOf(historyOutcomes),
  message: Type.Optional(Type.String({ description: "Why it failed." })),
});

export const StateAnswer = object("PolicyState", {
  policy_id: uuid,
  policy_name: Type.String(),
  in_cooldown: Type.Boolean(),
  cooldown_ends: nullable(moment),
  state: nullable(
    Type.Object({
      policy_id: uuid,
      current_replicas: nullable(count),
      last_scale_time: nullable(moment),
      last_scale_action: nullable(Type.String()),
      last_scale_up_at: nullable(moment),
      last_scale_down_at: nullable(moment),
      pending_conditions: Type.Record(Type.String(), moment, {
        description: "Conditions that are met, and since when.",
      }),
      updated_at: nullable(moment),
    }),
  ),
});

export const HistoryEntrySchema = object("HistoryEntry", {
  id: uuid,
  kind: oneOf(["action", "decision"]),
  policy_id: nullable(uuid),
  policy_name: Type.String({ description: "Empty: the operator's own." }),
  action: oneOf(historyActions),
  outcome: oneOf(historyOutcomes),
  target_type: Type.String(),
  target_id: nullable(Type.String()),
  target_ref: nullable(TargetRefSchema),
  previous_replicas: nullable(count),
  new_replicas: nullable(count),
  reason: Type.String(),
  triggered_by: Type.String(),
  dry_run: Type.Boolean(),
  details: Type.Unknown({ description: "The decision with its values, where there is one." }),
  executed_at: moment,
});
const historyPage = {
  total_count: count,
  at_least: Type.Optional(Type.Boolean({ description: "There are more than total_count." })),
  next: nullable(Type.String({ description: "What `after` has to be for the next page." })),
};
export const HistoryAnswer = object("History", { history: Type.Array(HistoryEntrySchema), ...historyPage });
export const DecisionsAnswer = object("Decisions", { decisions: Type.Array(HistoryEntrySchema), ...historyPage });

export const WakeAnswerSchema = object("WakeAnswer", {
  policy_id: uuid,
  previous_replicas: nullable(count),
  target_replicas: nullable(count),
  reason: Type.String(),
  status: oneOf(["completed", "in_progress", "failed"], "`completed`: it is awake."),
  message: Type.String(),
  error: Type.Optional(Type.String({ description: "Code of the failure." })),
});
export const WakeAllAnswer = object("WakeAllAnswer", {
  woken: count,
  already_running: count,
  failed: count,
  policies: Type.Array(WakeAnswerSchema),
});

export const IdleAnswer = object("IdleState", {
  policy_id: uuid,
  policy_name: Type.String(),
  last_activity_at: nullable(moment),
  idle_since: nullable(moment),
  idle_duration_seconds: Type.Number({ minimum: 0 }),
  is_scaled_to_zero: Type.Boolean(),
  scaled_to_zero_at: nullable(moment),
  last_wake_at: nullable(moment),
  wake_reason: nullable(Type.String()),
});
export const AsleepAnswer = object("ScaledToZero", { policies: Type.Array(IdleAnswer), total_count: count });

const money = (description: string) => nullable(Type.Number({ description }));
const slept = {
  idle_hours: Type.Number({
    minimum: 0,
    description: "Hours without anything to do, as far as is known: those asleep.",
  }),
  scaled_to_zero_hours: hours,
  replica_hours_saved: hours,
  savings: money("In the unit of price_per_replica_hour; null without a price."),
};
export const SavingsAnswer = object("Savings", {
  policy_id: uuid,
  policy_name: Type.String(),
  period: Type.String({ description: "Such as last_30_days." }),
  total_idle_hours: hours,
  total_scaled_to_zero_hours: hours,
  total_replica_hours_saved: hours,
  estimated_savings: money("In the unit of price_per_replica_hour; null without a price."),
  daily_breakdown: Type.Array(
    Type.Object({ date: Type.String({ format: "date", description: "In UTC; days on which it slept." }), ...slept }),
  ),
});
export const SavingsSummaryAnswer = object("SavingsSummary", {
  period: Type.String(),
  total_idle_hours: hours,
  total_scaled_to_zero_hours: hours,
  total_replica_hours_saved: hours,
  total_savings: Type.Number({ description: "Of the policies with a price; a target counts once." }),
  policy_count: count,
  policies: Type.Array(Type.Object({ policy_id: uuid, policy_name: Type.String(), ...slept }), {
    description: "Those that slept longest, at most 1,000.",
  }),
});

export const OverrideAnswer = object("OverrideAnswer", {
  state: oneOf(["active", "expired", "invalid"], "Only what is active changes anything."),
  override: nullable(
    object("Override", {
      kind: oneOf(overrideKinds),
      replicas: Type.Optional(count),
      until: moment,
      reason: Type.Optional(Type.String()),
      by: Type.String({ description: "Who wants it." }),
      id: Type.Optional(Type.String()),
    }),
  ),
  problems: Type.Optional(
    Type.Array(Type.Object({ field: Type.String(), message: Type.String() }), {
      description: "What of the annotation is not understood.",
    }),
  ),
});
