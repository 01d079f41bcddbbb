import { type ElastiService, FINALIZER, keyOf } from "@elasti/api";
import { systemClock } from "@elasti/core";
import {
  type EndpointSlice,
  isForbidden,
  isNotFound,
  type KubeClient,
  type KubeObject,
  type Resource,
  RestMapper,
  resources,
  ScaleClient,
  type ScaledObject,
  type Service,
} from "@elasti/kube";
import type { Snapshot } from "./leftovers.ts";

const pageSize = 500;
/** Scales that are read at once. */
const concurrency = 8;

/** Every object of a kind, of some namespaces or (none given) of all. @throws what the API server says */
export async function listAll<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  namespaces: readonly (string | undefined)[],
): Promise<T[]> {
  const items: T[] = [];
  for (const namespace of namespaces.length === 0 ? [undefined] : namespaces) {
    let page: string | undefined;
    do {
      const list = await client.list<T>(resource, {
        namespace,
        limit: pageSize,
        ...(page === undefined ? {} : { continue: page }),
      });
      items.push(...list.items);
      page = list.metadata.continue;
    } while (page !== undefined && page !== "");
  }
  return items;
}

/** As `listAll`; none where the kind is not installed or, with `optional`, may not be read. */
export async function listKnown<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  namespaces: readonly string[],
  optional = false,
): Promise<T[]> {
  try {
    return await listAll<T>(client, resource, namespaces);
  } catch (error) {
    if (isNotFound(error) || (optional && isForbidden(error))) return [];
    throw error;
  }
}

/** @throws what the API server says */
export async function readSnapshot(client: KubeClient, namespaces: readonly string[]): Promise<Snapshot> {
  const [elastiServices, services, slices, scaledObjects] = await Promise.all([
    listKnown<ElastiService & KubeObject>(client, resources.elastiServices, namespaces),
    listAll<Service>(client, resources.services, namespaces),
    listAll<EndpointSlice>(client, resources.endpointSlices, namespaces),
    listKnown<ScaledObject>(client, resources.scaledObjects, namespaces, true),
  ]);
  return { elastiServices, services, slices, scaledObjects, replicas: await replicasOf(client, elastiServices) };
}

/** Replicas asked for of the targets, by the `namespace/name` of their ElastiServices. What cannot be read is left out. */
export async function replicasOf(client: KubeClient, all: readonly ElastiService[]): Promise<Map<string, number>> {
  const mapper = new RestMapper({ client, clock: systemClock });
  const scales = new ScaleClient(client);
  const found = new Map<string, number>();
  // awake ones that we have let go say nothing that counts
  const asked = all.filter(({ metadata, status }) => metadata.finalizers?.includes(FINALIZER) || status?.phase);
  const next = asked.values();
  const work = async (): Promise<void> => {
    for (const { metadata, spec } of next) {
      const { namespace = "", name } = metadata;
      try {
        const resource = await mapper.mapScalable(spec.scaleTargetRef);
        const { replicas } = await scales.getScale({ resource, namespace, name: spec.scaleTargetRef.name });
        found.set(keyOf(namespace, name), replicas);
      } catch {
        // no such target, or no right to look: there is nothing to be woken then
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return found;
}
