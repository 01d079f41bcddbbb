import assert from "node:assert/strict";
import { it } from "node:test";
import { findPostgres, MISSING_POSTGRES, type PostgresServer } from "@elasti/local";
import { Client } from "pg";

export const skip = findPostgres(process.env.PATH) === undefined ? MISSING_POSTGRES : false;

/** Within CI a suite without its program is a failure. */
export function needsPostgres(): void {
  if (skip !== false && process.env.CI === "true") {
    it("has the programs that it needs", () => assert.fail(MISSING_POSTGRES));
  }
}

/** Asks the server as a client of its own. */
export async function ask(url: string, sql: string): Promise<Record<string, unknown>[]> {
  const client = new Client({ connectionString: url });
  await client.connect();
  try {
    return (await client.query<Record<string, unknown>>(sql)).rows;
  } finally {
    await client.end();
  }
}

let databases = 0;

/** A database of its own, that sorts as people do. @returns its address */
export async function newDatabase(server: PostgresServer): Promise<string> {
  const name = `db${++databases}`;
  await ask(server.url(), `create database ${name} template template0 locale_provider icu icu_locale 'en'`);
  return server.url(name);
}
