import { SERVICE_NAME_LABEL, SLICE_MANAGED_BY_LABEL } from "@elasti/api";
import type { Clock, Logger } from "@elasti/core";
import {
  type EndpointSlice,
  type KubeClient,
  objectKey,
  type Pod,
  resources,
  type Service,
  type Store,
  WorkQueue,
} from "@elasti/kube";
import { SLICE_MANAGER, selects, sliceLabels, type WantedSlice, wantedSlices } from "./endpoints.ts";
import { againWhenStale, workSettings } from "./work-settings.ts";

interface ControllerOptions {
  client: KubeClient;
  clock: Clock;
  logger: Logger;
  services: Store<Service>;
  pods: Store<Pod>;
  slices: Store<EndpointSlice>;
}

/**
 * Keeps the EndpointSlices of every Service with a selector equal to its pods. Services without one are left alone, and so
 * are the slices that others made.
 */
export class EndpointSliceController {
  readonly #options: ControllerOptions;
  readonly #work: WorkQueue;
  readonly #unsubscribe: (() => void)[] = [];
  /** The slices of a Service as this controller last wrote them, newer than what the watch has shown. */
  readonly #written = new Map<string, EndpointSlice[]>();

  constructor(options: ControllerOptions) {
    this.#options = options;
    this.#work = new WorkQueue({ ...options, ...workSettings });
  }

  start(): void {
    const { services, pods, slices } = this.#options;
    this.#work.start(againWhenStale((key) => this.#sync(key)));
    this.#unsubscribe.push(
      services.on("change", ({ object }) => this.#work.add(objectKey(object)), { replay: true }),
      pods.on("change", (event) => {
        for (const service of services.list()) {
          if (service.metadata.namespace !== event.object.metadata.namespace) continue;
          const was = event.type === "modified" && selects(service, event.old);
          if (was || selects(service, event.object)) this.#work.add(objectKey(service));
        }
      }),
      slices.on("change", ({ object }) => {
        const service = object.metadata.labels?.[SERVICE_NAME_LABEL];
        if (service !== undefined && isOurs(object)) this.#work.add(`${object.metadata.namespace}/${service}`);
      }),
    );
  }

  async close(): Promise<void> {
    for (const unsubscribe of this.#unsubscribe.splice(0)) unsubscribe();
    await this.#work.close();
  }

  async #sync(key: string): Promise<void> {
    const { services, pods } = this.#options;
    const service = services.getByKey(key);
    if (service === undefined) this.#written.delete(key);
    // the slices of a deleted Service go with their owner
    if (service === undefined || service.metadata.deletionTimestamp !== undefined) return;
    if (Object.keys(service.spec.selector ?? {}).length === 0 || service.spec.type === "ExternalName") return;
    const { namespace } = service.metadata;
    const own = pods.list().filter((pod) => pod.metadata.namespace === namespace && selects(service, pod));
    await this.#apply(key, service, wantedSlices(service, own));
  }

  async #apply(key: string, service: Service, wanted: readonly WantedSlice[]): Promise<void> {
    const { client } = this.#options;
    const existing = this.#existing(key, service);
    const unused = new Set(existing);
    const unmatched: WantedSlice[] = [];
    const result: EndpointSlice[] = [];
    const pairs: [EndpointSlice, WantedSlice][] = [];
    for (const slice of wanted) {
      const match = [...unused].find((old) => portsKey(old.ports) === portsKey(slice.ports));
      if (match === undefined) unmatched.push(slice);
      else pairs.push([match, slice]);
      if (match !== undefined) unused.delete(match);
    }
    // a slice that would be deleted takes the content of one that would be made, and keeps its name
    for (const slice of unmatched.splice(0)) {
      const [reused] = unused;
      if (reused === undefined) unmatched.push(slice);
      else pairs.push([reused, slice]);
      if (reused !== undefined) unused.delete(reused);
    }
    this.#written.set(key, result);
    try {
      for (const slice of unmatched) {
        result.push(await client.create(resources.endpointSlices, newSlice(service, slice)));
      }
      for (const [old, slice] of pairs) {
        const next = { ...old, metadata: { ...old.metadata, labels: sliceLabels(service) }, ...slice };
        const same = contentOf(old) === contentOf(next);
        result.push(same ? old : await client.replace(resources.endpointSlices, next));
      }
      for (const slice of unused) {
        const { namespace, name, resourceVersion } = slice.metadata;
        await client.delete(resources.endpointSlices, namespace, name, { resourceVersion: resourceVersion! });
      }
    } catch (error) {
      this.#written.delete(key);
      throw error;
    }
  }

  /** This controller's slices of a Service: as the watch shows them, or as they were written where that is newer. */
  #existing(key: string, service: Service): EndpointSlice[] {
    const { slices } = this.#options;
    const { namespace, name } = service.metadata;
    const seen = slices
      .list()
      .filter(
        (slice) =>
          slice.metadata.namespace === namespace &&
          slice.metadata.labels?.[SERVICE_NAME_LABEL] === name &&
          isOurs(slice),
      );
    const byName = new Map(seen.map((slice) => [slice.metadata.name, slice]));
    for (const slice of this.#written.get(key) ?? []) {
      const known = byName.get(slice.metadata.name);
      if (known === undefined || revisionOf(known) < revisionOf(slice)) byName.set(slice.metadata.name, slice);
    }
    return [...byName.values()].toSorted((a, b) => (a.metadata.name < b.metadata.name ? -1 : 1));
  }
}

/** Resource versions are numbers in every API server there is; here they only order one object's states. */
function revisionOf(slice: EndpointSlice): number {
  return Number(slice.metadata.resourceVersion ?? 0);
}

function portsKey(ports: EndpointSlice["ports"] | null): string {
  return JSON.stringify(
    (ports ?? []).map(({ name, port, protocol, appProtocol }) => [name, port, protocol, appProtocol]),
  );
}

function isOurs(slice: EndpointSlice): boolean {
  return slice.metadata.labels?.[SLICE_MANAGED_BY_LABEL] === SLICE_MANAGER;
}

/** Endpoints in a fixed order, so that only real changes are written. */
function contentOf({ metadata, ports, endpoints }: EndpointSlice): string {
  const labels = Object.entries(metadata.labels ?? {}).toSorted();
  const sorted = (endpoints ?? []).map((endpoint) => [
    endpoint.addresses,
    endpoint.conditions?.ready,
    endpoint.conditions?.serving,
    endpoint.conditions?.terminating,
    endpoint.nodeName,
    endpoint.targetRef?.uid,
  ]);
  return JSON.stringify([labels, portsKey(ports), sorted.map((endpoint) => JSON.stringify(endpoint)).toSorted()]);
}

function newSlice(service: Service, { ports, endpoints }: WantedSlice): EndpointSlice {
  const { name, namespace, uid } = service.metadata;
  const owner = { apiVersion: "v1", kind: "Service", name, uid: uid!, controller: true, blockOwnerDeletion: true };
  const suffix = Math.random().toString(36).slice(2, 7).padEnd(5, "x");
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `${name}-${suffix}`,
      generateName: `${name}-`,
      ...(namespace === undefined ? {} : { namespace }),
      labels: sliceLabels(service),
      ownerReferences: [owner],
    },
    addressType: "IPv4",
    endpoints,
    ports,
  };
}
