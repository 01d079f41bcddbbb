/** One wrong field, named as in `scale_up_rules[0].scale_by`; an empty name is the whole body. */
export interface FieldProblem {
  readonly field: string;
  /** What is wrong, and what was expected. */
  readonly message: string;
}

/** What is looked at of a JSON Schema. */
interface Schema {
  readonly type?: string;
  readonly const?: unknown;
  readonly enum?: readonly unknown[];
  readonly anyOf?: readonly Schema[];
  readonly $ref?: string;
  readonly $defs?: Readonly<Record<string, Schema>>;
  readonly properties?: Readonly<Record<string, Schema>>;
  readonly required?: readonly string[];
  readonly additionalProperties?: boolean;
  readonly items?: Schema;
  readonly minItems?: number;
  readonly maxItems?: number;
  readonly minLength?: number;
  readonly maxLength?: number;
  readonly minimum?: number;
  readonly maximum?: number;
  readonly exclusiveMinimum?: number;
  readonly pattern?: string;
  readonly format?: string;
  readonly description?: string;
}

/** Beyond so many nobody reads on. */
const MAX_PROBLEMS = 500;
/** Objects and arrays within one another; a condition has fewer. */
const MAX_NESTING = 24;
const uuid = /^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$/i;

/**
 * Every field in which a value differs from a JSON Schema, each with what was expected there. Of alternatives the one is
 * looked into that was meant, by its fields.
 */
export function schemaProblems(schema: object, value: unknown, field = ""): FieldProblem[] {
  const problems: FieldProblem[] = [];
  visit({ schema: schema as Schema, defs: {}, value, field, nesting: 0, problems });
  return problems;
}

interface Visit {
  readonly schema: Schema;
  readonly defs: Readonly<Record<string, Schema>>;
  readonly value: unknown;
  readonly field: string;
  readonly nesting: number;
  readonly problems: FieldProblem[];
}

function visit(at: Visit): void {
  const { schema, value, field, problems } = at;
  if (problems.length >= MAX_PROBLEMS) return;
  if (at.nesting > MAX_NESTING) {
    problems.push({ field, message: "is nested too deeply" });
    return;
  }
  const defs = schema.$defs ?? at.defs;
  if (schema.$ref !== undefined) {
    const target = defs[schema.$ref.replace(/^#\/\$defs\//, "")];
    if (target !== undefined) visit({ ...at, schema: target, defs });
    return;
  }
  if (schema.anyOf !== undefined) visitOneOf({ ...at, defs }, schema.anyOf);
  else if (schema.type === "object" && isRecord(value)) visitObject({ ...at, defs }, value);
  else if (schema.type === "array" && Array.isArray(value)) visitArray({ ...at, defs }, value);
  else if (!fits(schema, value)) {
    problems.push({ field, message: `${shown(value)} cannot be used: ${expected(schema)}` });
  }
}

function visitOneOf(at: Visit, branches: readonly Schema[]): void {
  const { value, field, problems } = at;
  const resolved = branches.map((branch) => resolve(branch, at.defs));
  if (resolved.some((branch) => branch.type !== "object" && branch.type !== "array" && fits(branch, value))) return;
  const objects = resolved.filter((branch) => branch.type === "object");
  if (!isRecord(value) || objects.length === 0) {
    problems.push({ field, message: `${shown(value)} cannot be used: ${expected(at.schema, at.defs)}` });
    return;
  }
  const tag = Object.keys(objects[0]?.properties ?? {}).find((key) =>
    objects.every((branch) => branch.properties?.[key]?.const !== undefined),
  );
  if (tag !== undefined && objects.length > 1) {
    const meant = objects.find((branch) => branch.properties?.[tag]?.const === value[tag]);
    if (meant !== undefined) {
      visit({ ...at, schema: meant });
      return;
    }
    const names = objects.map((branch) => String(branch.properties?.[tag]?.const));
    const message = value[tag] === undefined ? "is required" : `${shown(value[tag])} is none`;
    problems.push({ field: join(field, tag), message: `${message}: expected one of ${names.join(", ")}` });
    return;
  }
  const known = (branch: Schema) =>
    Object.keys(value).filter((key) => Object.hasOwn(branch.properties ?? {}, key)).length;
  const meant = objects.reduce((best, branch) => (known(branch) > known(best) ? branch : best));
  visit({ ...at, schema: meant });
}

function visitObject(at: Visit, value: Readonly<Record<string, unknown>>): void {
  const { schema, field, problems } = at;
  const properties = schema.properties ?? {};
  for (const key of schema.required ?? []) {
    if (value[key] === undefined) problems.push({ field: join(field, key), message: "is required" });
  }
  for (const [key, inner] of Object.entries(value)) {
    if (inner === undefined) continue;
    const property = Object.hasOwn(properties, key) ? properties[key] : undefined;
    if (property !== undefined) {
      visit({ ...at, schema: property, value: inner, field: join(field, key), nesting: at.nesting + 1 });
    } else if (schema.additionalProperties === false && problems.length < MAX_PROBLEMS) {
      const known = Object.keys(properties).join(", ");
      problems.push({ field: join(field, key.slice(0, 100)), message: `is no field that is known here: ${known}` });
    }
  }
}

function visitArray(at: Visit, value: readonly unknown[]): void {
  const { schema, field, problems } = at;
  const { minItems = 0, maxItems = Number.POSITIVE_INFINITY, items } = schema;
  if (value.length < minItems || value.length > maxItems) {
    const bounds = value.length < minItems ? `at least ${minItems}` : `at most ${maxItems}`;
    problems.push({ field, message: `has ${value.length} entries: expected ${bounds}` });
    // thousands of entries too many are one mistake
    if (value.length > maxItems) return;
  }
  if (items === undefined) return;
  for (const [index, inner] of value.entries()) {
    visit({ ...at, schema: items, value: inner, field: `${field}[${index}]`, nesting: at.nesting + 1 });
  }
}

/** Whether a value that is neither object nor array is what a schema says. */
function fits(schema: Schema, value: unknown): boolean {
  if (schema.const !== undefined) return value === schema.const;
  if (schema.enum !== undefined) return schema.enum.includes(value);
  switch (schema.type) {
    case "null":
      return value === null;
    case "boolean":
      return typeof value === "boolean";
    case "string": {
      if (typeof value !== "string") return false;
      const { minLength = 0, maxLength = Number.POSITIVE_INFINITY, pattern, format } = schema;
      if (value.length < minLength || value.length > maxLength) return false;
      if (format === "uuid" && !uuid.test(value)) return false;
      if (format === "date-time" && !isMoment(value)) return false;
      return pattern === undefined || new RegExp(pattern, "u").test(value);
    }
    case "integer":
    case "number": {
      if (typeof value !== "number" || !Number.isFinite(value)) return false;
      if (schema.type === "integer" && !Number.isInteger(value)) return false;
      const { minimum = -Infinity, maximum = Infinity, exclusiveMinimum = -Infinity } = schema;
      return value >= minimum && value <= maximum && value > exclusiveMinimum;
    }
    default:
      return schema.type === undefined;
  }
}

/** RFC 3339; the 31st of a month with 30 days, which Date.parse takes for the 1st of the next, is none. */
function isMoment(text: string): boolean {
  const day = /^(\d{4})-(\d\d)-(\d\d)T\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]\d\d:\d\d)$/i.exec(text);
  if (day === null || Number.isNaN(Date.parse(text))) return false;
  return Number(day[3]) <= new Date(Date.UTC(Number(day[1]), Number(day[2]), 0)).getUTCDate();
}

function expected(schema: Schema, defs: Readonly<Record<string, Schema>> = {}): string {
  return `expected ${describe(schema, defs)}`;
}

function describe(schema: Schema, defs: Readonly<Record<string, Schema>>): string {
  if (schema.anyOf !== undefined) {
    const kinds = schema.anyOf.map((branch) => describe(resolve(branch, defs), defs));
    return [...new Set(kinds)].join(", or ");
  }
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum !== undefined) return `one of ${schema.enum.join(", ")}`;
  const { minimum, maximum, exclusiveMinimum, minLength = 0, maxLength } = schema;
  switch (schema.type) {
    case "null":
      return "null";
    case "boolean":
      return "true or false";
    case "string":
      if (schema.format === "uuid") return "a UUID";
      if (schema.format === "date-time") return "a moment such as 2026-12-24T18:00:00Z";
      if (schema.pattern !== undefined) return schema.description ?? `text that matches ${schema.pattern}`;
      return maxLength === undefined ? "text" : `text of ${minLength} to ${maxLength} characters`;
    case "integer":
    case "number": {
      const kind = schema.type === "integer" ? "a whole number" : "a finite number";
      if (exclusiveMinimum !== undefined) return `${kind} above ${exclusiveMinimum}`;
      if (minimum !== undefined && maximum !== undefined) return `${kind} from ${minimum} to ${maximum}`;
      return minimum === undefined ? kind : `${kind} of at least ${minimum}`;
    }
    default:
      return schema.type === "array" ? "a list" : "an object";
  }
}

function resolve(schema: Schema, defs: Readonly<Record<string, Schema>>): Schema {
  return schema.$ref === undefined ? schema : (defs[schema.$ref.replace(/^#\/\$defs\//, "")] ?? schema);
}

const join = (field: string, key: string): string => (field === "" ? key : `${field}.${key}`);

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** A value in a message: short, whatever it is. */
export function shown(value: unknown): string {
  if (typeof value === "number" || value === undefined) return String(value);
  const text = JSON.stringify(value) ?? typeof value;
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
