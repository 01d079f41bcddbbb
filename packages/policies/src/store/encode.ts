import { type RawBuilder, sql } from "kysely";
import type { DatabaseKind } from "./tables.ts";

/** What PostgreSQL's JSON refuses and its text too: NUL, and halves of surrogate pairs, which JSON.stringify has escaped. */
const unstorable = /\\(u0000|ud[89a-f][0-9a-f]{2}|.)/gs;
const REPLACEMENT = "\ufffd";

/** JSON text that every database takes. */
export function jsonOf(value: unknown): string {
  return JSON.stringify(value ?? null).replace(unstorable, (whole, escaped: string) =>
    escaped.length > 1 ? REPLACEMENT : whole,
  );
}

/** Whether a text is kept as it is. */
export function isStorable(text: string): boolean {
  return text.isWellFormed() && !text.includes("\0");
}

/** A moment in the one form in which text sorts as time does. */
export function timeOf(time: string): string {
  return new Date(time).toISOString();
}
export const maybeTime = (time: string | null): string | null => (time === null ? null : timeOf(time));

const uuidPattern = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
export const isUuid = (text: string): boolean => uuidPattern.test(text);

/** Whether a column has one of these values, however many they are. */
export function isAnyOf(
  kind: DatabaseKind,
  column: RawBuilder<unknown>,
  values: readonly string[],
): RawBuilder<boolean> {
  const kept = values.filter(isStorable);
  return kind === "postgres"
    ? sql<boolean>`${column} = any(${kept}::text[])`
    : sql<boolean>`${column} in (select value from json_each(${jsonOf(kept)}))`;
}

/** Whether a column of ids has one of these. */
export function isOneOf(kind: DatabaseKind, column: string, ids: readonly string[]): RawBuilder<boolean> {
  const kept = ids.filter(isUuid).map((id) => id.toLowerCase());
  return kind === "postgres"
    ? sql<boolean>`${sql.ref(column)} = any(${kept}::uuid[])`
    : isAnyOf(kind, sql.ref(column), kept);
}

/** The text of an SQL type of PostgreSQL; SQLite has its own ways. */
export type ColumnType = "uuid" | "text" | "integer" | "boolean" | "timestamptz" | "jsonb";

/**
 * Many rows as one parameter, to be selected from: `(...) as r`. A statement stays one however many rows there are, and below
 * the number of parameters that a statement may have.
 */
export function rowsOf<T extends object>(
  kind: DatabaseKind,
  rows: readonly T[],
  columns: Readonly<Record<keyof T & string, ColumnType>>,
): RawBuilder<unknown> {
  const json = jsonOf(rows);
  const entries = Object.entries<ColumnType>(columns);
  if (kind === "postgres") {
    const definitions = entries.map(([name, type]) => sql`${sql.ref(name)} ${sql.raw(type)}`);
    return sql`jsonb_to_recordset(${json}::jsonb) as r(${sql.join(definitions)})`;
  }
  const picked = entries.map(([name, type]) => {
    const path = sql.lit(`$.${name}`);
    // JSON stays JSON by ->, and its null becomes none
    return type === "jsonb"
      ? sql`nullif(value -> ${path}, 'null') as ${sql.ref(name)}`
      : sql`value ->> ${path} as ${sql.ref(name)}`;
  });
  return sql`(select ${sql.join(picked)} from json_each(${json})) as r`;
}
