import type { KubeClient, KubeObject, Resource, WriteOptions } from "./types.ts";

/** A merge patch: what is named is set, null removes. */
export type MergePatch = Record<string, unknown> & { metadata?: Record<string, unknown> };

/** `patch` on condition that the object is still as `object` was read: anything newer makes it a 409. */
export function withPrecondition(object: KubeObject, patch: MergePatch): MergePatch {
  const { resourceVersion } = object.metadata;
  if (resourceVersion === undefined) throw new TypeError(`${object.kind} ${object.metadata.name} was never read`);
  return { ...patch, metadata: { ...patch.metadata, resourceVersion } };
}

/**
 * Changes an object as it was read in one conditional write.
 * @throws ELASTI_KUBE_CONFLICT when it was changed meanwhile
 */
export function mergePatchWithPrecondition<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  object: T,
  patch: MergePatch,
  options: WriteOptions & { subresource?: string } = {},
): Promise<T> {
  const { namespace, name } = object.metadata;
  return client.patch<T>(resource, namespace, name, "merge", withPrecondition(object, patch), options);
}
