import { scalingErrors } from "../errors.ts";
import type { PrometheusTrigger } from "./prometheus-metadata.ts";
import type { Query, QueryClient, Sample } from "./query-client.ts";
import { DEFAULT_FILTER_UNMATCHED, type Health, type SampleOptions, type Scaler, type Verdict } from "./scaler.ts";

const MIN_WINDOW_SECONDS = 15;
/** Points that a health window is looked at, as long as they are not further apart than MAX_STEP_SECONDS. */
const WINDOW_POINTS = 60;
const MAX_STEP_SECONDS = 60;

/** Active while a query gives at least the threshold. */
export class PrometheusScaler implements Scaler {
  readonly #trigger: PrometheusTrigger;
  readonly #client: QueryClient;
  readonly #windowSeconds: number;
  readonly #closed = new AbortController();

  /**
   * @param client shared with other scalers and closed by its owner
   * @param cooldownMs Prometheus must have watched for so long before its word lets anything sleep
   */
  constructor(trigger: PrometheusTrigger, client: QueryClient, cooldownMs: number) {
    this.#trigger = trigger;
    this.#client = client;
    this.#windowSeconds = Math.max(MIN_WINDOW_SECONDS, Math.ceil(cooldownMs / 1_000));
  }

  shouldScaleToZero(signal: AbortSignal, options: SampleOptions = {}): Promise<Verdict> {
    return this.#verdict(signal, options);
  }

  shouldScaleFromZero(signal: AbortSignal, options: SampleOptions = {}): Promise<Verdict> {
    return this.#verdict(signal, options);
  }

  /** Whether the series `up` of Prometheus itself (uptimeFilter) were there and 1 for the whole window. */
  async isHealthy(signal: AbortSignal, options: SampleOptions = {}): Promise<Health> {
    const { answer } = await this.#ask(healthQuery(this.#trigger.uptimeFilter, this.#windowSeconds), signal, options);
    if (answer.kind === "value") {
      return { kind: "Healthy", reason: "Up", message: `up for the last ${this.#windowSeconds} s` };
    }
    if (answer.kind === "failure") return { kind: "Unhealthy", reason: answer.reason, message: answer.message };
    // not up throughout, or no such series at all: the one is a gap in what it saw, the other a filter that fits nothing
    const { uptimeFilter, uptimeFilterIsDefault } = this.#trigger;
    const series = await this.#ask(seriesQuery(uptimeFilter, this.#windowSeconds), signal, options);
    if (series.answer.kind === "failure") {
      return { kind: "Unhealthy", reason: series.answer.reason, message: series.answer.message };
    }
    if (series.answer.kind === "value") {
      const message = `up{${uptimeFilter}} was not 1 throughout the last ${this.#windowSeconds} s`;
      return { kind: "Unhealthy", reason: "NotUpThroughout", message };
    }
    const message = `no series matches up{${uptimeFilter}}`;
    if (!uptimeFilterIsDefault) return { kind: "NoSeries", reason: "UptimeFilterMatchesNothing", message };
    return {
      kind: "Healthy",
      reason: DEFAULT_FILTER_UNMATCHED,
      message: `the server answers; ${message}: set uptimeFilter to have gaps in its watching noticed`,
    };
  }

  async close(): Promise<void> {
    this.#closed.abort(scalingErrors.ELASTI_SCALE_CLOSED("the scaler is closed"));
  }

  async #verdict(signal: AbortSignal, options: SampleOptions): Promise<Verdict> {
    const { answer, sampledAtMs } = await this.#ask(this.#trigger.query, signal, options);
    const { threshold } = this.#trigger;
    if (options.notBeforeMs !== undefined && sampledAtMs < options.notBeforeMs) {
      return { kind: "Unknown", reason: "SampleTooOld", message: "no sample after the moment asked for", sampledAtMs };
    }
    switch (answer.kind) {
      case "failure":
        return { kind: "Unknown", reason: answer.reason, message: answer.message, sampledAtMs };
      case "empty":
        return { kind: "Unknown", reason: "NoData", message: "the query matches no series", sampledAtMs };
      case "value": {
        const { value } = answer;
        return value >= threshold
          ? { kind: "Active", reason: "AtOrAboveThreshold", message: `${value} >= ${threshold}`, value, sampledAtMs }
          : { kind: "Idle", reason: "BelowThreshold", message: `${value} < ${threshold}`, value, sampledAtMs };
      }
    }
  }

  #ask(query: string, signal: AbortSignal, options: SampleOptions): Promise<Sample> {
    const { server, headers, timeoutMs } = this.#trigger;
    const asked: Query = { server, query, headers, timeoutMs };
    return this.#client.instant(asked, AbortSignal.any([signal, this.#closed.signal]), options);
  }
}

/** The step is explicit: without one, short windows come back empty. */
export function healthQuery(uptimeFilter: string, windowSeconds: number): string {
  const step = Math.min(MAX_STEP_SECONDS, Math.max(1, Math.floor(windowSeconds / WINDOW_POINTS)));
  return `min_over_time((max(up{${uptimeFilter}}) or vector(0))[${windowSeconds}s:${step}s]) == 1`;
}

function seriesQuery(uptimeFilter: string, windowSeconds: number): string {
  return `count(last_over_time(up{${uptimeFilter}}[${windowSeconds}s]))`;
}
