import { asArray, isJsonObject } from "./json.ts";

/** One step of a JSONPath: a field, an index, every element, or the elements whose field equals a value. */
type Step =
  | { readonly type: "field"; readonly name: string }
  | { readonly type: "index"; readonly index: number }
  | { readonly type: "every" }
  | { readonly type: "where"; readonly field: readonly string[]; readonly equals: string };

const token =
  /\.((?:\\.|[^.[\\])+)|\[(\d+)\]|\[\*\]|\['((?:[^'\\]|\\.)*)'\]|\[\?\(@\.([\w.]+)\s*==\s*["']([^"']*)["']\)\]/y;

/** Parses the part of JSONPath that printer columns use. What it does not know yields an empty column. */
export function parseJsonPath(path: string): Step[] {
  const steps: Step[] = [];
  token.lastIndex = 0;
  while (token.lastIndex < path.length) {
    const match = token.exec(path);
    if (match === null) return [{ type: "field", name: "" }];
    const [, field, index, quoted, where, equals] = match;
    if (field !== undefined) steps.push({ type: "field", name: field.replaceAll("\\", "") });
    else if (index !== undefined) steps.push({ type: "index", index: Number(index) });
    else if (quoted !== undefined) steps.push({ type: "field", name: quoted.replaceAll("\\", "") });
    else if (where !== undefined) steps.push({ type: "where", field: where.split("."), equals: equals ?? "" });
    else steps.push({ type: "every" });
  }
  return steps;
}

function fieldOf(value: unknown, path: readonly string[]): unknown {
  let found = value;
  for (const part of path) found = isJsonObject(found) ? found[part] : undefined;
  return found;
}

function take(step: Step, value: unknown): unknown[] {
  switch (step.type) {
    case "field":
      return isJsonObject(value) && value[step.name] !== undefined ? [value[step.name]] : [];
    case "index":
      return asArray(value).slice(step.index, step.index + 1);
    case "every":
      return isJsonObject(value) ? Object.values(value) : asArray(value);
    case "where":
      return asArray(value).filter((item) => String(fieldOf(item, step.field)) === step.equals);
  }
}

/** The values at a path, in order; none when nothing is there. */
export function evaluateJsonPath(steps: readonly Step[], root: unknown): unknown[] {
  let values: unknown[] = [root];
  for (const step of steps) values = values.flatMap((value) => take(step, value));
  return values.filter((value) => value !== null);
}
