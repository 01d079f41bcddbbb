import { PROBLEM_CONTENT_TYPE } from "@elasti/core";
import { ProblemAnswer } from "./answers.ts";
import type { Operation } from "./operation.ts";

/** A part of the document, or of a JSON Schema. */
type Json = Readonly<Record<string, unknown>>;

const titles: Readonly<Record<number, string>> = {
  400: "Something cannot be used; `errors` names every wrong field.",
  401: "No token, or one that is not accepted.",
  403: "The caller may not do this in that namespace.",
  404: "There is none.",
  409: "It cannot be done as things are: a name is taken, or nothing looks after the target.",
  412: "The policy is at another version than If-Match names.",
  413: "The body has more than 1 MiB.",
  415: "The body is not application/json.",
  504: "It took too long.",
  503: "The database, the API server or the replica that has to do it cannot be reached now; see Retry-After.",
};

const tags: Readonly<Record<string, string>> = {
  policies: "What is to happen.",
  evaluation: "What a policy decides now.",
  history: "What was decided and done.",
  sleep: "Targets at zero.",
  overrides: "What a person wants of a target until a moment.",
};

/** The OpenAPI 3.1 document of some operations. @param prefix of all paths */
export function openApiDocument(operations: readonly Operation[], prefix: string): Json {
  const components = new Components();
  const paths: Record<string, Record<string, Json>> = {};
  for (const operation of operations) {
    const path = `${prefix}${operation.path.replaceAll(/:([a-z]+)/g, "{$1}")}`;
    paths[path] = { ...paths[path], [operation.method.toLowerCase()]: describe(operation, components) };
  }
  return {
    openapi: "3.1.0",
    info: {
      title: "Elasti scaling policies",
      version: "v1",
      description: "Rules, schedules, overrides, and the history of what they did.",
      license: { name: "Apache-2.0", identifier: "Apache-2.0" },
    },
    security: [{ token: [] }],
    tags: Object.entries(tags).map(([name, description]) => ({ name, description })),
    paths,
    components: {
      securitySchemes: {
        token: {
          type: "http",
          scheme: "bearer",
          description:
            "A token that the cluster accepts for the operator's audience, or the token of the installation.",
        },
      },
      schemas: components.sorted(),
    },
  };
}

function describe(operation: Operation, components: Components): Json {
  const { id, tag, summary, description, params, query, body, example, bodyOptional, conditional, problems } =
    operation;
  const statuses = new Set([400, 401, 403, ...problems, 503, ...(body === undefined ? [] : [413, 415])]);
  const failures = [...statuses].sort().map((status) => [
    status,
    {
      description: titles[status],
      content: { [PROBLEM_CONTENT_TYPE]: { schema: components.of(ProblemAnswer) } },
    },
  ]);
  const answers = Object.entries(operation.answers).map(([status, { description, schema }]) => [
    status,
    {
      description,
      ...(schema === undefined ? {} : { content: { "application/json": { schema: components.of(schema) } } }),
    },
  ]);
  const parameters = [
    ...parametersOf("path", params, components),
    ...parametersOf("query", query, components),
    ...conditional.map((name) => ({
      name,
      in: "header",
      required: false,
      description: 'The ETag of an answer, such as `"3"`.',
      schema: { type: "string" },
    })),
  ];
  return {
    operationId: id,
    tags: [tag],
    summary,
    ...(description === undefined ? {} : { description }),
    ...(parameters.length === 0 ? {} : { parameters }),
    ...(body === undefined
      ? {}
      : {
          requestBody: {
            required: !bodyOptional,
            content: {
              "application/json": { schema: components.of(body), ...(example === undefined ? {} : { example }) },
            },
          },
        }),
    responses: Object.fromEntries([...answers, ...failures]),
  };
}

function parametersOf(place: "path" | "query", schema: object, components: Components): Json[] {
  const { properties = {}, required = [] } = schema as { properties?: Record<string, Json>; required?: string[] };
  return Object.entries(properties).map(([name, property]) => {
    const { description, ...rest } = property;
    return {
      name,
      in: place,
      required: required.includes(name),
      ...(description === undefined ? {} : { description }),
      schema: components.of(rest),
    };
  });
}

/** Schemas with a title, or that refer to themselves, stand once in the document. */
class Components {
  readonly #schemas = new Map<string, Json>();

  /** A schema as it stands in the document: what has a title is referred to. */
  of(schema: object): Json {
    const { title, $defs, $ref, ...rest } = schema as Json & { title?: string; $defs?: Json; $ref?: string };
    for (const [name, definition] of Object.entries($defs ?? {})) {
      const { $id: _, ...own } = definition as Json;
      this.#add(name, own);
    }
    if ($ref !== undefined) return { $ref: `#/components/schemas/${$ref}` };
    if (title === undefined) return this.#inner(rest);
    this.#add(title, rest);
    return { $ref: `#/components/schemas/${title}` };
  }

  sorted(): Json {
    return Object.fromEntries([...this.#schemas].toSorted(([a], [b]) => (a < b ? -1 : 1)));
  }

  #add(name: string, schema: Json): void {
    if (this.#schemas.has(name)) return;
    // first, so that a schema within itself ends here
    this.#schemas.set(name, {});
    this.#schemas.set(name, this.#inner(schema));
  }

  #inner(value: Json): Json {
    return Object.fromEntries(Object.entries(value).map(([key, inner]) => [key, this.#part(key, inner)]));
  }

  #part(key: string, value: unknown): unknown {
    if (Array.isArray(value)) return value.map((one: unknown) => (isRecord(one) ? this.of(one) : one));
    if (!isRecord(value)) return value;
    // names of properties are no keywords
    if (key === "properties" || key === "patternProperties") {
      return Object.fromEntries(Object.entries(value).map(([name, one]) => [name, isRecord(one) ? this.of(one) : one]));
    }
    return this.of(value);
  }
}

const isRecord = (value: unknown): value is Json => typeof value === "object" && value !== null;
