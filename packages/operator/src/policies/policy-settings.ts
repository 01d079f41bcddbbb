import { setting } from "@elasti/core";
import { Type } from "typebox";

const databaseAddress = "an address such as postgres://user:password@host:5432/database";
const names = Type.Record(Type.String({ minLength: 1 }), Type.Unknown());

/** What the operator can be told of its policy engine. */
export const policySettings = {
  scalingEnabled: setting.boolean({
    env: "ELASTI_SCALING_ENABLED",
    fallback: "false",
    description: "Runs the policy engine and serves its API under /api/v1/scaling. It needs a database.",
  }),
  scalingIntervalMs: setting.durationMs({
    env: "ELASTI_SCALING_EVALUATION_INTERVAL",
    fallback: "30s",
    minMs: 100,
    maxMs: 3_600_000,
    description: "Time between two evaluations of one policy.",
  }),
  scalingPrometheusUrl: setting.text({
    env: "ELASTI_SCALING_PROMETHEUS_URL",
    fallback: "",
    description: "Prometheus of metrics that name none; empty is PROMETHEUS_TRIGGER_SERVER_ADDRESS.",
  }),
  scalingDefaultCooldown: setting.integer({
    env: "ELASTI_SCALING_DEFAULT_COOLDOWN",
    fallback: "300",
    max: 604_800,
    description: "Seconds between two changes of one direction, of policies that do not say.",
  }),
  scalingDryRun: setting.boolean({
    env: "ELASTI_SCALING_DRY_RUN",
    fallback: "false",
    description: "Policies are decided on and what they would do is recorded; nothing is done.",
  }),
  databaseUrl: setting.text({
    env: "DATABASE_URL",
    fallback: "",
    secret: true,
    // looked at only where there is an engine: others have a variable of this name for something else
    expected: databaseAddress,
    description: "PostgreSQL that keeps the policies; it may come later than the operator.",
  }),
  scalingSqliteFile: setting.text({
    env: "ELASTI_SCALING_SQLITE_FILE",
    fallback: "",
    description: "File that keeps the policies where there is no PostgreSQL; only with one replica of the operator.",
  }),
  operatorReplicas: setting.integer({
    env: "ELASTI_OPERATOR_REPLICAS",
    fallback: "1",
    min: 0,
    max: 1_000,
    description:
      "Replicas of the operator, as they are deployed: a file for the policies is refused beside more than one.",
  }),
  scalingTargetTypes: setting.json({
    env: "ELASTI_SCALING_TARGET_TYPES",
    fallback: "{}",
    schema: names,
    expected: 'a JSON object such as {"cdc-worker":{"executor":"scale","api_version":"apps/v1","kind":"Deployment"}}',
    description: "Further target types by name: executor (scale or keda) and kind that each stands for.",
  }),
  scalingMetrics: setting.json({
    env: "ELASTI_SCALING_METRICS",
    fallback: "{}",
    schema: names,
    expected: "a JSON object with a metric for each name",
    description:
      "The catalogue: metrics that policies may name, their queries with namespace and name of the target filled in.",
  }),
  scalingSqlConnections: setting.json({
    env: "ELASTI_SCALING_SQL_CONNECTIONS",
    fallback: "{}",
    secret: true,
    schema: Type.Record(Type.String({ minLength: 1 }), Type.String({ minLength: 1 })),
    expected: "a JSON object with a postgres:// address for each name",
    description: "Databases that metrics of source sql may name.",
  }),
  scalingToken: setting.text({
    env: "ELASTI_SCALING_TOKEN",
    fallback: "",
    secret: true,
    // no upper bound: Helm reads it as Go does, which counts to 1,000 at most
    pattern: /^(\S{16,})?$/,
    expected: "at least 16 characters without blanks",
    description:
      "A token that may do everything with policies, for local use; without it only the cluster's own tokens are good.",
  }),
  scalingAudiences: setting.list({
    env: "ELASTI_SCALING_AUDIENCES",
    fallback: "elasti-operator",
    description:
      "Audiences that the tokens of callers of the policy API may be meant for. The API server's own has to be named, such as https://kubernetes.default.svc.cluster.local: then people send tokens that are good for everything they may do.",
  }),
  scalingRetentionMs: setting.durationMs({
    env: "ELASTI_SCALING_RETENTION",
    fallback: "90d",
    minMs: 60_000,
    maxMs: 3_660 * 86_400_000,
    description: "How long history is kept.",
  }),
} as const;

interface Given {
  readonly scalingEnabled: boolean;
  readonly databaseUrl: string;
  readonly scalingSqliteFile: string;
  readonly operatorReplicas: number;
}

/** What these settings must be to each other. */
export function policySettingProblems(config: Given): { field: string; message: string }[] {
  const { scalingEnabled, databaseUrl, scalingSqliteFile, operatorReplicas } = config;
  if (!scalingEnabled) return [];
  const url = policySettings.databaseUrl.env;
  const file = policySettings.scalingSqliteFile.env;
  const problems: { field: string; message: string }[] = [];
  if (databaseUrl === "" && scalingSqliteFile === "")
    problems.push({ field: url, message: `or ${file} is required: the policies have to be kept somewhere` });
  else if (databaseUrl !== "" && !/^postgres(ql)?:\/\/./.test(databaseUrl))
    problems.push({ field: url, message: `cannot be used (it is not shown): expected ${databaseAddress}` });
  if (databaseUrl !== "" && scalingSqliteFile !== "")
    problems.push({ field: file, message: `cannot stand beside ${url}: expected one of both` });
  if (scalingSqliteFile !== "" && operatorReplicas > 1)
    problems.push({
      field: file,
      message: `cannot be used with ${operatorReplicas} replicas of the operator (${policySettings.operatorReplicas.env}), which would each have a file of their own: use ${url} with a PostgreSQL, or one replica`,
    });
  return problems;
}
