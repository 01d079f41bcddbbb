import type { MetricSample } from "./contracts.ts";

/** Why a metric is not known, beside what Prometheus gives as reasons. Each is a heading in docs/troubleshooting.md. */
export const metricReasons = [
  "MetricNotConfigured",
  "MetricUnknown",
  "NoData",
  "TooManyQuestions",
  "TargetNotMeasurable",
  "PodMetricsUnavailable",
  "PodMetricsMissing",
  "ResourceRequestsMissing",
  "SqlConnectionMissing",
  "SqlUnreachable",
  "SqlTimeout",
  "SqlRejected",
  "SqlNotOneNumber",
  "SqlAnswerTooLarge",
  "ServerNotAllowed",
  "TrafficNotKnown",
  "MetricFailed",
] as const;
export type MetricReason = (typeof metricReasons)[number];

export type UnknownSample = Extract<MetricSample, { kind: "unknown" }>;

/** @param message for people; never a secret */
export function unknownSample(reason: MetricReason, message: string, atMs: number): UnknownSample {
  return { kind: "unknown", reason, message, atMs };
}

export function valueSample(value: number, atMs: number): MetricSample {
  return { kind: "value", value, atMs };
}
