import { type ElastiService, FINALIZER, keyOf } from "@elasti/api";
import { systemClock } from "@elasti/core";
import {
  type Deployment,
  type EndpointSlice,
  type HorizontalPodAutoscaler,
  type KubeClient,
  type KubeObject,
  RestMapper,
  resources,
  ScaleClient,
  type ScaledObject,
  type Service,
} from "@elasti/kube";
import { hasPods, isKubeElasti } from "@elasti/operator";
import { listAll, listKnown } from "../listing.ts";
import type { Snapshot } from "./leftovers.ts";

/** Scales that are read at once. */
const concurrency = 8;

/** @throws what the API server says */
export async function readSnapshot(client: KubeClient, namespaces: readonly string[]): Promise<Snapshot> {
  const [elastiServices, services, slices, scaledObjects, hpas, deployments] = await Promise.all([
    listKnown<ElastiService & KubeObject>(client, resources.elastiServices, namespaces),
    listAll<Service>(client, resources.services, namespaces),
    listAll<EndpointSlice>(client, resources.endpointSlices, namespaces),
    listKnown<ScaledObject>(client, resources.scaledObjects, namespaces, true),
    listKnown<HorizontalPodAutoscaler>(client, resources.horizontalPodAutoscalers, namespaces, true),
    listKnown<Deployment>(client, resources.deployments, [], true),
  ]);
  const beside = deployments.some((deployment) => isKubeElasti(deployment) && hasPods(deployment));
  const replicas = await replicasOf(client, elastiServices);
  return { elastiServices, services, slices, scaledObjects, hpas, replicas, beside };
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
