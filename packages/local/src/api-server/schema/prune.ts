import { asObject, isJsonObject, type JsonObject } from "../json.ts";

/** Fields of an embedded object that every schema knows. */
const typeMeta = ["apiVersion", "kind", "metadata"];

/**
 * Drops in place what a structural schema does not name (KEP 2885 pruning). Returns the paths of the dropped fields, such
 * as `spec.triggers[0].foo`.
 */
export function prune(schema: JsonObject, object: JsonObject): string[] {
  const dropped: string[] = [];
  pruneObject(schema, object, "", dropped, true);
  return dropped;
}

function pruneObject(schema: JsonObject, object: JsonObject, path: string, dropped: string[], embedded: boolean): void {
  const keep = schema["x-kubernetes-preserve-unknown-fields"] === true;
  const properties = asObject(schema.properties);
  const additional = schema.additionalProperties;
  for (const key of Object.keys(object)) {
    if (embedded && typeMeta.includes(key)) continue;
    const at = path === "" ? key : `${path}.${key}`;
    const inner = properties[key];
    if (isJsonObject(inner)) pruneValue(inner, object[key], at, dropped);
    else if (isJsonObject(additional)) pruneValue(additional, object[key], at, dropped);
    else if (!keep && additional !== true) {
      delete object[key];
      dropped.push(at);
    }
  }
}

function pruneValue(schema: JsonObject, value: unknown, path: string, dropped: string[]): void {
  if (isJsonObject(value)) {
    pruneObject(schema, value, path, dropped, schema["x-kubernetes-embedded-resource"] === true);
  } else if (Array.isArray(value) && isJsonObject(schema.items)) {
    for (const [index, item] of value.entries()) pruneValue(schema.items, item, `${path}[${index}]`, dropped);
  }
}
