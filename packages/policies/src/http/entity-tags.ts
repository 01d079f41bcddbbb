import { policyErrors } from "../errors.ts";
import type { Precondition } from "../service/policies.ts";

/** The version of a policy as an entity tag (RFC 9110, section 8.8.3). */
export const entityTag = (version: number): string => `"${version}"`;

const listPattern = /^\s*(?:W\/)?"[^"]*"(?:\s*,\s*(?:W\/)?"[^"]*")*\s*$/;

type Header = string | readonly string[] | undefined;

/** The tags of a list; undefined for `*`. */
function tagsOf(header: string, field: string): readonly string[] | undefined {
  if (header.trim() === "*") return undefined;
  if (!listPattern.test(header)) {
    const message = `cannot be used: expected entity tags as they were answered, such as "3", or *`;
    throw policyErrors.ELASTI_POLICY_REQUEST_INVALID(`${field} ${message}`, {
      details: { errors: [{ field, message }] },
    });
  }
  return header.match(/(?:W\/)?"[^"]*"/g) ?? [];
}

/**
 * The versions that If-Match lets be changed. Weak tags match none (RFC 9110, section 13.1.1), as do tags that were never answered.
 * @throws ELASTI_POLICY_REQUEST_INVALID
 */
export function ifMatch(header: Header): Precondition {
  if (header === undefined) return undefined;
  const tags = tagsOf(String(header), "If-Match");
  return tags?.flatMap((tag) => (/^"[1-9]\d{0,14}"$/.test(tag) ? [Number(tag.slice(1, -1))] : []));
}

/** Whether If-None-Match says that the caller has this version. @throws ELASTI_POLICY_REQUEST_INVALID */
export function isKnown(header: Header, version: number): boolean {
  if (header === undefined) return false;
  const tags = tagsOf(String(header), "If-None-Match");
  return tags === undefined || tags.some((tag) => tag.replace(/^W\//, "") === entityTag(version));
}
