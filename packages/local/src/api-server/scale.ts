import type { ObjectMeta, Scale } from "@elasti/kube";
import { invalid } from "./field-error.ts";
import { type ApiObject, asObject, childObject, cloneJson, isJsonObject, type JsonObject } from "./json.ts";
import { apiVersionOf, type Kind, type ScaleFields } from "./kind.ts";
import {
  disown,
  entryOf,
  type FieldWriter,
  isSameEntry,
  type ManagedFieldsEntry,
  managedFieldsOf,
} from "./managed-fields.ts";
import type { Objects, WriteContext } from "./objects.ts";
import { applyPatchType, patched } from "./patch.ts";
import { badRequest, internalError, invalidObject, StatusError } from "./status-error.ts";

type ScalableKind = Kind & { scale: ScaleFields };

const scaleResource = { group: "autoscaling", version: "v1", plural: "scales", kind: "Scale", namespaced: true };

function numberAt(object: unknown, path: readonly string[]): number | undefined {
  let value: unknown = object;
  for (const part of path) value = asObject(value)[part];
  return typeof value === "number" ? value : undefined;
}

/** The autoscaling/v1 Scale of an object. Throws 500 when the object has no replicas field, as the real server does. */
export function scaleOf(fields: ScaleFields, object: ApiObject): Scale {
  const { name, namespace, uid, resourceVersion, creationTimestamp } = object.metadata;
  const replicas = numberAt(object, fields.specReplicas);
  if (replicas === undefined) {
    throw internalError(`the spec replicas field ".${fields.specReplicas.join(".")}" does not exist`);
  }
  const selector = fields.selector(object);
  return {
    kind: "Scale",
    apiVersion: "autoscaling/v1",
    metadata: { name, namespace, uid, resourceVersion, creationTimestamp } as ObjectMeta,
    // Go's omitempty: a scale of zero has no replicas field
    spec: replicas === 0 ? {} : { replicas },
    status: { replicas: numberAt(object, fields.statusReplicas) ?? 0, ...(selector === "" ? {} : { selector }) },
  };
}

/** The object with the replicas and the resourceVersion that a Scale asks for. */
function withScale({ scale: fields, custom }: ScalableKind, current: ApiObject, scale: JsonObject): ApiObject {
  const sent = asObject(scale.spec).replicas ?? 0;
  const metadata = asObject(scale.metadata);
  const { name } = current.metadata;
  if (typeof sent !== "number" || !Number.isInteger(sent)) {
    throw badRequest(
      `Scale in version "v1" cannot be handled as a Scale: json: cannot unmarshal ${typeof sent} into Go struct field ScaleSpec.spec.replicas of type int32`,
    );
  }
  // of a custom resource the object is looked at, and not its scale
  if (sent < 0 && !custom) {
    throw invalidObject(scaleResource, name, [invalid("spec.replicas", sent, "must be greater than or equal to 0")]);
  }
  const object = cloneJson(current);
  let parent: JsonObject = object;
  for (const part of fields.specReplicas.slice(0, -1)) parent = childObject(parent, part);
  parent[fields.specReplicas.at(-1)!] = sent;
  for (const field of ["resourceVersion", "uid", "name", "namespace"] as const) {
    const value = metadata[field];
    if (typeof value === "string") object.metadata[field] = value;
  }
  return object;
}

/** PUT of a Scale. */
export function replaceScale(
  objects: Objects,
  kind: ScalableKind,
  namespace: string | undefined,
  name: string,
  scale: JsonObject,
  context: WriteContext,
): Scale {
  return updateScale(objects, kind, namespace, name, () => scale, context);
}

/** A write that is no apply. */
function updateScale(
  objects: Objects,
  kind: ScalableKind,
  namespace: string | undefined,
  name: string,
  sent: (current: ApiObject) => JsonObject,
  context: WriteContext,
): Scale {
  const compute = (current: ApiObject): ApiObject => {
    const object = withScale(kind, current, sent(current));
    trackReplicas(objects, kind, current, object, context.manager);
    return object;
  };
  const write = { ...context, subresource: "scale" as const, applied: true };
  return scaleOf(kind.scale, objects.update(kind, namespace, name, compute, write));
}

/**
 * Notes who has changed the replicas. A Scale of zero has no replicas field, so that a zero has no owner; and where nobody
 * owns them, an update does not begin to keep count.
 */
function trackReplicas(
  objects: Objects,
  kind: ScalableKind,
  current: ApiObject,
  object: ApiObject,
  manager: string,
): void {
  const path = kind.scale.specReplicas;
  const entries = managedFieldsOf(current);
  const replicas = numberAt(object, path);
  if (replicas === numberAt(current, path) || !entries.some((entry) => owns(entry.fieldsV1, path))) return;
  const managedFields = disown(entries, replicasField(path));
  if (replicas !== 0) managedFields.push(entryOf(writerOf(objects, kind, manager), "Update", replicasField(path)));
  Object.assign(object.metadata, { managedFields });
}

function writerOf(objects: Objects, kind: Kind, manager: string): FieldWriter {
  return { manager, subresource: "scale", apiVersion: apiVersionOf(kind.resource), time: objects.timestamp() };
}

/** PATCH of a Scale by a merge or json patch, or by server-side apply. */
export function patchScale(
  objects: Objects,
  kind: ScalableKind,
  namespace: string | undefined,
  name: string,
  type: string,
  patch: unknown,
  context: WriteContext & { force: boolean },
): Scale {
  if (type === applyPatchType) return applyScale(objects, kind, namespace, name, patch, context);
  const sent = (current: ApiObject) => patched(scaleOf(kind.scale, current), type, patch);
  return updateScale(objects, kind, namespace, name, sent, context);
}

/** The entries of managedFields with the one that the first apply makes for what nobody owned before it. */
function withFirstApply(objects: Objects, kind: ScalableKind, current: ApiObject): ManagedFieldsEntry[] {
  const path = kind.scale.specReplicas;
  const entries = managedFieldsOf(current);
  if (numberAt(current, path) === 0 || entries.some((entry) => owns(entry.fieldsV1, path))) return entries;
  const first = writerOf(objects, kind, "before-first-apply");
  return [...entries, entryOf(first, "Update", replicasField(path))];
}

/** The fieldsV1 of the replicas field. */
function replicasField(path: readonly string[]): JsonObject {
  return path.toReversed().reduce<JsonObject>((inner, part) => ({ [`f:${part}`]: inner }), {});
}

function owns(fieldsV1: unknown, path: readonly string[]): boolean {
  let value: unknown = fieldsV1;
  for (const part of path) {
    value = asObject(value)[`f:${part}`];
    if (value === undefined) return false;
  }
  return true;
}

function applyConflict(managers: readonly string[], path: readonly string[]): StatusError {
  const field = `.${path.join(".")}`;
  const causes = managers.map((manager) => ({
    reason: "FieldManagerConflict",
    message: `conflict with ${JSON.stringify(manager)}`,
    field,
  }));
  const plural = managers.length === 1 ? "conflict" : "conflicts";
  const text = `Apply failed with ${managers.length} ${plural}: ${causes.map((cause) => `${cause.message}: ${field}`).join(", ")}`;
  return new StatusError(409, "Conflict", text, { causes });
}

/**
 * Server-side apply of `spec.replicas` through /scale. The applying manager becomes an owner of the field; a manager that is
 * new to it moves the resourceVersion even when the value stays. Managers that hold another value conflict, or lose the
 * field to a forced apply.
 */
function applyScale(
  objects: Objects,
  kind: ScalableKind,
  namespace: string | undefined,
  name: string,
  applied: unknown,
  context: WriteContext & { force: boolean },
): Scale {
  if (!isJsonObject(applied)) throw badRequest("error decoding patch: an applied Scale must be an object");
  const path = kind.scale.specReplicas;
  const field = replicasField(path);
  const writer = writerOf(objects, kind, context.manager);
  const compute = (current: ApiObject): ApiObject => {
    const object = withScale(kind, current, applied);
    const same = numberAt(object, path) === numberAt(current, path);
    const all = withFirstApply(objects, kind, current);
    if (kind.custom && (!same || all.length > managedFieldsOf(current).length || numberAt(current, path) === 0)) {
      // the real server cannot make a Scale of such an object for its field managers
      throw internalError("request to convert CR to an invalid group/version: autoscaling/v1");
    }
    const own = all.find((entry) => isSameEntry(entry, writer, "Apply"));
    let others = all.filter((entry) => entry !== own);
    if (!same) {
      const losers = others.filter((entry) => owns(entry.fieldsV1, path)).map((entry) => entry.manager ?? "");
      if (losers.length > 0 && !context.force) throw applyConflict(losers, path);
      others = disown(others, field);
    }
    const kept = own !== undefined && same ? own : entryOf(writer, "Apply", field);
    const position = own === undefined ? others.length : Math.min(all.indexOf(own), others.length);
    Object.assign(object.metadata, { managedFields: others.toSpliced(position, 0, kept) });
    return object;
  };
  const write = { ...context, subresource: "scale" as const, applied: true };
  return scaleOf(kind.scale, objects.update(kind, namespace, name, compute, write));
}
