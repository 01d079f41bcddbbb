import { type ApiObject, asObject, cloneJson, isJsonObject, type JsonObject, jsonEqual } from "./json.ts";

/** Who writes, for metadata.managedFields. */
export interface FieldWriter {
  readonly manager: string;
  readonly subresource?: "status" | "scale" | undefined;
  readonly apiVersion: string;
  readonly time: string;
}

export interface ManagedFieldsEntry {
  manager?: string;
  operation?: string;
  apiVersion?: string;
  time?: string;
  fieldsType?: string;
  fieldsV1?: unknown;
  subresource?: string;
}

/** Fields that belong to nobody, because the server keeps them. */
const unowned = new Set([
  "name",
  "namespace",
  "uid",
  "resourceVersion",
  "generation",
  "creationTimestamp",
  "deletionTimestamp",
  "deletionGracePeriodSeconds",
  "managedFields",
  "generateName",
]);

/** Maps that have one owner as a whole (`x-kubernetes-map-type: atomic`). */
const atomicMaps = new Set(["selector", "nodeSelector", "matchLabels"]);

/** The set of fields, as fieldsV1, in which `object` differs from `previous`, and of those it no longer has. Lists are owned whole. */
function changes(previous: unknown, object: unknown, path: string): { written: JsonObject; gone: JsonObject } {
  const written: JsonObject = {};
  const gone: JsonObject = {};
  const before = asObject(previous);
  const after = asObject(object);
  for (const key of new Set([...Object.keys(before), ...Object.keys(after)])) {
    if (path === "" && (key === "apiVersion" || key === "kind")) continue;
    if (path === "metadata" && unowned.has(key)) continue;
    const old = before[key];
    const now = after[key];
    if (jsonEqual(old, now)) continue;
    const isMap = isJsonObject(now) && !atomicMaps.has(key) && Object.keys(now).length > 0;
    if (now === undefined) gone[`f:${key}`] = {};
    else if (!isMap) written[`f:${key}`] = {};
    else {
      const inner = changes(isJsonObject(old) ? old : undefined, now, key);
      if (Object.keys(inner.written).length > 0) written[`f:${key}`] = inner.written;
      if (Object.keys(inner.gone).length > 0) gone[`f:${key}`] = inner.gone;
    }
  }
  return { written, gone };
}

/** `fields` without those in `taken`; undefined when nothing is left. */
function without(fields: JsonObject, taken: JsonObject): JsonObject | undefined {
  const rest: JsonObject = {};
  for (const [key, value] of Object.entries(fields)) {
    const cut = taken[key];
    if (!isJsonObject(cut)) rest[key] = value;
    else if (Object.keys(cut).length > 0 && isJsonObject(value) && Object.keys(value).length > 0) {
      const inner = without(value, cut);
      if (inner !== undefined) rest[key] = inner;
    }
  }
  return Object.keys(rest).length === 0 ? undefined : rest;
}

function union(a: JsonObject, b: JsonObject): JsonObject {
  const both: JsonObject = cloneJson(a);
  for (const [key, value] of Object.entries(b)) both[key] = union(asObject(both[key]), asObject(value));
  return both;
}

export function isSameEntry(entry: ManagedFieldsEntry, writer: FieldWriter, operation: "Update" | "Apply"): boolean {
  return (
    entry.manager === writer.manager &&
    entry.operation === operation &&
    (entry.subresource ?? "") === (writer.subresource ?? "") &&
    entry.apiVersion === writer.apiVersion
  );
}

export function managedFieldsOf(object: ApiObject): ManagedFieldsEntry[] {
  return (object.metadata.managedFields ?? []) as ManagedFieldsEntry[];
}

/**
 * Records in `object.metadata.managedFields` that the writer now owns what it changed against `previous`, as an update
 * (not an apply). A write that changes nothing leaves the entries alone; a client that sends `[{}]` drops them all.
 */
export function trackFields(previous: ApiObject | undefined, object: ApiObject, writer: FieldWriter): void {
  const sent = object.metadata.managedFields as ManagedFieldsEntry[] | undefined;
  // a PUT without the field keeps the entries
  const entries = (sent ?? (previous === undefined ? [] : managedFieldsOf(previous))).filter(
    (entry) => entry.fieldsV1 !== undefined,
  );
  // status belongs to writers of the status subresource, everything else to the others
  const { written, gone } = changes(
    previous,
    writer.subresource === "status" ? object : { ...object, status: previous?.status },
    "",
  );
  const moved = union(written, gone);
  if (Object.keys(moved).length === 0) {
    if (entries.length > 0) Object.assign(object.metadata, { managedFields: entries });
    else delete object.metadata.managedFields;
    return;
  }
  const kept: ManagedFieldsEntry[] = [];
  let own: ManagedFieldsEntry | undefined;
  for (const entry of entries) {
    const rest = without(asObject(entry.fieldsV1), moved);
    if (isSameEntry(entry, writer, "Update")) own = { ...entry, fieldsV1: rest ?? {} };
    else if (rest !== undefined) kept.push({ ...entry, fieldsV1: rest });
  }
  const fields = union(asObject(own?.fieldsV1), written);
  if (Object.keys(fields).length > 0) kept.push(entryOf(writer, "Update", fields));
  Object.assign(object.metadata, { managedFields: kept });
}

export function entryOf(writer: FieldWriter, operation: "Update" | "Apply", fields: JsonObject): ManagedFieldsEntry {
  return {
    manager: writer.manager,
    operation,
    apiVersion: writer.apiVersion,
    time: writer.time,
    fieldsType: "FieldsV1",
    fieldsV1: fields,
    ...(writer.subresource === undefined ? {} : { subresource: writer.subresource }),
  };
}

/** Takes the fields out of every entry but the one of `writer`. */
export function disown(entries: readonly ManagedFieldsEntry[], fields: JsonObject): ManagedFieldsEntry[] {
  return entries.flatMap((entry) => {
    const rest = without(asObject(entry.fieldsV1), fields);
    return rest === undefined ? [] : [{ ...entry, fieldsV1: rest }];
  });
}
