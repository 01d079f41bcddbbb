import { type Static, type TSchema, Type } from "typebox";

/**
 * What a scaling policy says: the one source of its types, of what the API accepts, of its defaults and of its documentation.
 * Names, defaults and meaning of what other policy engines know as well are theirs, so that their clients work.
 */

const strict = { additionalProperties: false } as const;
/** What has a title stands once in the document of the API. */
const named = (title: string) => ({ ...strict, title });
const text = (maxLength: number, description: string) => Type.String({ minLength: 1, maxLength, description });
const enumOf = <const T extends readonly string[]>(values: T, description: string) =>
  Type.Unsafe<T[number]>({ type: "string", enum: [...values], description });
const nullable = <T extends TSchema>(schema: T) => Type.Union([schema, Type.Null()]);

export const MAX_RULES = 100;
export const MAX_SCHEDULES = 100;
export const MAX_CONDITIONS = 50;
export const MAX_REPLICAS = 10_000;

/** `gt` >, `lt` <, `gte` >=, `lte` <=, `eq` ==. */
export const operators = ["gt", "lt", "gte", "lte", "eq"] as const;
export type Operator = (typeof operators)[number];

export const PrometheusMetricSchema = Type.Object(
  {
    source: Type.Literal("prometheus"),
    query: text(10_000, "PromQL that gives one number: a scalar, or a vector of one series."),
    server_address: Type.Optional(text(2_000, "Base address; left out: ELASTI_SCALING_PROMETHEUS_URL.")),
  },
  named("PrometheusMetric"),
);
export const ResourceMetricSchema = Type.Object(
  {
    source: Type.Literal("resource"),
    resource: enumOf(["cpu", "memory"], "What is measured, by metrics.k8s.io."),
    statistic: Type.Optional(
      enumOf(
        ["utilization", "average_value"],
        "`utilization` (default): percent of what the pods request. `average_value`: per pod, in cores or bytes.",
      ),
    ),
  },
  named("ResourceMetric"),
);
export const SqlMetricSchema = Type.Object(
  {
    source: Type.Literal("sql"),
    query: text(10_000, "One SELECT that gives one row with one number. It runs in a read-only transaction."),
    connection: text(
      253,
      "Name of a configured connection, or `<Secret>/<key>` with its URL in the target's namespace.",
    ),
  },
  named("SqlMetric"),
);
export const TrafficMetricSchema = Type.Object(
  {
    source: Type.Literal("traffic"),
    signal: enumOf(
      ["requests_per_second", "in_flight", "held"],
      "What the resolvers count of the ElastiService that names the target.",
    ),
  },
  named("TrafficMetric"),
);
/** A metric by its name in the configured catalogue, or said in full. */
export const MetricSchema = Type.Union(
  [
    text(253, "A name out of the configured catalogue of metrics."),
    PrometheusMetricSchema,
    ResourceMetricSchema,
    SqlMetricSchema,
    TrafficMetricSchema,
  ],
  { title: "Metric" },
);
export type Metric = Static<typeof MetricSchema>;
export type MetricSource = Exclude<Metric, string>["source"];

const durationSeconds = Type.Integer({
  minimum: 0,
  maximum: 604_800,
  default: 0,
  description: "How long it must hold.",
});
/** `5m`; the other way to say `duration_seconds`. Only accepted, never answered. */
const duration = Type.String({
  maxLength: 32,
  description: "How long it must hold, such as `5m`; instead of duration_seconds.",
});

/** One comparison. */
export const LeafSchema = Type.Object(
  {
    metric: MetricSchema,
    operator: enumOf(operators, "How the metric is compared with the threshold."),
    threshold: Type.Number({ description: "A finite number." }),
    duration_seconds: Type.Optional(durationSeconds),
    duration: Type.Optional(duration),
  },
  named("Comparison"),
);
export type Leaf = Static<typeof LeafSchema>;

/** A comparison, or a group of them: `any` is true when one of them is, `all` when all are. Groups may hold groups. */
export type Condition = Leaf | { readonly any: readonly Condition[] } | { readonly all: readonly Condition[] };
export const ConditionSchema = Type.Unsafe<Condition>(
  Type.Cyclic(
    {
      Condition: Type.Union([
        LeafSchema,
        Type.Object({ any: Type.Array(Type.Ref("Condition"), { minItems: 1, maxItems: MAX_CONDITIONS }) }, strict),
        Type.Object({ all: Type.Array(Type.Ref("Condition"), { minItems: 1, maxItems: MAX_CONDITIONS }) }, strict),
      ]),
    },
    "Condition",
  ),
);

/** `2`, `-1` or `50%`, `-25%`. Positive in scale-up rules, negative in scale-down rules. */
export const ScaleBySchema = Type.Union([
  Type.Integer({ minimum: -MAX_REPLICAS, maximum: MAX_REPLICAS }),
  Type.String({ pattern: "^-?[1-9][0-9]{0,3}%$", description: 'a share such as "50%"' }),
]);
export type ScaleBy = Static<typeof ScaleBySchema>;

/**
 * When it fires, by how much. Either `metric`, `operator` and `threshold` (as other engines have it), or `when`.
 */
export const RuleSchema = Type.Object(
  {
    id: Type.Optional(
      Type.String({ format: "uuid", description: "Given by Elasti; kept by a rule that stays the same." }),
    ),
    name: Type.Optional(text(253, "For reasons and history.")),
    metric: Type.Optional(MetricSchema),
    operator: Type.Optional(enumOf(operators, "How the metric is compared with the threshold.")),
    threshold: Type.Optional(Type.Number()),
    when: Type.Optional(ConditionSchema),
    duration_seconds: Type.Optional(durationSeconds),
    duration: Type.Optional(duration),
    scale_by: ScaleBySchema,
  },
  named("Rule"),
);
export type Rule = Static<typeof RuleSchema>;

/**
 * Either a moment (`cron_expression` and `desired_replicas`: from then until the next moment of this policy, or until a rule
 * or a person moves it), or a window that moves bounds while rules keep working inside (`start` with `end` or `duration`).
 */
export const ScheduleSchema = Type.Object(
  {
    id: Type.Optional(Type.String({ format: "uuid" })),
    name: Type.Optional(text(253, "For reasons and history.")),
    enabled: Type.Optional(Type.Boolean({ default: true })),
    timezone: Type.Optional(text(64, "IANA name, such as Europe/Berlin; UTC where left out.")),
    cron_expression: Type.Optional(text(253, "Cron with five fields.")),
    desired_replicas: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_REPLICAS })),
    start: Type.Optional(
      text(253, "When the window begins: cron with five fields, or a moment (RFC 3339) for a window that comes once."),
    ),
    end: Type.Optional(text(253, "When it ends: cron with five fields, or a moment.")),
    duration: Type.Optional(text(32, "How long it lasts, of elapsed time, such as `8h30m`; instead of `end`.")),
    min_replicas: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_REPLICAS })),
    max_replicas: Type.Optional(Type.Integer({ minimum: 0, maximum: MAX_REPLICAS })),
  },
  named("Schedule"),
);
export type Schedule = Static<typeof ScheduleSchema>;

/** As in the behaviour of a HorizontalPodAutoscaler. */
export const DirectionBehaviorSchema = Type.Object(
  {
    stabilization_window_seconds: Type.Optional(
      Type.Integer({
        minimum: 0,
        maximum: 3_600,
        description: "The least drastic of what was wanted within it is done.",
      }),
    ),
    max_replicas_per_period: Type.Optional(Type.Integer({ minimum: 1, maximum: MAX_REPLICAS })),
    max_percent_per_period: Type.Optional(Type.Integer({ minimum: 1, maximum: 10_000 })),
    period_seconds: Type.Optional(Type.Integer({ minimum: 1, maximum: 1_800, default: 60 })),
    cooldown_seconds: Type.Optional(
      Type.Integer({ minimum: 0, maximum: 604_800, description: "For this direction; the policy's where left out." }),
    ),
  },
  named("DirectionBehavior"),
);
export type DirectionBehavior = Static<typeof DirectionBehaviorSchema>;

/** The object that is scaled. Which kind it is says `target_type`, where that leaves it open `api_version` and `kind`. */
export const TargetRefSchema = Type.Object(
  {
    namespace: text(63, "Its namespace."),
    name: text(253, "Its name."),
    api_version: Type.Optional(text(253, "Such as apps/v1.")),
    kind: Type.Optional(text(63, "Such as Deployment.")),
  },
  named("TargetRef"),
);
export type PolicyTarget = Static<typeof TargetRefSchema>;

const replicas = (fallback: number, minimum: number, description: string) =>
  Type.Optional(Type.Integer({ minimum, maximum: MAX_REPLICAS, default: fallback, description }));

const fields = {
  name: text(253, "Unique."),
  description: Type.Optional(Type.String({ maxLength: 2_000 })),
  target_type: text(63, "A configured target type; built in are elastiservice, workload and scaledobject."),
  target_id: Type.Optional(nullable(Type.String({ format: "uuid", description: "Kept, and never looked at." }))),
  target_ref: Type.Optional(nullable(TargetRefSchema)),
  min_replicas: replicas(1, 0, "Least while awake."),
  max_replicas: replicas(10, 1, "Most."),
  cooldown_seconds: Type.Optional(
    Type.Integer({ minimum: 0, maximum: 604_800, default: 300, description: "Between two changes of one direction." }),
  ),
  max_hourly_cost: Type.Optional(
    nullable(Type.Number({ minimum: 0, description: "Ceiling, in the unit of price_per_replica_hour." })),
  ),
  price_per_replica_hour: Type.Optional(nullable(Type.Number({ exclusiveMinimum: 0 }))),
  scale_to_zero: Type.Optional(Type.Boolean({ default: false, description: "Rules and schedules may ask for zero." })),
  enabled: Type.Optional(Type.Boolean({ default: true })),
  shadow: Type.Optional(Type.Boolean({ default: false, description: "Decisions are recorded, nothing is done." })),
  behavior: Type.Optional(
    Type.Object(
      { scale_up: Type.Optional(DirectionBehaviorSchema), scale_down: Type.Optional(DirectionBehaviorSchema) },
      strict,
    ),
  ),
  scale_up_rules: Type.Optional(Type.Array(RuleSchema, { maxItems: MAX_RULES })),
  scale_down_rules: Type.Optional(Type.Array(RuleSchema, { maxItems: MAX_RULES })),
  schedules: Type.Optional(Type.Array(ScheduleSchema, { maxItems: MAX_SCHEDULES })),
} as const;

/** The body of a new policy. */
export const NewPolicySchema = Type.Object(fields, strict);
export type NewPolicy = Static<typeof NewPolicySchema>;

/** The body of a change: what is given replaces what was, arrays as a whole. */
export const PolicyChangeSchema = Type.Partial(Type.Object(fields, strict), strict);
export type PolicyChange = Static<typeof PolicyChangeSchema>;

/** A rule as it is kept: its condition in one form, every default filled in. */
export interface PolicyRule {
  readonly id: string;
  readonly name?: string;
  readonly when: Condition;
  /** How long `when` as a whole must hold, on top of the times of its parts. */
  readonly duration_seconds: number;
  readonly scale_by: ScaleBy;
}

/** A schedule as it is kept. */
export type PolicySchedule = {
  readonly id: string;
  readonly name?: string;
  readonly enabled: boolean;
  readonly timezone: string;
} & (
  | { readonly kind: "moment"; readonly cron_expression: string; readonly desired_replicas: number }
  | {
      readonly kind: "window";
      readonly start: string;
      readonly end?: string;
      readonly duration?: string;
      readonly min_replicas?: number;
      readonly max_replicas?: number;
    }
);

/** A policy as it is kept and evaluated: every default filled in. */
export interface Policy {
  readonly id: string;
  readonly name: string;
  readonly description: string;
  readonly target_type: string;
  readonly target_id: string | null;
  readonly target_ref: PolicyTarget | null;
  readonly min_replicas: number;
  readonly max_replicas: number;
  readonly cooldown_seconds: number;
  readonly max_hourly_cost: number | null;
  readonly price_per_replica_hour: number | null;
  readonly scale_to_zero: boolean;
  readonly enabled: boolean;
  readonly shadow: boolean;
  readonly behavior: { readonly scale_up?: DirectionBehavior; readonly scale_down?: DirectionBehavior };
  readonly scale_up_rules: readonly PolicyRule[];
  readonly scale_down_rules: readonly PolicyRule[];
  readonly schedules: readonly PolicySchedule[];
  /** Raised by every change; the ETag. */
  readonly version: number;
  /** RFC 3339. */
  readonly created_at: string;
  readonly updated_at: string;
}
/** What a repository is given: all but what it makes itself. */
export type PolicyDraft = Omit<Policy, "version" | "created_at" | "updated_at">;
