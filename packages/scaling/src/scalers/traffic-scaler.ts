import type { Clock } from "@elasti/core";
import { scalingErrors } from "../errors.ts";
import type { Health, SampleOptions, Scaler, Verdict } from "./scaler.ts";

/** What one resolver has reported about one service. Times are wall-clock ms of the operator. */
export interface ResolverTraffic {
  readonly resolver: string;
  /** When anything was last heard of it, a ping included. */
  readonly heardAtMs: number;
  /** Since when its numbers have been known without a gap. */
  readonly observedSinceMs: number;
  readonly inFlight: number;
  readonly held: number;
  /** Its last request; undefined for none that is known. */
  readonly lastRequestAtMs: number | undefined;
}

/** What the resolvers see of one service. */
export interface TrafficSource {
  traffic(service: { readonly namespace: string; readonly name: string }): {
    /** Resolvers that must report: those that clients may reach. */
    readonly required: readonly string[];
    readonly reports: readonly ResolverTraffic[];
  };
}

export interface TrafficScalerOptions {
  source: TrafficSource;
  service: { readonly namespace: string; readonly name: string };
  clock: Clock;
  cooldownMs: number;
  /** A resolver that was not heard of for so long is silent. */
  silenceMs: number;
}

/** Active while resolvers carry, hold or have lately seen requests. For services whose whole traffic passes them. */
export class TrafficScaler implements Scaler {
  readonly #options: TrafficScalerOptions;
  #closed = false;

  constructor(options: TrafficScalerOptions) {
    this.#options = options;
  }

  async shouldScaleToZero(signal: AbortSignal, options: SampleOptions = {}): Promise<Verdict> {
    return this.#verdict(signal, options);
  }

  async shouldScaleFromZero(signal: AbortSignal, options: SampleOptions = {}): Promise<Verdict> {
    return this.#verdict(signal, options);
  }

  async isHealthy(signal: AbortSignal, options: SampleOptions = {}): Promise<Health> {
    this.#mustAnswer(signal);
    const gap = this.#gap(this.#options.clock.now(), options.notBeforeMs);
    return gap === undefined
      ? { kind: "Healthy", reason: "Reporting", message: "every resolver of the service reports" }
      : { kind: "Unhealthy", ...gap };
  }

  async close(): Promise<void> {
    this.#closed = true;
  }

  #verdict(signal: AbortSignal, { notBeforeMs }: SampleOptions): Verdict {
    this.#mustAnswer(signal);
    const { source, service, clock, cooldownMs } = this.#options;
    const sampledAtMs = clock.now();
    const { required, reports } = source.traffic(service);
    // also a resolver that need not report keeps the target awake: what it carries is real
    const busy = reports.find(({ inFlight, held }) => inFlight > 0 || held > 0);
    if (busy !== undefined) {
      const message = `${busy.resolver} carries ${busy.inFlight} and holds ${busy.held} requests`;
      return { kind: "Active", reason: "InFlight", message, value: busy.inFlight + busy.held, sampledAtMs };
    }
    for (const { resolver, lastRequestAtMs } of reports) {
      if (lastRequestAtMs === undefined || sampledAtMs - lastRequestAtMs >= cooldownMs) continue;
      const message = `${resolver} saw a request ${seconds(sampledAtMs - lastRequestAtMs)} ago`;
      return { kind: "Active", reason: "RecentRequest", message, sampledAtMs };
    }
    const gap = this.#gap(sampledAtMs, notBeforeMs);
    if (gap !== undefined) return { kind: "Unknown", ...gap, sampledAtMs };
    for (const { resolver, observedSinceMs, lastRequestAtMs } of reports) {
      if (!required.includes(resolver)) continue;
      // who knows its last request has watched since then
      const since = Math.min(observedSinceMs, lastRequestAtMs ?? Number.POSITIVE_INFINITY);
      if (sampledAtMs - since >= cooldownMs) continue;
      const message = `${resolver} has been watched for ${seconds(sampledAtMs - since)}, less than the cooldown`;
      return { kind: "Unknown", reason: "WatchedTooShortly", message, sampledAtMs };
    }
    return {
      kind: "Idle",
      reason: "NoTraffic",
      message: `no request for ${seconds(cooldownMs)}`,
      value: 0,
      sampledAtMs,
    };
  }

  /** What is missing of the reports. */
  #gap(nowMs: number, notBeforeMs = Number.NEGATIVE_INFINITY): { reason: string; message: string } | undefined {
    const { source, service, silenceMs } = this.#options;
    const { required, reports } = source.traffic(service);
    if (required.length === 0) return { reason: "NoResolver", message: "no resolver serves it" };
    for (const resolver of required) {
      const report = reports.find((one) => one.resolver === resolver);
      if (report === undefined || nowMs - report.heardAtMs > silenceMs) {
        return { reason: "ResolverSilent", message: `${resolver} does not report` };
      }
      if (report.heardAtMs < notBeforeMs) {
        return { reason: "ReportTooOld", message: `${resolver} has not reported since the moment asked for` };
      }
    }
    return undefined;
  }

  #mustAnswer(signal: AbortSignal): void {
    signal.throwIfAborted();
    if (this.#closed) throw scalingErrors.ELASTI_SCALE_CLOSED("the scaler is closed");
  }
}

const seconds = (ms: number): string => `${Math.max(0, Math.round(ms / 1_000))} s`;
