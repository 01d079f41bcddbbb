import type { ElastiService } from "@elasti/api";
import { type Clock, type Component, ElastiError, errorText, type Metrics } from "@elasti/core";
import {
  createScaler,
  QueryClient,
  type Scaler,
  ServerPolicy,
  type TrafficSource,
  triggerQueryMetrics,
} from "@elasti/scaling";
import type { OperatorConfig } from "./config.ts";
import { UnusableTriggers } from "./unusable-triggers.ts";

/** Makes the scalers of ElastiServices. What they ask of servers goes through one client. */
export class TriggerScalers implements Component {
  readonly #config: OperatorConfig;
  readonly #clock: Clock;
  readonly #traffic: TrafficSource;
  readonly #queries: QueryClient;

  constructor(config: OperatorConfig, deps: { clock: Clock; metrics: Metrics; traffic: TrafficSource }) {
    this.#config = config;
    this.#clock = deps.clock;
    this.#traffic = deps.traffic;
    this.#queries = new QueryClient({
      clock: deps.clock,
      metrics: triggerQueryMetrics(deps.metrics),
      policy: new ServerPolicy([
        ...config.allowedServers,
        ...(config.defaultServer === "" ? [] : [config.defaultServer]),
      ]),
      keepMs: Math.min(1_000, config.pollingIntervalMs / 2),
    });
  }

  of(es: ElastiService): Scaler {
    const service = { namespace: es.metadata.namespace ?? "", name: es.spec.service };
    const deps = { queries: this.#queries, traffic: this.#traffic, prometheus: this.#config, clock: this.#clock };
    try {
      return createScaler(service, es.spec, deps);
    } catch (error) {
      if (!(error instanceof ElastiError)) throw error;
      return new UnusableTriggers(errorText(error), this.#clock);
    }
  }

  close(): Promise<void> | void {
    return this.#queries.close();
  }
}
