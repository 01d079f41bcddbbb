import { type ApiObject, asArray, asObject } from "../json.ts";
import type { Column } from "../kind.ts";

/** The age of something as kubectl shows it: 5s, 3m20s, 5h, 3d. */
export function humanDuration(ms: number): string {
  const seconds = Math.floor(ms / 1_000);
  if (seconds < 0) return "0s";
  if (seconds < 120) return `${seconds}s`;
  const minutes = Math.floor(seconds / 60);
  if (minutes < 10) return seconds % 60 === 0 ? `${minutes}m` : `${minutes}m${seconds % 60}s`;
  if (minutes < 180) return `${minutes}m`;
  const hours = Math.floor(minutes / 60);
  if (hours < 8) return minutes % 60 === 0 ? `${hours}h` : `${hours}h${minutes % 60}m`;
  if (hours < 48) return `${hours}h`;
  const days = Math.floor(hours / 24);
  if (days < 8) return hours % 24 === 0 ? `${days}d` : `${days}d${hours % 24}h`;
  if (days < 730) return `${days}d`;
  return `${Math.floor(days / 365)}y`;
}

export function age(time: unknown, nowMs: number): string {
  return typeof time === "string" ? humanDuration(nowMs - Date.parse(time)) : "<unknown>";
}

export const nameColumn: Column = {
  name: "Name",
  type: "string",
  format: "name",
  description: "Name must be unique within a namespace.",
  value: (object) => object.metadata.name,
};

export const ageColumn: Column = {
  name: "Age",
  type: "string",
  description: "Time since creation.",
  value: (object, nowMs) => age(object.metadata.creationTimestamp, nowMs),
};

export function column(name: string, value: Column["value"], options: Partial<Omit<Column, "value">> = {}): Column {
  return { name, type: "string", ...options, value };
}

export const wide = { priority: 1 } as const;

/** `a=b,c=d` of a label map, `<none>` when it is empty. */
export function labelText(labels: unknown): string {
  const text = Object.entries(asObject(labels))
    .map(([key, value]) => `${key}=${value}`)
    .join(",");
  return text === "" ? "<none>" : text;
}

/** The entries of a list at a path of the object. */
export function listAt(object: ApiObject, ...path: string[]): Record<string, unknown>[] {
  let value: unknown = object;
  for (const part of path) value = asObject(value)[part];
  return asArray(value).map(asObject);
}

export function numberAt(object: ApiObject, ...path: string[]): number {
  let value: unknown = object;
  for (const part of path) value = asObject(value)[part];
  return typeof value === "number" ? value : 0;
}
