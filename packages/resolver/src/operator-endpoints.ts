import { SERVICE_NAME_LABEL } from "@elasti/api";
import type { Clock, Logger, Metrics } from "@elasti/core";
import { type EndpointSlice, type KubeClient, Reflector, resources } from "@elasti/kube";
import { viewsOf } from "./endpoints/pod-view.ts";

/** One replica of the operator. */
export interface OperatorEndpoint {
  /** Stays the same while the replica keeps its address. */
  readonly key: string;
  readonly name: string;
  readonly address: string;
  readonly port: number;
  readonly ready: boolean;
}

/** What a client of the operator needs to know of its replicas. */
export interface OperatorDirectory {
  /** All that are not on their way out, ready ones first. */
  list(): readonly OperatorEndpoint[];
  /** Returns what ends the subscription. */
  onChange(listener: () => void): () => void;
}

/** The endpoints in the slices of the operator's Service. @param fallbackPort where a slice names no port */
export function operatorEndpoints(slices: readonly EndpointSlice[], fallbackPort: number): OperatorEndpoint[] {
  return viewsOf(slices)
    .filter((view) => !view.terminating)
    .map((view) => {
      const port = view.ports.get("http") ?? view.ports.values().next().value ?? fallbackPort;
      const { name, address, ready, uid } = view;
      return { key: `${uid} ${address} ${port}`, name, address, port, ready };
    })
    .sort((a, b) => Number(b.ready) - Number(a.ready));
}

/** Watches the EndpointSlices of the operator's Service. */
export class OperatorEndpoints implements OperatorDirectory {
  readonly #reflector: Reflector<EndpointSlice>;
  readonly #listeners = new Set<() => void>();
  readonly #fallbackPort: number;
  #list: readonly OperatorEndpoint[] = [];

  constructor(options: {
    client: KubeClient;
    clock: Clock;
    logger: Logger;
    metrics?: Metrics | undefined;
    namespace: string;
    service: string;
    fallbackPort: number;
  }) {
    const { client, clock, logger, metrics, namespace, service } = options;
    this.#fallbackPort = options.fallbackPort;
    this.#reflector = new Reflector<EndpointSlice>({
      client,
      clock,
      logger,
      metrics,
      namespace,
      resource: resources.endpointSlices,
      labelSelector: `${SERVICE_NAME_LABEL}=${service}`,
    });
    this.#reflector.store.on("change", () => this.#update());
  }

  /** Resolves when the replicas that exist are known. */
  start(): Promise<void> {
    return this.#reflector.start();
  }

  list(): readonly OperatorEndpoint[] {
    return this.#list;
  }

  onChange(listener: () => void): () => void {
    const own = () => listener();
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  async close(): Promise<void> {
    this.#listeners.clear();
    await this.#reflector.close();
  }

  #update(): void {
    const list = operatorEndpoints(this.#reflector.store.list(), this.#fallbackPort);
    const print = (endpoints: readonly OperatorEndpoint[]) => JSON.stringify(endpoints);
    if (print(list) === print(this.#list)) return;
    this.#list = list;
    for (const listener of [...this.#listeners]) listener();
  }
}
