import { policyErrors } from "../errors.ts";

/** Bytes of a body; a policy with all the rules that people write is far smaller. */
export const MAX_BODY_BYTES = 1024 * 1024;
/** Objects and arrays within one another; what walks through them further on does so on the stack. */
const maxNesting = 64;
const maxProblems = 20;

interface Found {
  readonly field: string;
  readonly message: string;
}

/**
 * What no value may have that is kept in a database or written anywhere: text that is not Unicode or has a NUL (PostgreSQL refuses
 * it), and nesting without end.
 */
function unusable(value: unknown): readonly Found[] {
  const found: Found[] = [];
  // a stack of its own, so that nesting cannot exhaust the real one
  const open: { value: unknown; field: string; nesting: number }[] = [{ value, field: "", nesting: 0 }];
  for (let at = open.pop(); at !== undefined && found.length < maxProblems; at = open.pop()) {
    const { field, nesting } = at;
    if (typeof at.value === "string" && !isText(at.value)) found.push({ field, message: notText });
    if (typeof at.value !== "object" || at.value === null) continue;
    if (nesting >= maxNesting) {
      found.push({ field: field.slice(0, 100), message: `is nested more than ${maxNesting} times` });
      continue;
    }
    const list = Array.isArray(at.value);
    for (const [key, inner] of Object.entries(at.value)) {
      const place = list ? `${field}[${key}]` : field === "" ? key : `${field}.${key}`;
      if (isText(key)) open.push({ value: inner, field: place, nesting: nesting + 1 });
      else found.push({ field, message: `has a name that ${notText}` });
    }
  }
  return found;
}

const notText = "is no text: it has a NUL or half of a surrogate pair";
const isText = (text: string): boolean => text.isWellFormed() && !text.includes("\u0000");

/** @throws ELASTI_POLICY_REQUEST_INVALID for text that is none, and for nesting without end */
export function refuseUnusable(value: unknown): void {
  const errors = unusable(value);
  if (errors.length === 0) return;
  const detail = errors.map(({ field, message }) => `${field} ${message}`).join("; ");
  throw policyErrors.ELASTI_POLICY_REQUEST_INVALID(detail, { details: { errors } });
}
