import { type ConfigOf, setting } from "@elasti/core";
import { prometheusSettings } from "@elasti/scaling";
import { Type } from "typebox";
import { policySettingProblems, policySettings } from "./policies/policy-settings.ts";

/** Everything that the operator can be told. Names in capitals without ELASTI_ are KubeElasti's or Kubernetes'. */
export const operatorSettings = {
  podName: setting.text({ env: "POD_NAME", description: "Name of this replica; its identity in the election." }),
  podNamespace: setting.text({
    env: "POD_NAMESPACE",
    description: "Namespace of operator and resolvers; the port table and the Lease are here.",
  }),
  bindAddress: setting.text({
    env: "ELASTI_BIND_ADDRESS",
    fallback: "::",
    description: "Address that elastiserver listens on; `::` is both families.",
  }),
  port: setting.integer({
    env: "ELASTI_OPERATOR_PORT",
    fallback: "8013",
    max: 65_535,
    description: "Port of elastiserver: notifications, sessions, health and metrics. 0 takes a free one.",
  }),
  logLevel: setting.oneOf({
    env: "ELASTI_LOG_LEVEL",
    fallback: "info",
    values: ["trace", "debug", "info", "warn", "error"],
    description: "Least severe lines that are written.",
  }),
  kubeconfig: setting.text({
    env: "KUBECONFIG",
    fallback: "",
    description: "Path of a kubeconfig; empty uses the service account of the pod.",
  }),
  watchNamespaces: setting.list({
    env: "WATCH_NAMESPACES",
    fallback: "",
    description: "Namespaces whose ElastiServices are looked after; empty means all.",
  }),
  pollingIntervalMs: setting.durationMs({
    env: "POLLING_INTERVAL",
    fallback: "30s",
    minMs: 100,
    maxMs: 3_600_000,
    description: "Time between two rounds of asking the triggers of one service.",
  }),
  scrapeIntervalMs: setting.durationMs({
    env: "ELASTI_SCRAPE_INTERVAL",
    fallback: "15s",
    minMs: 0,
    maxMs: 3_600_000,
    description: "How often Prometheus scrapes; the grace before a sleep is never shorter than two of these.",
  }),
  rescaleMs: setting.durationMs({
    env: "ELASTI_RESCALE_DURATION",
    fallback: "30s",
    minMs: 100,
    maxMs: 3_600_000,
    description: "While requests are held: least time between two scale-ups of one target.",
  }),
  proofTimeoutMs: setting.durationMs({
    env: "ELASTI_PROOF_TIMEOUT",
    fallback: "15s",
    minMs: 500,
    maxMs: 300_000,
    description: "How long it may take until new connections are proven to reach the resolvers; otherwise no sleep.",
  }),
  sealTimeoutMs: setting.durationMs({
    env: "ELASTI_SEAL_TIMEOUT",
    fallback: "5s",
    minMs: 100,
    maxMs: 60_000,
    description: "How long resolvers may take to agree that they hold from now on; otherwise no sleep.",
  }),
  unschedulableMs: setting.durationMs({
    env: "ELASTI_UNSCHEDULABLE_TIMEOUT",
    fallback: "5m",
    minMs: 1_000,
    maxMs: 86_400_000,
    description:
      "How long a pod that fits on no node is waited for, from the last word of a node autoscaler; then requests are answered 503 at once.",
  }),
  maxPodWatches: setting.integer({
    env: "ELASTI_MAX_POD_WATCHES",
    fallback: "32",
    min: 1,
    max: 1_000,
    description: "Services that wake slowly and whose pods are watched at once, to find out why; others take turns.",
  }),
  ...prometheusSettings,
  resolverService: setting.text({
    env: "ELASTI_RESOLVER_SERVICE",
    fallback: "elasti-resolver",
    description: "Service of the resolvers, in the same namespace; its slices say which there are.",
  }),
  allowedAccounts: setting.list({
    env: "ELASTI_ALLOWED_ACCOUNTS",
    fallback: "",
    description:
      "Accounts that may notify and open sessions; empty means system:serviceaccount:<POD_NAMESPACE>:elasti-resolver.",
  }),
  tokenCheck: setting.oneOf({
    env: "ELASTI_TOKEN_CHECK",
    fallback: "review",
    values: ["review", "keys"],
    description:
      "How tokens of accounts are checked: the API server reviews each, or by its public keys, which needs no right for the whole cluster; then a token is good until it expires, also when its pod is gone.",
  }),
  staticTokens: setting.json({
    env: "ELASTI_STATIC_TOKENS",
    fallback: "{}",
    secret: true,
    schema: Type.Record(Type.String({ minLength: 1 }), Type.String({ minLength: 1 })),
    expected: "a JSON object with the account of each token",
    description: "Tokens accepted instead of asking the API server, for clusters without TokenReview.",
  }),
  maxConnections: setting.integer({
    env: "ELASTI_MAX_CONNECTIONS",
    fallback: "2000",
    min: 10,
    max: 100_000,
    description: "Connections to elastiserver at once, sessions included.",
  }),
  maxSessions: setting.integer({
    env: "ELASTI_MAX_SESSIONS",
    fallback: "256",
    min: 1,
    max: 10_000,
    description: "Resolvers with a session at once.",
  }),
  reconcileConcurrency: setting.integer({
    env: "ELASTI_RECONCILE_CONCURRENCY",
    fallback: "8",
    min: 1,
    max: 256,
    description: "ElastiServices that are reconciled at once.",
  }),
  pollConcurrency: setting.integer({
    env: "ELASTI_POLL_CONCURRENCY",
    fallback: "16",
    min: 1,
    max: 256,
    description: "Rounds of asking triggers at once.",
  }),
  leaseName: setting.text({
    env: "ELASTI_LEASE_NAME",
    fallback: "elasti-operator",
    description: "Lease by which replicas elect the one that lets targets sleep.",
  }),
  leaseDurationMs: setting.durationMs({
    env: "ELASTI_LEASE_DURATION",
    fallback: "15s",
    minMs: 500,
    maxMs: 600_000,
    description: "After this long without a renewal another replica takes over.",
  }),
  leaseRenewDeadlineMs: setting.durationMs({
    env: "ELASTI_LEASE_RENEW_DEADLINE",
    fallback: "10s",
    minMs: 300,
    maxMs: 600_000,
    description: "A leader that could not renew for so long stops leading; must be shorter than the Lease.",
  }),
  leaseRetryMs: setting.durationMs({
    env: "ELASTI_LEASE_RETRY_PERIOD",
    fallback: "2s",
    minMs: 50,
    maxMs: 60_000,
    description: "Time between two attempts to take or renew the Lease.",
  }),
  kubeTimeoutMs: setting.durationMs({
    env: "ELASTI_KUBE_TIMEOUT",
    fallback: "5s",
    minMs: 200,
    maxMs: 60_000,
    description:
      "Time-out of one call to the API server; must be shorter than the Lease, so that no write of a former leader is late.",
  }),
  kubeConnections: setting.integer({
    env: "ELASTI_KUBE_CONNECTIONS",
    fallback: "16",
    min: 2,
    max: 1_000,
    description: "Calls to the API server at once; further ones wait their turn.",
  }),
  ...policySettings,
} as const;

export type OperatorConfig = ConfigOf<typeof operatorSettings>;

/** What settings must be to each other. @returns one entry per problem, with the environment name */
export function configProblems(config: OperatorConfig): { field: string; message: string }[] {
  const problems = policySettingProblems(config);
  const { leaseDurationMs, leaseRenewDeadlineMs, leaseRetryMs, kubeTimeoutMs } = config;
  if (leaseRenewDeadlineMs >= leaseDurationMs)
    problems.push({
      field: operatorSettings.leaseRenewDeadlineMs.env,
      message: `${leaseRenewDeadlineMs}ms cannot be used: expected less than ${operatorSettings.leaseDurationMs.env} (${leaseDurationMs}ms)`,
    });
  if (leaseRetryMs >= leaseRenewDeadlineMs)
    problems.push({
      field: operatorSettings.leaseRetryMs.env,
      message: `${leaseRetryMs}ms cannot be used: expected less than ${operatorSettings.leaseRenewDeadlineMs.env} (${leaseRenewDeadlineMs}ms)`,
    });
  if (kubeTimeoutMs >= leaseDurationMs)
    problems.push({
      field: operatorSettings.kubeTimeoutMs.env,
      message: `${kubeTimeoutMs}ms cannot be used: expected less than ${operatorSettings.leaseDurationMs.env} (${leaseDurationMs}ms)`,
    });
  return problems;
}
