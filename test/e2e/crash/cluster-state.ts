import {
  type ElastiService,
  PARK_KEY,
  privateServiceName,
  resolverSliceName,
  SERVICE_EPOCH_ANNOTATION,
  SERVICE_NAME_LABEL,
} from "@elasti/api";
import { silentLogger, systemClock } from "@elasti/core";
import {
  type ConfigMap,
  type Deployment,
  type EndpointSlice,
  type KubeObject,
  type Pod,
  Reflector,
  type Resource,
  resources,
  type Service,
} from "@elasti/kube";
import type { World } from "../world.ts";

/** What is in the cluster for one service, without what every run has another of: names, times, epochs, addresses. */
export type Snapshot = Readonly<Record<string, unknown>>;

/** Follows all objects that an operator writes, and tells for each service how things stand. */
export class ClusterState {
  readonly #namespace: string;
  readonly #system: string;
  readonly #reflectors: Reflector<KubeObject>[] = [];
  readonly #listeners = new Set<() => void>();
  readonly #elastiServices: Reflector<ElastiService & KubeObject>;
  readonly #services: Reflector<Service>;
  readonly #slices: Reflector<EndpointSlice>;
  readonly #deployments: Reflector<Deployment>;
  readonly #pods: Reflector<Pod>;
  readonly #portTable: Reflector<ConfigMap>;

  private constructor(world: World, namespace: string) {
    const { client, system } = world;
    this.#namespace = namespace;
    this.#system = system;
    const follow = <T extends KubeObject>(resource: Resource, inNamespace: string): Reflector<T> => {
      const options = { client, resource, namespace: inNamespace, logger: silentLogger, clock: systemClock };
      const reflector = new Reflector<T>(options);
      reflector.store.on("change", () => {
        for (const listener of [...this.#listeners]) listener();
      });
      this.#reflectors.push(reflector as unknown as Reflector<KubeObject>);
      return reflector;
    };
    this.#elastiServices = follow(resources.elastiServices, namespace);
    this.#services = follow(resources.services, namespace);
    this.#slices = follow(resources.endpointSlices, namespace);
    this.#deployments = follow(resources.deployments, namespace);
    this.#pods = follow(resources.pods, namespace);
    this.#portTable = follow(resources.configMaps, system);
  }

  static async follow(world: World, namespace: string): Promise<ClusterState> {
    const state = new ClusterState(world, namespace);
    await Promise.all(state.#reflectors.map((reflector) => reflector.start()));
    return state;
  }

  async close(): Promise<void> {
    await Promise.all(this.#reflectors.map((reflector) => reflector.close()));
  }

  elastiService(name: string): ElastiService | undefined {
    return this.#elastiServices.store.get(this.#namespace, name);
  }

  /** Resolves when `look` is true, looked at after changes, or after `timeoutMs`; says which. */
  async until(look: () => boolean, timeoutMs: number): Promise<boolean> {
    const done = Promise.withResolvers<boolean>();
    let due = false;
    const check = () => {
      due = false;
      if (look()) done.resolve(true);
    };
    // a burst of changes is looked at once
    const listener = () => {
      if (due) return;
      due = true;
      setTimeout(check, 20);
    };
    this.#listeners.add(listener);
    const timer = setTimeout(() => done.resolve(look()), timeoutMs);
    listener();
    try {
      return await done.promise;
    } finally {
      clearTimeout(timer);
      this.#listeners.delete(listener);
    }
  }

  snapshot(name: string): Snapshot {
    const es = this.elastiService(name);
    const service = this.#services.store.get(this.#namespace, name);
    const own = this.#services.store.get(this.#namespace, privateServiceName(name));
    const slices = this.#slices.store
      .list()
      .filter(({ metadata }) => metadata.labels?.[SERVICE_NAME_LABEL] === name)
      .map((slice) => (slice.metadata.name === resolverSliceName(name) ? ours(slice) : kubernetes(slice)))
      .sort();
    const deployment = this.#deployments.store.get(this.#namespace, name);
    const pods = this.#pods.store.list().filter(({ metadata }) => metadata.labels?.app === name);
    return {
      elastiService: es === undefined ? "none" : { finalizers: es.metadata.finalizers ?? [], status: statusOf(es) },
      service: service === undefined ? "none" : publicService(service, es !== undefined),
      privateService: own === undefined ? "none" : { selector: selectorOf(own), ports: own.spec.ports },
      slices,
      replicas: deployment?.spec.replicas,
      ready: deployment?.status?.readyReplicas ?? 0,
      pods: pods.length,
      ports: this.#rows(`${this.#namespace}/${name}`),
    };
  }

  /** Rows of the port table, without the ports themselves. */
  #rows(service: string): string[] {
    return this.#portTable.store
      .list()
      .filter(({ metadata }) => metadata.namespace === this.#system && metadata.name.startsWith("elasti-ports-"))
      .flatMap(({ data = {} }) => Object.values(data))
      .map((text) => JSON.parse(text) as { service: string; name: string; releasedAt?: number })
      .filter((row) => row.service === service)
      .map(({ name, releasedAt }) => `${name} ${releasedAt === undefined ? "in use" : "released"}`)
      .sort();
  }
}

function statusOf({ status = {} }: ElastiService): unknown {
  // the last wake and the last drain are history: requests that come while it falls asleep add to it
  const { epoch: _, drainEpoch: __, lastWake: ___, conditions = [], routes = [], ...rest } = status;
  const says = (value: unknown) => !Array.isArray(value) || value.length > 0;
  const timeless = Object.entries(rest).filter(([key, value]) => !key.endsWith("Time") && says(value));
  return {
    ...Object.fromEntries(timeless),
    routes: routes.map(({ resolverPort: _port, ...route }) => route),
    // what an Idle condition says while the target is up changes by the second
    conditions: conditions
      .filter(({ type }) => type !== "Idle")
      .map(({ type, status: is, reason }) => `${type}=${is} ${reason}`)
      .sort(),
  };
}

/** The selector with names of services as they are in all of them. */
function selectorOf({ spec }: Service): string[] {
  return Object.entries(spec.selector ?? {})
    .map(([key, value]) => (key === PARK_KEY ? key : `${key}=${key === "app" ? "<name>" : value}`))
    .sort();
}

function publicService(service: Service, managed: boolean): unknown {
  const { annotations = {}, labels = {} } = service.metadata;
  return {
    selector: selectorOf(service),
    // as long as there is an ElastiService the stamp is an epoch; after it, a leftover
    annotations: Object.keys(annotations)
      .filter((key) => !managed || key !== SERVICE_EPOCH_ANNOTATION)
      .sort(),
    labels: Object.keys(labels).sort(),
    ports: service.spec.ports?.map(({ port, targetPort }) => [port, targetPort]),
  };
}

const ours = ({ endpoints, ports }: EndpointSlice): string =>
  `ours: ${endpoints?.length ?? 0} resolvers, ${ports?.length ?? 0} ports`;

function kubernetes({ endpoints, ports }: EndpointSlice): string {
  const states = (endpoints ?? []).map(({ conditions }) =>
    conditions?.ready === true ? "ready" : conditions?.terminating === true ? "terminating" : "not ready",
  );
  return `Kubernetes': ${states.sort().join(", ") || "empty"}${states.length === 0 ? "" : `, ${ports?.length ?? 0} ports`}`;
}
