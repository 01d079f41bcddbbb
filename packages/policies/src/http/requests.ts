import { type TProperties, Type } from "typebox";
import { historyActions, historyOutcomes } from "../contracts.ts";
import { MAX_REPLICAS, NewPolicySchema, PolicyChangeSchema } from "../schema/policy.ts";
import { wakeReasons } from "../service/elasti-services.ts";
import { overrideKinds } from "../service/overrides.ts";

/** What may be sent. Names that clients of other policy engines know are theirs. */

const strict = { additionalProperties: false } as const;
const object = <T extends TProperties>(properties: T, title?: string) =>
  Type.Object(properties, { ...strict, ...(title === undefined ? {} : { title }) });
const oneOf = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number]>({ type: "string", enum: [...values], description });
const text = (maxLength: number, description: string) => Type.String({ minLength: 1, maxLength, description });
const moment = (description: string) => Type.String({ format: "date-time", description });

export const MAX_LIMIT = 1_000;
const page = {
  limit: Type.Optional(
    Type.Integer({ minimum: 1, maximum: MAX_LIMIT, default: 100, description: "Items of this page." }),
  ),
  after: Type.Optional(text(2_000, "`next` of the page before.")),
};

export const PolicyParams = object({ id: Type.String({ format: "uuid", description: "Of the policy." }) });

export const PoliciesQuery = object({
  enabled: Type.Optional(Type.Boolean({ description: "Only those that are, or are not." })),
  target_type: Type.Optional(text(63, "Only those of this type.")),
  namespace: Type.Optional(text(63, "Only those whose target is in it.")),
  name: Type.Optional(text(253, "Only the one of this name.")),
  ...page,
});

export const NewPolicyBody = Type.Object(NewPolicySchema.properties, { ...strict, title: "NewPolicy" });

/** A policy as it was answered may be sent back: what cannot be changed is accepted as it is. */
export const PolicyChangeBody = Type.Object(
  {
    ...PolicyChangeSchema.properties,
    id: Type.Optional(Type.String({ format: "uuid", description: "That of the path." })),
    version: Type.Optional(
      Type.Integer({ minimum: 1, description: "Only this version is changed, as with If-Match." }),
    ),
    created_at: Type.Optional(Type.String({ description: "Not looked at." })),
    updated_at: Type.Optional(Type.String({ description: "Not looked at." })),
  },
  { ...strict, title: "PolicyChange" },
);

export const EvaluateBody = object(
  { dry_run: Type.Optional(Type.Boolean({ default: true, description: "Only `false` has done what is decided." })) },
  "Evaluate",
);

const historyFilters = {
  kind: Type.Optional(
    oneOf(["action", "decision", "all"], "What was done (`action`), decisions that changed (`decision`), or both."),
  ),
  action: Type.Optional(oneOf(historyActions, "Only entries of this action.")),
  outcome: Type.Optional(oneOf(historyOutcomes, "Only entries with this outcome.")),
  dry_run: Type.Optional(Type.Boolean({ description: "Only what was meant, or only what was done." })),
  since: Type.Optional(moment("From this moment on.")),
  until: Type.Optional(moment("Before this moment.")),
};

export const PolicyHistoryQuery = object({ ...historyFilters, ...page });
const { kind: _kind, ...decisionFilters } = historyFilters;
export const DecisionsQuery = object({ ...decisionFilters, ...page });

export const HistoryQuery = object({
  policy_id: Type.Optional(Type.String({ format: "uuid", description: "Only of this policy." })),
  policy_name: Type.Optional(text(253, "Only of policies that had this name; one that is gone has nothing else.")),
  namespace: Type.Optional(text(63, "Only of targets in it.")),
  target_name: Type.Optional(text(253, "Only of targets of this name.")),
  ...historyFilters,
  ...page,
});

const reason = Type.Optional(oneOf(wakeReasons, "Why; `manual` where left out."));
export const WakeBody = object(
  {
    reason,
    wait_for_ready: Type.Optional(
      Type.Boolean({ default: false, description: "Answers once it serves, or after two minutes." }),
    ),
  },
  "Wake",
);
export const WakeAllBody = object(
  {
    reason,
    policy_ids: Type.Optional(
      Type.Array(Type.String({ format: "uuid" }), {
        maxItems: MAX_LIMIT,
        description: "These; all that sleep where left out.",
      }),
    ),
  },
  "WakeAll",
);

const days = Type.Optional(
  Type.Integer({ minimum: 1, maximum: 366, default: 30, description: "So many days back from now." }),
);
export const SavingsQuery = object({ days });
export const SavingsSummaryQuery = object({ days, namespace: Type.Optional(text(63, "Only of targets in it.")) });
export const AsleepQuery = object({ limit: page.limit });

export const OverrideParams = object({
  namespace: Type.String({ pattern: "^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", description: "Namespace of the target." }),
  kind: Type.String({
    pattern: "^[A-Za-z][A-Za-z0-9]{0,62}(\\.[a-z0-9][-a-z0-9.]{0,189})?$",
    description: "Kind of the target, such as Deployment, elastiservice or rollouts.argoproj.io.",
  }),
  name: Type.String({ pattern: "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", description: "Name of the target." }),
});
export const OverrideBody = object(
  {
    kind: oneOf(
      overrideKinds,
      "`pin` to so many replicas, `pause` every decision, `at_least` so many, keep it `awake` or `asleep`.",
    ),
    replicas: Type.Optional(
      Type.Integer({ minimum: 0, maximum: MAX_REPLICAS, description: "Of pin and at_least, and only of them." }),
    ),
    until: moment("When it ends by itself; within a year."),
    reason: text(1_000, "For those who wonder."),
  },
  "NewOverride",
);
