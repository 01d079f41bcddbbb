import { type Group, type JsonSchema, value } from "./value-tree.ts";

const secretName = (what: string) => value.text(`A Secret of yours with ${what}.`, "", { maxLength: 253 });
const secretKey = (name: string) => value.text("Its key.", name, { minLength: 1 });
const duration = { pattern: "^([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+$" };

/** What the chart can be told of the policy engine. */
export const scalingValues: Group = value.group(
  "The policy engine: rules, schedules and their history. Off by default.",
  {
    enabled: value.flag("Run it in the operator. It needs a database: `database` or `sqlite`.", false),
    evaluationInterval: value.text("Time between two evaluations of one policy.", "30s", duration),
    defaultCooldownSeconds: value.integer("Seconds between two changes, of policies that do not say.", 300, 0, 604_800),
    dryRun: value.flag("Record what policies would do, and do nothing.", false),
    retention: value.text("How long history is kept.", "90d", duration),
    prometheusUrl: value.text("Prometheus of metrics that name none; empty is prometheus.serverAddress.", "", {
      pattern: "^$|^https?://[^/?#]+",
    }),
    targetTypes: value.object(
      "Further target types by name, with `executor` (scale or keda), `api_version` and `kind`. Kinds must be among scaleTargets.",
    ),
    metrics: value.object("The catalogue: metrics that policies may name."),
    database: value.group("PostgreSQL, which several replicas of the operator share.", {
      existingSecret: secretName("its address, such as postgres://user:password@host:5432/database"),
      existingSecretKey: secretKey("url"),
    }),
    sqlite: value.group("A file on a volume in place of PostgreSQL; only with one replica of the operator.", {
      enabled: value.flag("Use it.", false),
      existingClaim: value.text("A PersistentVolumeClaim of yours; empty makes one."),
      size: value.text("Size of the one that is made.", "1Gi", { pattern: "^[0-9]+(Mi|Gi|Ti)$" }),
      storageClassName: value.text("Its StorageClass; empty is the default of the cluster."),
    }),
    sqlConnections: value.group("Databases that metrics of source sql may name.", {
      existingSecret: secretName("a JSON object: an address for each name"),
      existingSecretKey: secretKey("connections"),
    }),
    overridableWorkloads: value.list(
      "Kinds of workloads that the API may put overrides on: deployments, statefulsets, rollouts. On an ElastiService or an autoscaler it may without. Such an override is an annotation of the workload itself, so this is the right to patch every object of these kinds. kubectl annotate does without.",
      { type: "string", enum: ["deployments", "statefulsets", "rollouts"] },
    ),
    audiences: value.list(
      "Audiences that tokens of callers of its API may be meant for.",
      { type: "string", minLength: 1, pattern: "^[^,\\s]+$" },
      ["elasti-operator"],
    ),
    token: value.group("A token that may do everything with policies, for local use.", {
      existingSecret: secretName("it"),
      existingSecretKey: secretKey("token"),
    }),
  },
);

/** A schema of one value deep within. */
const at = (path: readonly string[], schema: JsonSchema): JsonSchema =>
  path.reduceRight<JsonSchema>((inner, name) => ({ properties: { [name]: inner } }), schema);
const off = at(["scaling", "enabled"], { const: false });
const file = (enabled: boolean): JsonSchema => at(["scaling", "sqlite", "enabled"], { const: enabled });

/** What values must be to each other. */
export const scalingRules: readonly JsonSchema[] = [
  {
    description: "scaling.sqlite is for one replica of the operator: each would have a file of its own.",
    anyOf: [off, file(false), at(["operator", "replicas"], { maximum: 1 })],
  },
  {
    description: "scaling needs a database: either scaling.database.existingSecret or scaling.sqlite.",
    anyOf: [
      off,
      { allOf: [file(true), at(["scaling", "database", "existingSecret"], { maxLength: 0 })] },
      { allOf: [file(false), at(["scaling", "database", "existingSecret"], { minLength: 1 })] },
    ],
  },
];
