import type { ApiObject } from "./json.ts";
import type { Kind } from "./kind.ts";
import { ageColumn, nameColumn } from "./kinds/columns.ts";
import type { WatchEncoder } from "./watch.ts";

/** What a row carries besides its cells. */
export type IncludeObject = "None" | "Metadata" | "Object";

/** metav1.PartialObjectMetadata of an object. */
export function partialObject(object: ApiObject) {
  return { kind: "PartialObjectMetadata", apiVersion: "meta.k8s.io/v1", metadata: object.metadata };
}

/** metav1.Table: what `kubectl get` prints. The server decides on columns and cells, the client only aligns them. */
export function tableOf(
  kind: Kind,
  objects: readonly ApiObject[],
  options: { nowMs: number; include: IncludeObject; listMetadata: object; headers?: boolean },
): object {
  const columns = kind.columns.length > 0 ? kind.columns : [nameColumn, ageColumn];
  const definitions = columns.map(({ name, type, format, description, priority }) => ({
    name,
    type,
    format: format ?? "",
    description: description ?? "",
    priority: priority ?? 0,
  }));
  return {
    kind: "Table",
    apiVersion: "meta.k8s.io/v1",
    metadata: options.listMetadata,
    columnDefinitions: options.headers === false ? null : definitions,
    rows: objects.map((object) => ({
      cells: columns.map((column) => column.value(object, options.nowMs) ?? null),
      object: options.include === "None" ? null : options.include === "Object" ? object : partialObject(object),
    })),
  };
}

/** Writes every event of a watch as a table of one row; only the first names the columns. */
export function tableEncoder(kind: Kind, include: IncludeObject, now: () => number): WatchEncoder {
  let headers = true;
  return (object) => {
    const { resourceVersion } = object.metadata;
    const table = tableOf(kind, [object], { nowMs: now(), include, listMetadata: { resourceVersion }, headers });
    headers = false;
    return JSON.stringify(table);
  };
}
