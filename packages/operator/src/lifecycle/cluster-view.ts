import {
  type ElastiService,
  SERVICE_LABEL,
  SERVICE_NAME_LABEL,
  SLICE_MANAGED_BY_LABEL,
  SLICE_MANAGER,
} from "@elasti/api";
import { Backoff, type Clock, errorText, type Logger, type Metrics } from "@elasti/core";
import {
  type EndpointSlice,
  isNotFound,
  type KubeClient,
  type KubeObject,
  keyOf,
  Reflector,
  resources,
  type Service,
  type Store,
} from "@elasti/kube";
import type { AtEpoch } from "@elasti/scaling";
import { OwnWrites } from "./own-writes.ts";
import { liveSelector } from "./routing.ts";

export type StoredElastiService = ElastiService & KubeObject;

/** Whose epochs are meant: they are counted by each object for itself, also by one that is made again under a name. */
export function identityOf({ metadata: { namespace = "", name, uid } }: StoredElastiService): Omit<AtEpoch, "epoch"> {
  return { service: keyOf(namespace, name), ...(uid === undefined ? {} : { uid }) };
}

const pairKey = (namespace: string | undefined, key: string, value: string): string =>
  keyOf(namespace, `${key}=${value}`);

/** The Service that a slice is of, by its label. */
function serviceKeysOf({ metadata: { namespace, labels } }: EndpointSlice): string[] {
  const service = labels?.[SERVICE_NAME_LABEL];
  return service === undefined ? [] : [keyOf(namespace, service)];
}

/** The resolver ports that a slice of ours leads to, as keys of an index; none for another's. */
function resolverPortsOf({ metadata: { labels }, ports }: EndpointSlice): string[] {
  if (labels?.[SLICE_MANAGED_BY_LABEL] !== SLICE_MANAGER) return [];
  return (ports ?? []).flatMap(({ port }) => (port === undefined ? [] : String(port)));
}

/** Who has a resolver port, whatever the port table says. */
export interface PortUsers {
  /** ElastiServices whose status names it. */
  readonly elastiServices: readonly ElastiService[];
  /** Our slices that lead to it. */
  readonly slices: readonly EndpointSlice[];
}

/** Why a list is not in, for /readyz. */
function whyNot(error: unknown): string {
  if (error === undefined) return "";
  return `: ${errorText(error)}${isNotFound(error) ? " (the API server does not serve this kind: is it installed?)" : ""}`;
}

export interface ClusterViewOptions {
  client: KubeClient;
  logger: Logger;
  clock: Clock;
  metrics?: Metrics;
  /** Those to be watched; all when empty. */
  namespaces?: readonly string[];
}

/** What the operator sees of the cluster: ElastiServices, Services and EndpointSlices, with its own writes laid over them. */
export class ClusterView {
  readonly elastiServices: OwnWrites<StoredElastiService>;
  readonly services: OwnWrites<Service>;
  readonly slices: OwnWrites<EndpointSlice>;
  readonly #reflectors: {
    elastiServices: Reflector<StoredElastiService>;
    services: Reflector<Service>;
    slices: Reflector<EndpointSlice>;
  };

  readonly #options: ClusterViewOptions;

  constructor(options: ClusterViewOptions) {
    this.#options = options;
    const { client, logger, clock, metrics, namespaces } = options;
    const common = { client, logger, clock, namespaces, ...(metrics === undefined ? {} : { metrics }) };
    this.#reflectors = {
      elastiServices: new Reflector<StoredElastiService>({
        ...common,
        resource: resources.elastiServices,
        indexers: {
          service: (es) => [keyOf(es.metadata.namespace, es.spec.service)],
          target: (es) => [keyOf(es.metadata.namespace, es.spec.scaleTargetRef.name)],
          port: (es) => (es.status?.routes ?? []).map(({ resolverPort }) => String(resolverPort)),
        },
      }),
      services: new Reflector<Service>({
        ...common,
        resource: resources.services,
        // by one pair of the selector, which any pod that it selects has among its labels
        indexers: {
          selector: (service) =>
            Object.entries(liveSelector(service))
              .slice(0, 1)
              .map(([key, value]) => pairKey(service.metadata.namespace, key, value)),
        },
      }),
      slices: new Reflector<EndpointSlice>({
        ...common,
        resource: resources.endpointSlices,
        indexers: {
          service: serviceKeysOf,
          port: resolverPortsOf,
        },
      }),
    };
    this.elastiServices = new OwnWrites(this.#reflectors.elastiServices.store);
    this.services = new OwnWrites(this.#reflectors.services.store);
    this.slices = new OwnWrites(this.#reflectors.slices.store);
  }

  get stores(): { elastiServices: Store<StoredElastiService>; services: Store<Service>; slices: Store<EndpointSlice> } {
    const { elastiServices, services, slices } = this.#reflectors;
    return { elastiServices: elastiServices.store, services: services.store, slices: slices.store };
  }

  /** The ElastiServices that name a public Service. */
  elastiServicesOf(namespace: string, service: string): StoredElastiService[] {
    return this.stores.elastiServices
      .byIndex("service", keyOf(namespace, service))
      .map((es) => this.elastiServices.get(namespace, es.metadata.name) ?? es);
  }

  /** The ElastiServices whose target has a name, of whatever kind. */
  elastiServicesOfTarget(namespace: string, name: string): StoredElastiService[] {
    return this.stores.elastiServices
      .byIndex("target", keyOf(namespace, name))
      .map((es) => this.elastiServices.get(namespace, es.metadata.name) ?? es);
  }

  /** The Services that may select pods with these labels; whether they do, the rest of their selectors says. */
  servicesSelecting(namespace: string, labels: Readonly<Record<string, string>>): Service[] {
    return Object.entries(labels).flatMap(([key, value]) =>
      this.stores.services.byIndex("selector", pairKey(namespace, key, value)),
    );
  }

  usersOfPort(resolverPort: number): PortUsers {
    const { elastiServices, slices } = this.stores;
    const key = String(resolverPort);
    return { elastiServices: elastiServices.byIndex("port", key), slices: slices.byIndex("port", key) };
  }

  /** The ElastiServices that one of these resolver ports leads to, or led to until a moment ago. */
  elastiServicesOfPorts(ports: Iterable<number>): StoredElastiService[] {
    const found = new Set<StoredElastiService>();
    for (const port of ports) {
      for (const es of this.stores.elastiServices.byIndex("port", String(port))) found.add(es);
      for (const slice of this.stores.slices.byIndex("port", String(port)))
        for (const key of serviceKeysOf(slice))
          for (const es of this.stores.elastiServices.byIndex("service", key)) found.add(es);
    }
    return [...found];
  }

  /** The slices of a Service, whoever made them. */
  slicesOf(namespace: string, service: string): EndpointSlice[] {
    const key = keyOf(namespace, service);
    return [
      ...this.stores.slices
        .byIndex("service", key)
        .flatMap((slice) => this.slices.get(namespace, slice.metadata.name) ?? []),
      ...this.slices.unseen().filter((slice) => serviceKeysOf(slice).includes(key)),
    ];
  }

  /** Reads all ElastiServices from the API server itself, for who must not decide on a watch that is behind. Retries until it can. */
  async refresh(signal: AbortSignal): Promise<void> {
    const { client, clock, logger, namespaces = [] } = this.#options;
    const backoff = new Backoff(100, 5_000);
    while (!signal.aborted) {
      try {
        for (const namespace of namespaces.length === 0 ? [undefined] : namespaces) {
          let page: string | undefined;
          do {
            const list = await client.list<StoredElastiService>(resources.elastiServices, {
              namespace,
              limit: 500,
              signal,
              ...(page === undefined ? {} : { continue: page }),
            });
            for (const es of list.items) this.elastiServices.wrote(es);
            page = list.metadata.continue;
          } while (page !== undefined && page !== "");
        }
        return;
      } catch (error) {
        if (signal.aborted) return;
        logger.warn({ error: errorText(error) }, "listing ElastiServices failed");
        await clock.sleep(backoff.next(), signal).catch(() => undefined);
      }
    }
  }

  /** `undefined` when every list is in, else why not. */
  unsynced(): string | undefined {
    for (const [name, reflector] of Object.entries(this.#reflectors))
      if (!reflector.synced) return `${name} not listed yet${whyNot(reflector.lastError)}`;
    return undefined;
  }

  async start(): Promise<void> {
    await Promise.all(Object.values(this.#reflectors).map((reflector) => reflector.start()));
  }

  async close(): Promise<void> {
    for (const own of [this.elastiServices, this.services, this.slices]) own.close();
    await Promise.all(Object.values(this.#reflectors).map((reflector) => reflector.close()));
  }
}

/** The public Service that a slice concerns: a private one says so by its label. */
export function publicServiceOf({ metadata: { labels } }: EndpointSlice): string {
  return labels?.[SERVICE_LABEL] ?? labels?.[SERVICE_NAME_LABEL] ?? "";
}
