import type { ObjectMeta } from "@elasti/kube";
import { type FieldError, forbidden } from "./field-error.ts";
import { badRequest } from "./status-error.ts";

export function checkNamespace(namespace: string | undefined, metadata: ObjectMeta): void {
  if (metadata.namespace === undefined || metadata.namespace === "") return;
  if (metadata.namespace !== (namespace ?? "")) {
    throw badRequest("the namespace of the provided object does not match the namespace sent on the request");
  }
}

/** What an update may not touch is taken from the stored object. */
export function carriedMetadata(sent: ObjectMeta, previous: ObjectMeta): ObjectMeta {
  const metadata: ObjectMeta = { ...sent, name: previous.name };
  for (const field of [
    "namespace",
    "uid",
    "creationTimestamp",
    "generation",
    "resourceVersion",
    "generateName",
  ] as const) {
    const value = previous[field];
    if (value === undefined) delete metadata[field];
    else Object.assign(metadata, { [field]: value });
  }
  if (previous.deletionTimestamp === undefined) {
    delete metadata.deletionTimestamp;
    delete metadata.deletionGracePeriodSeconds;
  } else {
    metadata.deletionTimestamp = previous.deletionTimestamp;
    if (previous.deletionGracePeriodSeconds !== undefined) {
      metadata.deletionGracePeriodSeconds = previous.deletionGracePeriodSeconds;
    }
  }
  return compactMetadata(metadata);
}

export function validateMetadataUpdate(metadata: ObjectMeta, previous: ObjectMeta): FieldError[] {
  if (previous.deletionTimestamp === undefined) return [];
  const known = new Set(previous.finalizers ?? []);
  const added = (metadata.finalizers ?? []).filter((finalizer) => !known.has(finalizer));
  if (added.length === 0) return [];
  const list = added.map((finalizer) => JSON.stringify(finalizer)).join(", ");
  return [
    forbidden(
      "metadata.finalizers",
      `no new finalizers can be added if the object is being deleted, found new finalizers []string{${list}}`,
    ),
  ];
}

/** Leaves out what Go's omitempty leaves out. */
export function compactMetadata(metadata: ObjectMeta): ObjectMeta {
  const compact: Record<string, unknown> = {};
  for (const [field, value] of Object.entries(metadata)) {
    if (value === null || value === undefined || value === "") continue;
    if (typeof value === "object" && Object.keys(value).length === 0) continue;
    compact[field] = value;
  }
  return compact as unknown as ObjectMeta;
}
