import { type PrometheusSettings, type QueryClient, readPrometheusMetadata } from "@elasti/scaling";
import type { Static } from "typebox";
import type { MetricSample } from "../contracts.ts";
import { unknownSample, valueSample } from "../metric-sample.ts";
import type { PrometheusMetricSchema } from "../schema/policy.ts";

export interface PrometheusSourceOptions {
  /** Shared with others and closed by its owner; it asks equal questions of a round once, and knows which servers are allowed. */
  readonly client: QueryClient;
  /** The server of metrics that name none, and what is told to that server alone. */
  readonly settings: Pick<PrometheusSettings, "defaultServer" | "defaultAuthorization">;
  /** How long an answer is waited for, in ms; 10 s where left out. */
  readonly timeoutMs?: number;
}

/** One number by PromQL. */
export class PrometheusSource {
  readonly #options: PrometheusSourceOptions;

  constructor(options: PrometheusSourceOptions) {
    this.#options = options;
  }

  async read(metric: Static<typeof PrometheusMetricSchema>, nowMs: number, signal: AbortSignal): Promise<MetricSample> {
    const { client, settings, timeoutMs = 10_000 } = this.#options;
    if (metric.server_address === undefined && settings.defaultServer === "") {
      return unknownSample("MetricNotConfigured", "no Prometheus is configured and the metric names none", nowMs);
    }
    const metadata = { serverAddress: metric.server_address, query: metric.query, threshold: 0 };
    const read = readPrometheusMetadata(metadata, "metric", settings);
    if (!("server" in read)) {
      const problems = read.map(({ field, message }) => `${field}: ${message}`).join("; ");
      return unknownSample("MetricFailed", problems, nowMs);
    }
    const { server, headers, query } = read;
    const { answer, sampledAtMs } = await client.instant({ server, query, headers, timeoutMs }, signal);
    switch (answer.kind) {
      case "value":
        return valueSample(answer.value, sampledAtMs);
      case "empty":
        return unknownSample("NoData", "the query matches no series", sampledAtMs);
      case "failure":
        return { kind: "unknown", reason: answer.reason, message: answer.message, atMs: sampledAtMs };
    }
  }
}
