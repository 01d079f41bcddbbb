export * from "./arbiter.ts";
export * from "./autoscalers/bounds-object.ts";
export * from "./autoscalers/keda-annotations.ts";
export * from "./autoscalers/policy-bounds.ts";
export * from "./cooldown.ts";
export * from "./enabled-period.ts";
export * from "./errors.ts";
export * from "./override.ts";
export * from "./scale-handler.ts";
export type {
  AtEpoch,
  FenceRequest,
  SetRequest,
  SetResult,
  WakeReason,
  WakeRequest,
  WakeResult,
  ZeroOutcome,
} from "./scale-requests.ts";
export * from "./scale-target.ts";
export * from "./scalers/combine.ts";
export {
  type PrometheusSettings,
  type PrometheusTrigger,
  prometheusSettings,
  readPrometheusMetadata,
} from "./scalers/prometheus-metadata.ts";
export { PrometheusScaler } from "./scalers/prometheus-scaler.ts";
export * from "./scalers/query-client.ts";
export * from "./scalers/query-metrics.ts";
export * from "./scalers/registry.ts";
export * from "./scalers/scaler.ts";
export { guardedLookup, ServerPolicy } from "./scalers/server-policy.ts";
export * from "./scalers/traffic-scaler.ts";
export * from "./schedules/index.ts";
