import type { KubeObject } from "@elasti/kube";

export type JsonObject = Record<string, unknown>;

/** An object of any kind as the store holds it: frozen, shared between all readers. */
export interface ApiObject extends KubeObject {
  [field: string]: unknown;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** The value when it is an object, else an empty one: reading a field that may be missing. */
export function asObject(value: unknown): JsonObject {
  return isJsonObject(value) ? value : {};
}

export function asArray(value: unknown): unknown[] {
  return Array.isArray(value) ? value : [];
}

/** The object under `key`, made when it is missing; for objects that the caller may change. */
export function childObject(parent: JsonObject, key: string): JsonObject {
  const found = parent[key];
  if (isJsonObject(found)) return found;
  const made: JsonObject = {};
  parent[key] = made;
  return made;
}

/** Sets `key` unless it has a value (null counts as none, as in Go's decoding). */
export function setDefault(parent: JsonObject, key: string, value: unknown): void {
  if (parent[key] === undefined || parent[key] === null) parent[key] = value;
}

/** Freezes a JSON value in depth; what is frozen already is not walked again, so shared parts cost nothing. */
export function deepFreeze<T>(value: T): T {
  if (typeof value !== "object" || value === null || Object.isFrozen(value)) return value;
  Object.freeze(value);
  for (const child of Object.values(value)) deepFreeze(child);
  return value;
}

/** Equality of JSON values; a field that is undefined counts as missing. */
export function jsonEqual(a: unknown, b: unknown): boolean {
  if (a === b) return true;
  if (Array.isArray(a)) {
    return Array.isArray(b) && a.length === b.length && a.every((item, index) => jsonEqual(item, b[index]));
  }
  if (!isJsonObject(a) || !isJsonObject(b)) return false;
  for (const key in a) if (!jsonEqual(a[key], b[key])) return false;
  for (const key in b) if (a[key] === undefined && b[key] !== undefined) return false;
  return true;
}

/** A private copy that may be changed. */
export function cloneJson<T>(value: T): T {
  return cloneValue(value) as T;
}

function cloneValue(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(cloneValue);
  if (!isJsonObject(value)) return value;
  const copy: JsonObject = {};
  for (const key in value) copy[key] = cloneValue(value[key]);
  return copy;
}

const texts = new WeakMap<object, string>();

/** The JSON text of a frozen object, made once. */
export function jsonText(object: object): string {
  let text = texts.get(object);
  if (text === undefined) {
    text = JSON.stringify(object);
    texts.set(object, text);
  }
  return text;
}

/** The same with the fields of all objects in alphabetical order. */
export function sortedKeys<T>(value: T): T {
  if (Array.isArray(value)) return value.map(sortedKeys) as T;
  if (!isJsonObject(value)) return value;
  const fields = Object.keys(value)
    .sort()
    .map((key) => [key, sortedKeys(value[key])]);
  return Object.fromEntries(fields) as T;
}
