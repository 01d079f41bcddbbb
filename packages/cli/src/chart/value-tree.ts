import { stringify } from "yaml";

/** JSON Schema as Helm checks values with it. */
export type JsonSchema = { readonly [key: string]: unknown };

/** One value of the chart. */
export interface Value {
  readonly description: string;
  readonly fallback: unknown;
  readonly schema: JsonSchema;
  /** What may stand below it by name, for the reference page. */
  readonly members?: readonly Member[];
}

/** A name below a value that is empty by default. */
export interface Member {
  readonly name: string;
  readonly description: string;
  readonly fallback: string;
  readonly expected: string;
}

/** Values that belong together. */
export interface Group {
  readonly description: string;
  readonly values: ValueTree;
}

export type ValueTree = { readonly [name: string]: Value | Group };

const isGroup = (entry: Value | Group): entry is Group => "values" in entry;

/** The kinds of values; the first argument says what the value means. */
export const value = {
  group: (description: string, values: ValueTree): Group => ({ description, values }),
  text: (description: string, fallback = "", more: JsonSchema = {}): Value => ({
    description,
    fallback,
    schema: { type: "string", ...more },
  }),
  oneOf: (description: string, fallback: string, values: readonly string[]): Value => ({
    description,
    fallback,
    schema: { type: "string", enum: values },
  }),
  integer: (description: string, fallback: number, minimum: number, maximum: number): Value => ({
    description,
    fallback,
    schema: { type: "integer", minimum, maximum },
  }),
  flag: (description: string, fallback: boolean): Value => ({ description, fallback, schema: { type: "boolean" } }),
  /** true, false, or `auto`: whether the cluster has the API for it. */
  auto: (description: string): Value => ({
    description,
    fallback: "auto",
    schema: { enum: [true, false, "auto"] },
  }),
  /** Labels or annotations. */
  texts: (description: string): Value => ({
    description,
    fallback: {},
    schema: { type: "object", additionalProperties: { type: "string" } },
  }),
  /** A part of a Kubernetes object, which Kubernetes itself checks. */
  object: (description: string, fallback: object = {}): Value => ({
    description,
    fallback,
    schema: { type: "object" },
  }),
  list: (description: string, items: JsonSchema, fallback: readonly unknown[] = []): Value => ({
    description,
    fallback,
    schema: { type: "array", items },
  }),
} as const;

/** The schema of all values; a name that is not in the tree is refused. */
export function schemaOf(tree: ValueTree): JsonSchema {
  return {
    type: "object",
    additionalProperties: false,
    properties: Object.fromEntries(
      Object.entries(tree).map(([name, entry]) => [
        name,
        isGroup(entry)
          ? { description: entry.description, ...schemaOf(entry.values) }
          : { description: entry.description, ...entry.schema },
      ]),
    ),
  };
}

/** The defaults as YAML, each under its description. */
export function yamlOf(tree: ValueTree, indent = ""): string {
  return Object.entries(tree)
    .map(([name, entry]) => {
      const comment = `${indent}# ${entry.description}\n`;
      return isGroup(entry)
        ? `${comment}${indent}${name}:\n${yamlOf(entry.values, `${indent}  `)}`
        : `${comment}${(stringify({ [name]: entry.fallback }, { lineWidth: 0 }) as string).replaceAll(/^(?=.)/gm, indent)}`;
    })
    .join(indent === "" ? "\n" : "");
}

/** Every value with its path, groups left out. */
export function* leavesOf(tree: ValueTree, path = ""): Generator<{ path: string; value: Value }> {
  for (const [name, entry] of Object.entries(tree)) {
    if (isGroup(entry)) yield* leavesOf(entry.values, `${path}${name}.`);
    else yield { path: `${path}${name}`, value: entry };
  }
}
