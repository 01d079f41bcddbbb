import type { TObject, TSchema } from "typebox";
import { policyErrors } from "../errors.ts";
import { type FieldProblem, schemaProblems } from "../schema/problems.ts";
import { problemsText } from "../service/policy-rules.ts";
import { refuseUnusable } from "./json-body.ts";

/**
 * Parameters of a path or a query, made what their schema says: numbers, booleans and defaults.
 * @throws ELASTI_POLICY_REQUEST_INVALID with every one that is wrong
 */
export function readParameters(schema: TObject, given: unknown): unknown {
  refuseUnusable(given);
  const values: Record<string, unknown> = { ...(given as Record<string, unknown>) };
  for (const [name, property] of Object.entries(schema.properties as Record<string, Property>)) {
    const value = converted(values[name], property.type) ?? property.default;
    if (value !== undefined) values[name] = value;
  }
  refuse(schemaProblems(schema, values));
  return values;
}

/** @throws ELASTI_POLICY_REQUEST_INVALID with every field that is wrong */
export function readBody(schema: TSchema, body: unknown): unknown {
  refuse(schemaProblems(schema, body));
  return body;
}

interface Property {
  readonly type?: string;
  readonly default?: unknown;
}

function converted(value: unknown, type: string | undefined): unknown {
  if (typeof value !== "string") return value;
  if (type === "integer" && /^-?\d{1,15}$/.test(value)) return Number(value);
  if (type === "boolean" && (value === "true" || value === "false")) return value === "true";
  return value;
}

function refuse(errors: readonly FieldProblem[]): void {
  if (errors.length > 0) {
    throw policyErrors.ELASTI_POLICY_REQUEST_INVALID(problemsText(errors), { details: { errors } });
  }
}
