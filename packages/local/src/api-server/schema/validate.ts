import { isIPv4, isIPv6 } from "node:net";
import {
  duplicate,
  type FieldError,
  invalid,
  notSupported,
  required,
  tooLong,
  tooMany,
  typeInvalid,
} from "../field-error.ts";
import { asArray, asObject, isJsonObject, type JsonObject, jsonEqual } from "../json.ts";

/**
 * Validates by a structural schema, in the words of the real server (kube-openapi's validator as apiextensions shows it).
 * CEL rules (`x-kubernetes-validations`) are accepted and not evaluated.
 */
export function validateSchema(schema: JsonObject, object: JsonObject): FieldError[] {
  const problems: FieldError[] = [];
  validateObject(schema, object, "", problems, true);
  return problems;
}

function typeName(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "array";
  if (typeof value === "number") return Number.isInteger(value) ? "integer" : "number";
  return typeof value;
}

function fitsType(type: string, value: unknown): boolean {
  const actual = typeName(value);
  return actual === type || (type === "number" && actual === "integer");
}

/** A problem of a value, with the words `<path> in body <text>`. */
function wrong(path: string, value: unknown, text: string): FieldError {
  return invalid(path, value, `${path} in body ${text}`);
}

function validateValue(schema: JsonObject, value: unknown, path: string, problems: FieldError[]): void {
  if (value === null && schema.nullable === true) return;
  const intOrString = schema["x-kubernetes-int-or-string"] === true;
  const types = intOrString ? ["integer", "string"] : typeof schema.type === "string" ? [schema.type] : [];
  if (types.length > 0 && !types.some((type) => fitsType(type, value))) {
    const actual = typeName(value);
    problems.push(
      typeInvalid(path, actual, `${path} in body must be of type ${types.join(",")}: ${JSON.stringify(actual)}`),
    );
    return;
  }
  const allowed = asArray(schema.enum);
  if (allowed.length > 0 && !allowed.some((entry) => jsonEqual(entry, value))) {
    problems.push(notSupported(path, value, allowed));
  }
  if (typeof value === "number") validateNumber(schema, value, path, problems);
  else if (typeof value === "string") validateString(schema, value, path, problems);
  else if (Array.isArray(value)) validateList(schema, value, path, problems);
  else if (isJsonObject(value)) {
    validateObject(schema, value, path, problems, schema["x-kubernetes-embedded-resource"] === true);
  }
  validateCombinations(schema, value, path, problems);
}

function validateNumber(schema: JsonObject, value: number, path: string, problems: FieldError[]): void {
  const { minimum, maximum, multipleOf } = schema;
  if (typeof minimum === "number") {
    const exclusive = schema.exclusiveMinimum === true;
    if (exclusive ? value <= minimum : value < minimum) {
      problems.push(wrong(path, value, `should be greater than ${exclusive ? "" : "or equal to "}${minimum}`));
    }
  }
  if (typeof maximum === "number") {
    const exclusive = schema.exclusiveMaximum === true;
    if (exclusive ? value >= maximum : value > maximum) {
      problems.push(wrong(path, value, `should be less than ${exclusive ? "" : "or equal to "}${maximum}`));
    }
  }
  if (typeof multipleOf === "number" && value % multipleOf !== 0) {
    problems.push(wrong(path, value, `should be a multiple of ${multipleOf}`));
  }
  if (schema.format === "int32" && (value < -(2 ** 31) || value >= 2 ** 31)) {
    problems.push(wrong(path, value, `must be of type int32: ${JSON.stringify(String(value))}`));
  }
}

const formats: Readonly<Record<string, (value: string) => boolean>> = {
  "date-time": (value) => /^\d{4}-\d\d-\d\d[Tt]/.test(value) && !Number.isNaN(Date.parse(value)),
  ipv4: isIPv4,
  ipv6: isIPv6,
  uri: (value) => URL.canParse(value),
};

function validateString(schema: JsonObject, value: string, path: string, problems: FieldError[]): void {
  const { minLength, maxLength, pattern, format } = schema;
  const length = [...value].length;
  if (typeof maxLength === "number" && length > maxLength) problems.push(tooLong(path, maxLength));
  if (typeof minLength === "number" && length < minLength) {
    problems.push(wrong(path, value, `should be at least ${minLength} chars long`));
  }
  if (typeof pattern === "string" && !new RegExp(pattern, "u").test(value)) {
    problems.push(wrong(path, value, `should match '${pattern}'`));
  }
  if (typeof format === "string" && formats[format]?.(value) === false) {
    problems.push(wrong(path, value, `must be of type ${format}: ${JSON.stringify(value)}`));
  }
}

function validateList(schema: JsonObject, value: unknown[], path: string, problems: FieldError[]): void {
  const { minItems, maxItems, items } = schema;
  if (typeof minItems === "number" && value.length < minItems) {
    problems.push(wrong(path, value.length, `should have at least ${minItems} items`));
  }
  if (typeof maxItems === "number" && value.length > maxItems) problems.push(tooMany(path, value.length, maxItems));
  if (
    schema.uniqueItems === true &&
    value.some((item, at) => value.slice(0, at).some((other) => jsonEqual(item, other)))
  ) {
    problems.push(wrong(path, value, "shouldn't contain duplicates"));
  }
  if (isJsonObject(items)) {
    for (const [index, item] of value.entries()) validateValue(items, item, `${path}[${index}]`, problems);
  }
  if (schema["x-kubernetes-list-type"] === "map") validateListMap(schema, value, path, problems);
}

function validateListMap(schema: JsonObject, value: unknown[], path: string, problems: FieldError[]): void {
  const keys = asArray(schema["x-kubernetes-list-map-keys"]).map(String);
  const seen = new Set<string>();
  for (const [index, item] of value.entries()) {
    const key = JSON.stringify(keys.map((name) => asObject(item)[name] ?? null));
    if (seen.has(key)) {
      problems.push(
        duplicate(`${path}[${index}]`, Object.fromEntries(keys.map((name) => [name, asObject(item)[name]]))),
      );
    }
    seen.add(key);
  }
}

function validateObject(
  schema: JsonObject,
  object: JsonObject,
  path: string,
  problems: FieldError[],
  embedded: boolean,
): void {
  const at = (key: string) => (path === "" ? key : `${path}.${key}`);
  for (const key of asArray(schema.required).map(String)) {
    if (object[key] === undefined) problems.push(required(at(key)));
  }
  const count = Object.keys(object).length;
  if (typeof schema.maxProperties === "number" && count > schema.maxProperties) {
    problems.push(tooMany(path, count, schema.maxProperties));
  }
  if (typeof schema.minProperties === "number" && count < schema.minProperties) {
    problems.push(wrong(path, object, `should have at least ${schema.minProperties} properties`));
  }
  const properties = asObject(schema.properties);
  for (const [key, value] of Object.entries(object)) {
    if (embedded && key === "metadata") continue;
    const inner = properties[key] ?? schema.additionalProperties;
    if (isJsonObject(inner) && value !== undefined) validateValue(inner, value, at(key), problems);
  }
}

function fits(schema: unknown, value: unknown, path: string): boolean {
  const problems: FieldError[] = [];
  validateValue(asObject(schema), value, path, problems);
  return problems.length === 0;
}

function validateCombinations(schema: JsonObject, value: unknown, path: string, problems: FieldError[]): void {
  for (const part of asArray(schema.allOf)) validateValue(asObject(part), value, path, problems);
  const anyOf = asArray(schema.anyOf);
  const isIntOrStringMarker = schema["x-kubernetes-int-or-string"] === true;
  if (anyOf.length > 0 && !isIntOrStringMarker && !anyOf.some((part) => fits(part, value, path))) {
    problems.push(wrong(path, value, "must validate at least one schema (anyOf)"));
  }
  const oneOf = asArray(schema.oneOf);
  if (oneOf.length > 0 && oneOf.filter((part) => fits(part, value, path)).length !== 1) {
    problems.push(wrong(path, value, "must validate one and only one schema (oneOf)"));
  }
  if (isJsonObject(schema.not) && fits(schema.not, value, path)) {
    problems.push(wrong(path, value, "must not validate the schema (not)"));
  }
}
