/** A part of an OpenAPI document, as far as the page shows it. */
interface Json {
  readonly [key: string]: unknown;
}

const record = (value: unknown): Json => (value ?? {}) as Json;
const text = (value: unknown): string => (typeof value === "string" ? value : "");
const cell = (value: string): string => value.replaceAll("|", "\\|").replaceAll("\n", " ");

/** The reference page of the API of the policies, made of its OpenAPI document. */
export function policiesPage(document: Json): string {
  const operations = Object.entries(record(document.paths)).flatMap(([path, methods]) =>
    Object.entries(record(methods)).map(([method, operation]) => ({ path, method, operation: record(operation) })),
  );
  const sections = (document.tags as { name: string; description: string }[]).map(({ name, description }) => {
    const own = operations.filter(({ operation }) => (operation.tags as string[]).includes(name));
    return `## Routes: ${name}\n\n${description}\n\n${own.map(operationText).join("\n\n")}`;
  });
  const { schemas } = record(document.components);
  const types = Object.entries(record(schemas)).map(([name, schema]) => schemaText(name, record(schema)));
  return `# API of the policies

Made by \`npm run generate\` from packages/policies/src/http. The same as an OpenAPI document: [policies-openapi.json](policies-openapi.json); the
operator answers it at \`/api/v1/scaling/openapi.json\`. What the fields mean together, and who may do what: [scaling policies](../policies.md).

${sections.join("\n\n")}

## Schemas

${types.join("\n\n")}
`;
}

function operationText({ path, method, operation }: { path: string; method: string; operation: Json }): string {
  const { summary, description, parameters, requestBody, responses } = operation;
  const rows = ((parameters ?? []) as Json[])
    .filter((parameter) => parameter.in !== "path")
    .map((parameter) => {
      const schema = record(parameter.schema);
      return `| \`${text(parameter.name)}\` | ${text(parameter.in)} | ${cell(typeOf(schema))} | ${cell(`${text(parameter.description)}${bounds(schema)}`)} |`;
    });
  const body =
    requestBody === undefined
      ? ""
      : `Body: ${typeOf(schemaOf(record(requestBody).content))}${record(requestBody).required === true ? "" : ", may be left out"}.`;
  const answers = Object.entries(record(responses)).map(([status, answer]) => {
    const content = record(record(answer).content);
    const shape = Object.hasOwn(content, "application/json") ? ` ${typeOf(schemaOf(content))}` : "";
    return [status, shape, text(record(answer).description)] as const;
  });
  const good = answers.filter(([status]) => Number(status) < 400);
  const failures = answers.filter(([status]) => Number(status) >= 400).map(([status]) => status);
  return [
    `### ${method.toUpperCase()} ${path}`,
    `${text(summary)}. ${text(description)}`.trim(),
    ...(rows.length === 0 ? [] : [`| parameter | in | type | meaning |\n|---|---|---|---|\n${rows.join("\n")}`]),
    ...(body === "" ? [] : [body]),
    [
      ...good.map(([status, shape, meaning]) => `- ${status}${shape}: ${meaning}`),
      `- ${failures.join(", ")}: [Problem](#problem)`,
    ].join("\n"),
  ].join("\n\n");
}

function schemaText(name: string, schema: Json): string {
  const properties = Object.entries(record(schema.properties));
  const required = (schema.required ?? []) as string[];
  if (properties.length === 0) return `### ${name}\n\n${typeOf(schema)}.`;
  const rows = properties.map(([field, property]) => {
    const own = record(property);
    const needed = required.includes(field) ? " Required." : "";
    return `| \`${field}\` | ${cell(typeOf(own))} | ${cell(`${text(own.description)}${needed}${bounds(own)}`.trim())} |`;
  });
  return `### ${name}\n\n| field | type | meaning |\n|---|---|---|\n${rows.join("\n")}`;
}

const schemaOf = (content: unknown): Json => record(record(Object.values(record(content))[0]).schema);

function typeOf(schema: Json): string {
  const { $ref, anyOf, const: only, enum: values, type, items, properties, additionalProperties } = schema;
  if (typeof $ref === "string") {
    const name = $ref.split("/").at(-1) ?? "";
    return `[${name}](#${name.toLowerCase()})`;
  }
  if (Array.isArray(anyOf)) return (anyOf as Json[]).map(typeOf).join(" or ");
  if (only !== undefined) return `\`${String(only)}\``;
  if (Array.isArray(values)) return values.map((value) => `\`${String(value)}\``).join(" ");
  if (type === "array") return `list of ${typeOf(record(items))}`;
  if (type === "object" && properties !== undefined) {
    const inner = Object.entries(record(properties)).map(([name, one]) => `\`${name}\`: ${typeOf(record(one))}`);
    return inner.length === 0 ? "object" : `{${inner.join(", ")}}`;
  }
  if (type === "object" && additionalProperties !== undefined) return "object by name";
  if (typeof schema.format === "string") return schema.format;
  return text(type) === "" ? "anything" : text(type);
}

function bounds(schema: Json): string {
  const { default: usual, minimum, maximum, exclusiveMinimum, maxLength, maxItems } = schema;
  const parts: string[] = [];
  if (usual !== undefined) parts.push(`Default \`${String(usual)}\`.`);
  if (minimum !== undefined && maximum !== undefined) parts.push(`${String(minimum)} to ${String(maximum)}.`);
  else if (minimum !== undefined) parts.push(`At least ${String(minimum)}.`);
  if (exclusiveMinimum !== undefined) parts.push(`Above ${String(exclusiveMinimum)}.`);
  if (maxLength !== undefined) parts.push(`At most ${String(maxLength)} characters.`);
  if (maxItems !== undefined) parts.push(`At most ${String(maxItems)}.`);
  return parts.length === 0 ? "" : ` ${parts.join(" ")}`;
}
