import { SERVICE_NAME_LABEL } from "@elasti/api";
import type { Clock, Logger, Metrics } from "@elasti/core";
import { type EndpointSlice, type KubeClient, Reflector, resources, type Store } from "@elasti/kube";

export type AddressFamily = "IPv4" | "IPv6";

/** A resolver as Kubernetes sees it, in the slices of the resolvers' own Service. */
export interface ResolverEndpoint {
  /** Pod name; the first address where the slice names no pod. */
  readonly id: string;
  readonly addresses: Readonly<Partial<Record<AddressFamily, string>>>;
  readonly ready: boolean;
  readonly terminating: boolean;
  readonly node: string | undefined;
  readonly zone: string | undefined;
}

/** The part of a Reflector that is needed. */
export interface SliceSource {
  readonly store: Store<EndpointSlice>;
  readonly synced: boolean;
  start(): Promise<void>;
  close(): Promise<void>;
}

/** Watches the slices of the resolvers' own Service. */
export function resolverSlices(options: {
  client: KubeClient;
  logger: Logger;
  clock: Clock;
  metrics?: Metrics;
  namespace: string;
  service: string;
}): SliceSource {
  const { service, ...common } = options;
  return new Reflector<EndpointSlice>({
    ...common,
    resource: resources.endpointSlices,
    labelSelector: `${SERVICE_NAME_LABEL}=${service}`,
  });
}

/** All resolvers there are: those that Kubernetes lists, in whatever state, and those that have a session. */
export class ResolverSet {
  readonly #source: SliceSource;
  readonly #sessions: () => readonly string[];
  #endpoints: readonly ResolverEndpoint[] | undefined;
  readonly #stop: () => void;
  readonly #listeners = new Set<() => void>();

  /** @param sessions names of the resolvers that have a session with this replica */
  constructor(source: SliceSource, sessions: () => readonly string[]) {
    this.#source = source;
    this.#sessions = sessions;
    this.#stop = source.store.on("change", () => {
      this.#endpoints = undefined;
      for (const listener of this.#listeners) listener();
    });
  }

  /** Resolves when the first list is in. */
  start(): Promise<void> {
    return this.#source.start();
  }

  get synced(): boolean {
    return this.#source.synced;
  }

  endpoints(): readonly ResolverEndpoint[] {
    this.#endpoints ??= endpointsOf(this.#source.store.list());
    return this.#endpoints;
  }

  /** Every resolver that may carry a request: not ready and terminating ones may still have connections. */
  required(): readonly string[] {
    return [...new Set([...this.endpoints().map(({ id }) => id), ...this.#sessions()])].sort();
  }

  /** Calls back when the endpoints have changed. @returns stops it */
  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  async close(): Promise<void> {
    this.#stop();
    this.#listeners.clear();
    await this.#source.close();
  }
}

/** One entry per resolver, its addresses of both families together. Two slices that disagree (one is stale) give the worse. */
export function endpointsOf(slices: readonly EndpointSlice[]): ResolverEndpoint[] {
  const found = new Map<string, ResolverEndpoint>();
  for (const { addressType, endpoints } of slices) {
    if (addressType !== "IPv4" && addressType !== "IPv6") continue;
    for (const { addresses, conditions, targetRef, nodeName, zone } of endpoints ?? []) {
      const [address] = addresses;
      const id = targetRef?.name ?? address;
      if (address === undefined || id === undefined) continue;
      const known = found.get(id);
      found.set(id, {
        id,
        addresses: { ...known?.addresses, [addressType]: address },
        ready: conditions?.ready !== false && known?.ready !== false,
        terminating: conditions?.terminating === true || known?.terminating === true,
        node: nodeName ?? known?.node,
        zone: zone ?? known?.zone,
      });
    }
  }
  return [...found.values()].sort((a, b) => (a.id < b.id ? -1 : 1));
}
