import { asObject, cloneJson, isJsonObject, type JsonObject } from "../json.ts";

/**
 * Sets the defaults of a structural schema in place. A null of a field that is not nullable is replaced by the default, or
 * dropped where there is none.
 */
export function applyDefaults(schema: JsonObject, object: JsonObject): void {
  const properties = asObject(schema.properties);
  for (const [key, entry] of Object.entries(properties)) {
    if (!isJsonObject(entry)) continue;
    const missing = object[key] === undefined || (object[key] === null && entry.nullable !== true);
    if (missing && entry.default !== undefined) object[key] = cloneJson(entry.default);
    else if (missing) delete object[key];
    defaultValue(entry, object[key]);
  }
  if (!isJsonObject(schema.additionalProperties)) return;
  for (const [key, value] of Object.entries(object)) {
    if (properties[key] === undefined) defaultValue(schema.additionalProperties, value);
  }
}

function defaultValue(schema: JsonObject, value: unknown): void {
  if (isJsonObject(value)) applyDefaults(schema, value);
  else if (Array.isArray(value) && isJsonObject(schema.items)) {
    for (const item of value) defaultValue(schema.items, item);
  }
}
