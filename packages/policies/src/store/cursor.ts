import { policyErrors } from "../errors.ts";

/** Most items of a page, whatever is asked for. */
export const MAX_PAGE = 1_000;

/** Where a page ended, as an opaque text. */
export function cursorOf(keys: readonly string[]): string {
  return Buffer.from(JSON.stringify(keys)).toString("base64url");
}

/**
 * The keys of a cursor.
 * @throws ELASTI_POLICY_REQUEST_INVALID for anything that `cursorOf` has not made
 */
export function keysOf(cursor: string, valid: readonly ((key: string) => boolean)[]): readonly string[] {
  let keys: unknown;
  try {
    keys = JSON.parse(Buffer.from(cursor, "base64url").toString());
  } catch {
    // told below
  }
  if (
    !Array.isArray(keys) ||
    keys.length !== valid.length ||
    !keys.every((key: unknown, index) => typeof key === "string" && valid[index]!(key))
  ) {
    throw policyErrors.ELASTI_POLICY_REQUEST_INVALID("the cursor is none that a list has given", {
      details: { field: "after" },
    });
  }
  return keys as readonly string[];
}

export const pageSize = (limit: number): number => Math.min(Math.max(1, Math.floor(limit)), MAX_PAGE);
