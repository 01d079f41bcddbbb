import { type ElastiService, keyOf, privateServiceName, SERVICE_LABEL, SERVICE_NAME_LABEL } from "@elasti/api";
import type { Clock, Logger, Metrics } from "@elasti/core";
import { type EndpointSlice, type KubeClient, Reflector, resources, type Store } from "@elasti/kube";
import type { PodSource } from "../contracts.ts";
import { ProbeBudget } from "./probe-budget.ts";
import { ServicePods } from "./service-pods.ts";

const byService = "service";

/** `namespace/name` of the Service that a slice belongs to. */
function serviceKeyOf(slice: EndpointSlice): string[] {
  const service = slice.metadata.labels?.[SERVICE_NAME_LABEL];
  return service === undefined ? [] : [keyOf(slice.metadata.namespace ?? "", service)];
}

export interface PodDirectoryOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: Metrics;
  /** Namespaces to watch; all when empty. */
  readonly namespaces?: readonly string[];
  /** Probe attempts per second of the whole process. */
  readonly attemptsPerSecond?: number;
}

/**
 * The pods of all services: one watch on the EndpointSlices of private Services (they carry the label that their Service
 * has), given out per service. Phases come in by `observe`, from the watch on ElastiServices.
 */
export class PodDirectory {
  readonly #clock: Clock;
  readonly #budget: ProbeBudget;
  readonly #reflector: Reflector<EndpointSlice>;
  /** By the key of the private Service, which is what slices name. */
  readonly #services = new Map<string, ServicePods>();
  /** What was observed of services, for those whose pods are asked for later. By the key of the public Service. */
  readonly #observed = new Map<string, ElastiService>();

  constructor(options: PodDirectoryOptions) {
    const { client, clock, logger, metrics, namespaces } = options;
    this.#clock = clock;
    this.#budget = new ProbeBudget(clock, options.attemptsPerSecond);
    this.#reflector = new Reflector<EndpointSlice>({
      client,
      clock,
      logger,
      metrics,
      namespaces,
      leaveOutForbidden: true,
      resource: resources.endpointSlices,
      labelSelector: SERVICE_LABEL,
      indexers: { [byService]: serviceKeyOf },
    });
    this.#reflector.store.on("change", ({ object }) => {
      for (const key of serviceKeyOf(object)) this.#services.get(key)?.setSlices(this.#slicesOf(key));
    });
  }

  get store(): Store<EndpointSlice> {
    return this.#reflector.store;
  }

  get synced(): boolean {
    return this.#reflector.synced;
  }

  /** Resolves when the slices that exist are known. */
  start(): Promise<void> {
    return this.#reflector.start();
  }

  /** The pods of a public Service; one source per service at a time. `close` of the source gives it back. */
  source(namespace: string, service: string): PodSource {
    const privateKey = keyOf(namespace, privateServiceName(service));
    const pods = new ServicePods({
      key: keyOf(namespace, service),
      clock: this.#clock,
      budget: this.#budget,
      onClose: () => {
        if (this.#services.get(privateKey) === pods) this.#services.delete(privateKey);
      },
    });
    this.#services.set(privateKey, pods);
    const known = this.#observed.get(keyOf(namespace, service));
    pods.setSlices(this.#slicesOf(privateKey));
    if (known !== undefined) apply(pods, known);
    return pods;
  }

  /** Takes an ElastiService as the watch shows it; to be told before whoever forwards is. */
  observe(object: ElastiService): void {
    const namespace = object.metadata.namespace ?? "";
    const key = keyOf(namespace, object.spec.service);
    const before = this.#observed.get(key);
    this.#observed.set(key, object);
    const pods = this.#services.get(keyOf(namespace, privateServiceName(object.spec.service)));
    if (pods === undefined) return;
    if (before !== undefined && before.metadata.uid !== object.metadata.uid) pods.forgetPhase();
    apply(pods, object);
  }

  /** The ElastiService is gone. */
  forget(object: ElastiService): void {
    const key = keyOf(object.metadata.namespace ?? "", object.spec.service);
    if (this.#observed.get(key)?.metadata.name === object.metadata.name) this.#observed.delete(key);
  }

  async close(): Promise<void> {
    for (const pods of [...this.#services.values()]) pods.close();
    await this.#reflector.close();
  }

  #slicesOf(privateKey: string): EndpointSlice[] {
    return this.#reflector.store.byIndex(byService, privateKey);
  }
}

function apply(pods: ServicePods, { status }: ElastiService): void {
  pods.setProbe(status?.probe);
  pods.setPhase(status?.phase ?? "Serving", status?.epoch ?? 0, status?.podsGone ?? false);
}
