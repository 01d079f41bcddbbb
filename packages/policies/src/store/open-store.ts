import { mkdirSync } from "node:fs";
import { dirname } from "node:path";
import { type Clock, errorText, type Logger, systemClock } from "@elasti/core";
import { type Dialect, Kysely, sql } from "kysely";
import type { Store } from "../contracts.ts";
import { policyErrors } from "../errors.ts";
import { databaseFault, secretsOf } from "./faults.ts";
import { HistoryStore } from "./history-store.ts";
import { migrate } from "./migrations/migrate.ts";
import { type Guard, PolicyStore } from "./policy-store.ts";
import { postgresDialect } from "./postgres.ts";
import { NodeSqliteDialect } from "./sqlite.ts";
import { StateStore } from "./state-store.ts";
import type { DatabaseKind, Tables } from "./tables.ts";

export interface StoreOptions {
  /** Address of a PostgreSQL, `postgres://user:password@host:5432/database`; or `file`. */
  readonly url?: string;
  /** Path of an SQLite database, or `:memory:`; or `url`. */
  readonly file?: string;
  readonly clock?: Clock;
  readonly logger: Logger;
  /** Connections to PostgreSQL at once; 10 where left out. */
  readonly connections?: number;
  /** How long a connection is waited for, in ms; 5 s where left out. */
  readonly connectMs?: number;
  /** How long the server works on one statement, in ms; 10 s where left out. */
  readonly statementMs?: number;
  /**
   * false: does not wait for the database; its schema is brought up before the first call that reaches it, so that a database
   * may come later than the program.
   */
  readonly eager?: boolean;
}

/** Calls that wait for the database at once; beyond, they fail at once. */
const MAX_CALLS = 1_000;
/** For so long statements of a migration may run: an index over millions of rows takes its time. */
const MIGRATION_MS = 600_000;
const BUSY_MS = 5_000;
const CLOSE_MS = 5_000;

/**
 * Opens what the policy engine keeps, and brings its schema up.
 * @throws ELASTI_POLICY_DATABASE, ELASTI_POLICY_DATABASE_VERSION
 */
export async function openStore(options: StoreOptions): Promise<Store> {
  const store = new DatabaseStore(options);
  if (options.eager === false) return store;
  try {
    await store.ping();
    return store;
  } catch (error) {
    await store.close();
    throw error;
  }
}

class DatabaseStore implements Store {
  readonly policies: PolicyStore;
  readonly states: StateStore;
  readonly history: HistoryStore;
  readonly #db: Kysely<Tables>;
  readonly #kind: DatabaseKind;
  readonly #options: StoreOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #secrets: readonly string[];
  #ready: Promise<void> | undefined;
  #calls = 0;
  #reachable = true;
  #closing: Promise<void> | undefined;

  constructor(options: StoreOptions) {
    const { url, file } = options;
    if ((url === undefined) === (file === undefined)) {
      throw policyErrors.ELASTI_POLICY_DATABASE("give either the address of a PostgreSQL or the path of a file");
    }
    if (url !== undefined && !/^postgres(ql)?:\/\//.test(url)) {
      throw policyErrors.ELASTI_POLICY_DATABASE("the address of the database must begin with postgres://");
    }
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger;
    this.#kind = url === undefined ? "sqlite" : "postgres";
    this.#secrets = secretsOf(url ?? "");
    this.#db = new Kysely<Tables>({ dialect: this.#dialect(options.connections ?? 10, options.statementMs ?? 10_000) });
    const guard: Guard = (work) => this.#guard(work);
    const tables = { db: this.#db, kind: this.#kind, clock: this.#clock, guard };
    this.policies = new PolicyStore(tables);
    this.states = new StateStore(tables);
    this.history = new HistoryStore(tables);
  }

  ping(): Promise<void> {
    return this.#guard(async () => {
      await sql`select 1`.execute(this.#db);
    });
  }

  close(): Promise<void> {
    this.#closing ??= this.#close();
    return this.#closing;
  }

  async #close(): Promise<void> {
    const deadline = Promise.withResolvers<void>();
    const timer = this.#clock.after(CLOSE_MS, deadline.resolve);
    // a connection whose server is silent has its own, longer, deadline
    await Promise.race([this.#db.destroy(), deadline.promise]).catch((error: unknown) =>
      this.#logger.warn({ error: this.#scrubbed(error) }, "the database did not close well"),
    );
    timer.cancel();
  }

  async #guard<T>(work: () => Promise<T>): Promise<T> {
    if (this.#closing !== undefined) throw policyErrors.ELASTI_POLICY_DATABASE("the store is closed");
    if (this.#calls >= MAX_CALLS) {
      throw policyErrors.ELASTI_POLICY_DATABASE(`more than ${MAX_CALLS} calls wait for the database`);
    }
    this.#calls += 1;
    try {
      await this.#prepared();
      const result = await work();
      this.#answers(true);
      return result;
    } catch (error) {
      const fault = databaseFault(error, this.#secrets);
      this.#answers(fault.code !== "ELASTI_POLICY_DATABASE", fault.message);
      throw fault;
    } finally {
      this.#calls -= 1;
    }
  }

  /** Once for all callers; again after a failure. */
  #prepared(): Promise<void> {
    this.#ready ??= this.#migrate().catch((error: unknown) => {
      this.#ready = undefined;
      throw error;
    });
    return this.#ready;
  }

  async #migrate(): Promise<void> {
    if (this.#kind === "sqlite") return this.#migrated(await migrate(this.#db, this.#kind));
    // connections of its own: the lock may be waited for, and a schema may take longer than a call
    const db = new Kysely<Tables>({ dialect: this.#dialect(2, MIGRATION_MS) });
    try {
      this.#migrated(await migrate(db, this.#kind));
    } finally {
      await db.destroy();
    }
  }

  #migrated(migrations: readonly string[]): void {
    if (migrations.length > 0) this.#logger.info({ migrations }, "the schema of the policies has been brought up");
  }

  #dialect(connections: number, statementMs: number): Dialect {
    const { url, file, connectMs = 5_000 } = this.#options;
    if (url === undefined) {
      if (file! !== ":memory:") mkdirSync(dirname(file!), { recursive: true });
      return new NodeSqliteDialect({ file: file!, clock: this.#clock, busyMs: BUSY_MS });
    }
    const onLost = (message: string) =>
      this.#logger.debug({ error: this.#scrubbed(message) }, "a connection to the database is gone");
    return postgresDialect({ url, connections, connectMs, statementMs, onLost });
  }

  /** Tells once that the database is away, and once that it is back. */
  #answers(reachable: boolean, message = ""): void {
    if (reachable === this.#reachable) return;
    this.#reachable = reachable;
    if (reachable) this.#logger.info("the database answers again");
    else this.#logger.warn({ error: message, reason: "database" }, "the database cannot be used");
  }

  #scrubbed(error: unknown): string {
    return databaseFault(errorText(error), this.#secrets).message;
  }
}
