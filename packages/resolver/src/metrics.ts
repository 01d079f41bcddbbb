import { coldStartBuckets, labelledBy, type Metrics } from "@elasti/core";
import { errors } from "./errors.ts";
import { type HoldEnd, holdEnds } from "./gate/gate.ts";

/** Where the gauges come from; read at a scrape. */
export interface MetricsSource {
  readonly holds: () => number;
  readonly maxHolds: number;
  readonly ports: () => { readonly open: number; readonly failed: number };
  readonly duplicatePorts: () => number;
  readonly connections: () => { readonly open: number; readonly silent: number; readonly held: number };
  readonly parkedBytes: () => number;
  readonly services: () => number;
}

const notForClients: ReadonlySet<string> = new Set(["ELASTI_BAD_QUERY", "ELASTI_TRACKING_OFF"]);
const refusedConnections = ["tls", "http2", "connections", "head-timeout"];

/** The resolver's metrics. No label names a service, so that their number does not grow with the services. */
export class ResolverMetrics {
  readonly requestsCold: { inc(): void };
  readonly requestsWarm: { inc(): void };
  readonly requestsStatic: { inc(): void };
  readonly #rejected;
  readonly #holds;
  readonly #phases;

  constructor(metrics: Metrics, source: MetricsSource) {
    const requests = metrics.counter(
      "elasti_resolver_requests_total",
      "Requests that were forwarded after a hold (cold), forwarded at once (warm), or answered without waking (static).",
      ["start"],
      labelledBy("start", ["cold", "warm", "static"]),
    );
    this.requestsCold = requests.labels("cold");
    this.requestsWarm = requests.labels("warm");
    this.requestsStatic = requests.labels("static");
    this.#rejected = metrics.counter(
      "elasti_resolver_rejected_total",
      "Answers of the resolver's own that refuse, by reason.",
      ["reason"],
      labelledBy("reason", [...Object.keys(errors).filter((code) => !notForClients.has(code)), ...refusedConnections]),
    );
    this.#holds = metrics.histogram(
      "elasti_resolver_hold_seconds",
      "How long holds waited, by how they ended.",
      ["outcome"],
      coldStartBuckets,
      labelledBy("outcome", holdEnds),
    );
    this.#phases = metrics.histogram(
      "elasti_resolver_cold_start_phase_seconds",
      "Phases of cold starts, as Server-Timing tells them: notify (the operator has accepted), start (a pod is in view), ready (it can take requests).",
      ["phase"],
      coldStartBuckets,
      labelledBy("phase", ["notify", "start", "ready"]),
    );
    metrics.gauge("elasti_resolver_holds", "Holds that wait now.", [], function () {
      this.set(source.holds());
    });
    metrics.gauge("elasti_resolver_holds_max", "Most holds of this process (ELASTI_MAX_HOLDS).").set(source.maxHolds);
    metrics.gauge("elasti_resolver_ports", "Resolver ports by state.", ["state"], function () {
      const { open, failed } = source.ports();
      this.set({ state: "open" }, open);
      this.set({ state: "failed" }, failed);
      this.set({ state: "duplicate" }, source.duplicatePorts());
    });
    metrics.gauge("elasti_resolver_connections", "Connections of clients by state.", ["state"], function () {
      const { open, silent, held } = source.connections();
      this.set({ state: "open" }, open);
      this.set({ state: "silent" }, silent);
      this.set({ state: "held" }, held);
    });
    metrics.gauge("elasti_resolver_parked_bytes", "Bytes read of held connections.", [], function () {
      this.set(source.parkedBytes());
    });
    metrics.gauge("elasti_resolver_services", "ElastiServices known.", [], function () {
      this.set(source.services());
    });
  }

  holdEnded(outcome: HoldEnd, waitedMs: number): void {
    this.#holds.observe({ outcome }, waitedMs / 1_000);
  }

  coldStartPhase(phase: "notify" | "start" | "ready", ms: number): void {
    this.#phases.observe({ phase }, ms / 1_000);
  }

  /** @param reason a code of errors.ts, or a protocol that is not served */
  rejected(reason: string): void {
    this.#rejected.inc({ reason });
  }
}
