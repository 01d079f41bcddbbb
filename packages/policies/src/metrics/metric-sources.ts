import { type Clock, errorText } from "@elasti/core";
import type { MetricReader, MetricSample, MetricTarget } from "../contracts.ts";
import { unknownSample } from "../metric-sample.ts";
import type { Metric, MetricSource } from "../schema/policy.ts";
import type { AskedMetric, Catalogue } from "./catalogue.ts";
import type { PrometheusSource } from "./prometheus-source.ts";
import type { ResourceSource } from "./resource-source.ts";
import type { SqlSource } from "./sql-source.ts";
import type { TrafficSource } from "./traffic-source.ts";

export interface MetricSourcesOptions {
  readonly clock: Clock;
  readonly catalogue: Catalogue;
  /** Sources that are left out are not configured: their metrics are unknown, and say so. */
  readonly prometheus?: PrometheusSource;
  readonly resource?: ResourceSource;
  readonly sql?: SqlSource;
  readonly traffic?: TrafficSource;
}

/** Every metric that a policy can name. What goes wrong is in the sample. */
export class MetricSources implements MetricReader {
  readonly #options: MetricSourcesOptions;

  constructor(options: MetricSourcesOptions) {
    this.#options = options;
  }

  async read(metric: Metric, target: MetricTarget, signal: AbortSignal): Promise<MetricSample> {
    signal.throwIfAborted();
    const nowMs = this.#options.clock.now();
    const asked = this.#options.catalogue.resolve(metric, target);
    if (asked === undefined) {
      return unknownSample("MetricUnknown", this.#options.catalogue.unknown(String(metric)), nowMs);
    }
    try {
      const sample = await this.#ask(asked, target, nowMs, signal);
      return sample ?? unknownSample("MetricNotConfigured", `metrics by ${asked.source} are not configured`, nowMs);
    } catch (error) {
      signal.throwIfAborted();
      return unknownSample("MetricFailed", errorText(error), nowMs);
    }
  }

  /** Ends what the sources keep open; what they were given by others stays open. */
  async close(): Promise<void> {
    await Promise.all([this.#options.resource?.close(), this.#options.sql?.close()]);
  }

  async #ask(
    metric: AskedMetric,
    target: MetricTarget,
    nowMs: number,
    signal: AbortSignal,
  ): Promise<MetricSample | undefined> {
    const sources: Pick<MetricSourcesOptions, MetricSource> = this.#options;
    switch (metric.source) {
      case "prometheus":
        return sources.prometheus?.read(metric, nowMs, signal);
      case "resource":
        return sources.resource?.read(metric, target, nowMs, signal);
      case "sql":
        return sources.sql?.read(metric, target, nowMs, signal);
      case "traffic":
        return sources.traffic?.read(metric, target, nowMs);
    }
  }
}
