import fc from "fast-check";
import * as Schema from "typebox/schema";

/** A part of an OpenAPI document. */
export interface Json {
  readonly [key: string]: unknown;
}

export interface Parameter {
  readonly name: string;
  readonly in: "path" | "query" | "header";
  readonly required: boolean;
  readonly schema: Json;
}

/** One operation of a document, with what a test wants to know of it. */
export interface Described {
  readonly method: string;
  readonly path: string;
  readonly operationId: string;
  readonly parameters: readonly Parameter[];
  /** Undefined: none is read. */
  readonly body: Json | undefined;
  readonly bodyRequired: boolean;
  /** By status; null: no body. */
  readonly answers: ReadonlyMap<number, Json | null>;
}

const record = (value: unknown): Json => (value ?? {}) as Json;
const schemaIn = (content: unknown): Json | null => {
  const [media] = Object.values(record(content));
  return media === undefined ? null : record(record(media).schema);
};

export function operationsOf(document: Json): Described[] {
  return Object.entries(record(document.paths)).flatMap(([path, methods]) =>
    Object.entries(record(methods)).map(([method, given]): Described => {
      const { operationId, parameters = [], requestBody, responses } = record(given);
      const answers = Object.entries(record(responses)).map(
        ([status, answer]) => [Number(status), schemaIn(record(answer).content)] as const,
      );
      return {
        method: method.toUpperCase(),
        path,
        operationId: String(operationId),
        parameters: parameters as readonly Parameter[],
        body: requestBody === undefined ? undefined : (schemaIn(record(requestBody).content) ?? undefined),
        bodyRequired: record(requestBody).required === true,
        answers: new Map(answers),
      };
    }),
  );
}

/** Says whether a value is what a schema of the document says. */
export function checker(document: Json): (schema: Json, value: unknown) => string | undefined {
  const compiled = new Map<string, ReturnType<typeof Schema.Compile>>();
  return (schema, value) => {
    const key = JSON.stringify(schema);
    let check = compiled.get(key);
    if (check === undefined) {
      check = Schema.Compile({ ...schema, components: document.components } as never);
      compiled.set(key, check);
    }
    return check.Check(value) ? undefined : JSON.stringify(check.Errors(value)).slice(0, 2_000);
  };
}

/** Texts that mean something somewhere, so that more than the first check is reached. */
const telling = [
  ...["web", "queue", "latency", "shop", "bank", "workload", "elastiservice", "cdc-worker", "Deployment", "apps/v1"],
  ...["0 8 * * 1-5", "*/5 * * * *", "0 0 31 2 *", "2026-06-01T08:00:00Z", "Europe/Berlin", "Mars/Base"],
  ...["5m", "8h30m", "0", "-5m", "up", "db/url", "'; drop table scaling_policies; --", "%", "\u0000", "🙂", ""],
];

/** Texts by field that get past the checks that no schema can say. */
const hints: Readonly<Record<string, readonly string[]>> = {
  target_type: ["workload", "elastiservice", "cdc-worker"],
  namespace: ["shop"],
  kind: ["Deployment"],
  metric: ["queue", "latency"],
  timezone: ["UTC", "Europe/Berlin", "Pacific/Apia"],
  cron_expression: ["0 8 * * 1-5", "*/5 * * * *"],
  start: ["0 8 * * *", "30 22 * * 0"],
  end: ["0 18 * * *", "15 6 * * 1"],
  duration: ["5m", "8h30m", "1h"],
};

/** Fields that go together, by the name of their schema. */
const sets: Readonly<Record<string, readonly (readonly string[])[]>> = {
  Rule: [
    ["metric", "operator", "threshold", "duration_seconds", "scale_by"],
    ["when", "duration", "scale_by"],
    ["scale_by"],
  ],
  Schedule: [
    ["cron_expression", "desired_replicas", "timezone"],
    ["start", "duration", "min_replicas"],
    ["start", "end", "max_replicas", "timezone", "enabled"],
  ],
};

/** Values that a schema allows, now and then with something in them that it does not. */
export class Generator {
  readonly #schemas: Json;
  /** How often, of 1,000 places, anything else is put in. */
  readonly #damage: number;

  constructor(document: Json, damage: number) {
    this.#schemas = record(record(document.components).schemas);
    this.#damage = damage;
  }

  /** @param name of the field or parameter */
  of(schema: Json, depth = 0, name = ""): fc.Arbitrary<unknown> {
    const known = hints[name];
    const fitting = this.#fitting(schema, depth);
    const hinted =
      known === undefined || schema.enum !== undefined
        ? fitting
        : fc.oneof({ weight: 4, arbitrary: fc.constantFrom(...known) }, { weight: 1, arbitrary: fitting });
    return fc.oneof(
      { weight: 1_000 - this.#damage, arbitrary: hinted },
      { weight: this.#damage, arbitrary: fc.jsonValue({ maxDepth: 2 }) },
    );
  }

  #fitting(schema: Json, depth: number): fc.Arbitrary<unknown> {
    const { $ref, anyOf, const: only, enum: values, type } = schema;
    if (typeof $ref === "string") {
      const name = $ref.split("/").at(-1) ?? "";
      const target = record(this.#schemas[name]);
      return target.type === "object" ? this.#object(target, depth, sets[name]) : this.#fitting(target, depth);
    }
    if (Array.isArray(anyOf)) {
      // the first ends, the others may go on
      const branches = (depth > 6 ? anyOf.slice(0, 1) : anyOf) as Json[];
      return fc.oneof(...branches.map((branch) => this.#fitting(branch, depth + 1)));
    }
    if (only !== undefined) return fc.constant(only);
    if (Array.isArray(values)) return fc.constantFrom(...(values as unknown[]));
    if (type === "object") return this.#object(schema, depth, undefined);
    if (type === "array") {
      const { items, minItems = 0 } = schema as { items: Json; minItems?: number };
      return fc.array(this.of(items, depth + 1), { minLength: minItems, maxLength: minItems + 2 });
    }
    return scalar(schema);
  }

  #object(schema: Json, depth: number, together: readonly (readonly string[])[] | undefined): fc.Arbitrary<unknown> {
    const properties = Object.entries(record(schema.properties));
    const required = (schema.required ?? []) as string[];
    const model = Object.fromEntries(
      properties.map(([name, property]) => [name, this.of(property as Json, depth + 1, name)]),
    );
    const only = (keys: readonly string[]) =>
      fc.record(Object.fromEntries(Object.entries(model).filter(([key]) => keys.includes(key))));
    const few = fc
      .subarray(Object.keys(model), { maxLength: Math.min(3, properties.length) })
      .chain((keys) => only([...required, ...keys]));
    const sensible = together === undefined ? few : fc.oneof(...together.map(only));
    return fc.oneof(
      { weight: 3, arbitrary: sensible },
      { weight: 1, arbitrary: fc.record(model, { requiredKeys: required }) },
    );
  }
}

function scalar(schema: Json): fc.Arbitrary<unknown> {
  const {
    type,
    format,
    pattern,
    minimum,
    maximum,
    exclusiveMinimum,
    minLength = 0,
    maxLength = 40,
  } = schema as {
    readonly [key: string]: never;
  };
  if (type === "boolean") return fc.boolean();
  if (type === "null") return fc.constant(null);
  if (type === "integer") return fc.integer({ min: minimum ?? -1_000, max: maximum ?? 100_000 });
  if (type === "number") {
    return fc.double({ min: minimum ?? exclusiveMinimum ?? -1e9, max: maximum ?? 1e9, noNaN: true });
  }
  if (format === "uuid") return fc.uuid();
  if (format === "date-time") {
    return fc
      .date({ min: new Date("2026-05-01T00:00:00Z"), max: new Date("2026-06-30T00:00:00Z"), noInvalidDate: true })
      .map((date) => date.toISOString());
  }
  if (pattern !== undefined) return fc.stringMatching(new RegExp(pattern));
  return fc.oneof(
    fc.constantFrom(...telling),
    fc.string({ unit: "binary", minLength, maxLength: Math.min(40, maxLength) }),
  );
}
