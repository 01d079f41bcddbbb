import { FIELD_MANAGER } from "@elasti/api";
import {
  type HorizontalPodAutoscaler,
  type KubeClient,
  type Resource,
  resources,
  type ScaledObject,
} from "@elasti/kube";
import type { BoundsChange, BoundsState } from "./policy-bounds.ts";

/** What the bounds of an autoscaler are called by its kind, and what they are where they are left out. */
export interface BoundsKind {
  readonly resource: Resource;
  readonly fields: readonly [min: string, max: string];
  readonly defaults: readonly [min: number, max: number];
}
const kinds = {
  HorizontalPodAutoscaler: {
    resource: resources.horizontalPodAutoscalers,
    fields: ["minReplicas", "maxReplicas"],
    defaults: [1, 1],
  },
  ScaledObject: {
    resource: resources.scaledObjects,
    fields: ["minReplicaCount", "maxReplicaCount"],
    defaults: [0, 100],
  },
} as const satisfies Record<string, BoundsKind>;

/** An autoscaler whose bounds a policy may move. */
export type AutoscalerObject = ScaledObject | HorizontalPodAutoscaler;

export const boundsKindOf = (object: AutoscalerObject): BoundsKind => kinds[object.kind as keyof typeof kinds];

export function boundsStateOf({ metadata, spec }: AutoscalerObject): BoundsState {
  const annotations = metadata.annotations ?? {};
  return "maxReplicas" in spec
    ? { annotations, min: spec.minReplicas, max: spec.maxReplicas }
    : { annotations, min: spec.minReplicaCount, max: spec.maxReplicaCount };
}

/**
 * Makes a change to the object as it was read.
 * @throws ELASTI_KUBE_CONFLICT where somebody has written it since, and what else the API server says
 */
export async function writeBounds(
  client: Pick<KubeClient, "patch">,
  object: AutoscalerObject,
  { annotations, ...bounds }: BoundsChange,
): Promise<AutoscalerObject> {
  const { resource, fields } = boundsKindOf(object);
  const { name, namespace, resourceVersion } = object.metadata;
  const spec = {
    ...("min" in bounds ? { [fields[0]]: bounds.min } : {}),
    ...("max" in bounds ? { [fields[1]]: bounds.max } : {}),
  };
  const body = { metadata: { resourceVersion, annotations }, ...(Object.keys(spec).length === 0 ? {} : { spec }) };
  return await client.patch<AutoscalerObject>(resource, namespace, name, "merge", body, {
    fieldManager: FIELD_MANAGER,
  });
}
