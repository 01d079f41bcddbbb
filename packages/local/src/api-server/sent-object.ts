import type { ObjectMeta } from "@elasti/kube";
import { type ApiObject, asArray, isJsonObject, type JsonObject } from "./json.ts";
import { apiVersionOf, type Kind } from "./kind.ts";
import { badRequest } from "./status-error.ts";

function dropNulls(value: JsonObject): void {
  for (const key in value) {
    const child = value[key];
    if (child === null) delete value[key];
    else if (isJsonObject(child)) dropNulls(child);
    else for (const item of asArray(child)) if (isJsonObject(item)) dropNulls(item);
  }
}

function isStringMap(value: unknown): boolean {
  return isJsonObject(value) && Object.values(value).every((entry) => typeof entry === "string");
}

function isStringList(value: unknown): boolean {
  return Array.isArray(value) && value.every((entry) => typeof entry === "string");
}

const text = (value: unknown) => typeof value === "string";

/** What Go's decoder would refuse in ObjectMeta, by the types that the fields must have. */
const metadataTypes: Readonly<Record<string, (value: unknown) => boolean>> = {
  name: text,
  generateName: text,
  namespace: text,
  uid: text,
  resourceVersion: text,
  labels: isStringMap,
  annotations: isStringMap,
  finalizers: isStringList,
  ownerReferences: (value) => Array.isArray(value) && value.every(isJsonObject),
};

/** A body as an object of the kind, with apiVersion, kind and metadata in place. Throws 400. */
export function privateObject(kind: Kind, body: unknown): ApiObject {
  const { resource } = kind;
  const apiVersion = apiVersionOf(resource);
  if (!isJsonObject(body)) throw badRequest(`the body of the request must be a ${resource.kind} as a JSON object`);
  if (body.kind !== undefined && body.kind !== resource.kind) {
    throw badRequest(
      `${String(body.kind)} in version ${JSON.stringify(body.apiVersion ?? "")} cannot be handled as a ${resource.kind}: no kind ${JSON.stringify(resource.kind)} is registered for that version`,
    );
  }
  if (body.apiVersion !== undefined && body.apiVersion !== apiVersion) {
    throw badRequest(
      `the API version in the data (${String(body.apiVersion)}) does not match the expected API version (${apiVersion})`,
    );
  }
  const sent = isJsonObject(body.metadata) ? body.metadata : {};
  dropNulls(sent);
  for (const [field, fits] of Object.entries(metadataTypes)) {
    if (sent[field] === undefined || fits(sent[field])) continue;
    throw badRequest(
      `${resource.kind} in version ${JSON.stringify(resource.version)} cannot be handled as a ${resource.kind}: json: cannot unmarshal ${typeof sent[field]} into Go struct field ObjectMeta.metadata.${field}`,
    );
  }
  const metadata: Partial<ObjectMeta> = sent;
  return Object.assign(body, { apiVersion, kind: resource.kind, metadata: { name: "", ...metadata } });
}

/**
 * Decodes an object in place: what the schema does not know is dropped, defaults are set. Returns the warnings for unknown
 * fields; with fieldValidation Strict they are a 400.
 */
export function decodeObject(kind: Kind, object: ApiObject, fieldValidation: string): string[] {
  if (!["Strict", "Warn", "Ignore"].includes(fieldValidation)) {
    throw badRequest(`fieldValidation: Unsupported value: ${JSON.stringify(fieldValidation)}`);
  }
  if (!kind.custom) dropNulls(object);
  const unknown = (kind.decode?.(object) ?? []).sort().map((field) => `unknown field ${JSON.stringify(field)}`);
  if (unknown.length === 0 || fieldValidation === "Ignore") return [];
  if (fieldValidation === "Warn") return unknown;
  const { resource } = kind;
  throw badRequest(
    `${resource.kind} in version ${JSON.stringify(resource.version)} cannot be handled as a ${resource.kind}: strict decoding error: ${unknown.join(", ")}`,
  );
}
