import type { Kysely } from "kysely";
import { type Migration, Migrator } from "kysely/migration";
import { policyErrors } from "../../errors.ts";
import type { DatabaseKind, Tables } from "../tables.ts";
import { firstMigration } from "./first.ts";

const TABLE = "scaling_migration";

/** By name, in their order; never changed once released, only added to. */
export function migrationsOf(kind: DatabaseKind): Readonly<Record<string, Migration>> {
  return { "0001-first": firstMigration(kind) };
}

/**
 * Brings the schema up to this program, under a lock that the database keeps: whoever comes second waits, and finds it done.
 * @returns names of the migrations that were run
 * @throws ELASTI_POLICY_DATABASE_VERSION for a database that a newer program has migrated, and what the database throws
 */
export async function migrate(
  db: Kysely<Tables>,
  kind: DatabaseKind,
  migrations = migrationsOf(kind),
): Promise<readonly string[]> {
  const migrator = new Migrator({
    db,
    provider: { getMigrations: async () => migrations },
    migrationTableName: TABLE,
    migrationLockTableName: `${TABLE}_lock`,
  });
  const { error, results = [] } = await migrator.migrateToLatest();
  if (error !== undefined) {
    const unknown = await executedBeyond(db, migrations).catch(() => []);
    if (unknown.length === 0) throw error;
    throw policyErrors.ELASTI_POLICY_DATABASE_VERSION(
      `the database has been migrated by a newer Elasti (${unknown.join(", ")}): run that one, or give this one a database of its own`,
    );
  }
  return results.map(({ migrationName }) => migrationName);
}

async function executedBeyond(db: Kysely<Tables>, known: Readonly<Record<string, Migration>>): Promise<string[]> {
  const executed = await db.withTables<{ [TABLE]: { name: string } }>().selectFrom(TABLE).select("name").execute();
  return executed.map(({ name }) => name).filter((name) => !(name in known));
}
