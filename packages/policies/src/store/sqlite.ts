import { DatabaseSync, type SQLInputValue } from "node:sqlite";
import { type Clock, errorCode } from "@elasti/core";
import {
  CompiledQuery,
  type DatabaseConnection,
  type DatabaseIntrospector,
  type Dialect,
  type DialectAdapter,
  type Driver,
  type Kysely,
  type QueryCompiler,
  type QueryResult,
  SqliteAdapter,
  SqliteIntrospector,
  SqliteQueryCompiler,
} from "kysely";

export interface SqliteOptions {
  /** Path, or `:memory:`. */
  readonly file: string;
  readonly clock: Clock;
  /** How long another process that writes is waited for, in ms. */
  readonly busyMs: number;
}

/** Between two attempts at a database that another process writes to, in ms. */
const AGAIN_MS = 20;
const SQLITE_BUSY = 5;
const SQLITE_LOCKED = 6;

/** Kysely on Node's own SQLite: one connection, every transaction that of a writer. */
export class NodeSqliteDialect implements Dialect {
  readonly #options: SqliteOptions;

  constructor(options: SqliteOptions) {
    this.#options = options;
  }

  createAdapter(): DialectAdapter {
    return new TransactionalSqliteAdapter();
  }

  createDriver(): Driver {
    return new NodeSqliteDriver(this.#options);
  }

  createIntrospector(db: Kysely<unknown>): DatabaseIntrospector {
    return new SqliteIntrospector(db);
  }

  createQueryCompiler(): QueryCompiler {
    return new SqliteQueryCompiler();
  }
}

/**
 * SQLite does change schemas in transactions, and with `begin immediate` the transaction is the lock: of two processes that
 * migrate at once, the second waits and then finds everything done.
 */
class TransactionalSqliteAdapter extends SqliteAdapter {
  override get supportsTransactionalDdl(): boolean {
    return true;
  }
}

class NodeSqliteDriver implements Driver {
  readonly #options: SqliteOptions;
  #database: DatabaseSync | undefined;
  #connection: NodeSqliteConnection | undefined;

  constructor(options: SqliteOptions) {
    this.#options = options;
  }

  async init(): Promise<void> {
    // waiting inside of SQLite would stop the whole process: AGAIN_MS waits without
    const database = new DatabaseSync(this.#options.file, { enableForeignKeyConstraints: true, timeout: 0 });
    const connection = new NodeSqliteConnection(database, this.#options);
    try {
      // readers and the writer do not wait for one another; after a power cut the last moments may be lost, never the file
      await connection.executeQuery(CompiledQuery.raw("pragma journal_mode = wal"));
      await connection.executeQuery(CompiledQuery.raw("pragma synchronous = normal"));
      // KiB: what is read often stays in memory
      await connection.executeQuery(CompiledQuery.raw("pragma cache_size = -8192"));
    } catch (error) {
      database.close();
      throw error;
    }
    this.#database = database;
    this.#connection = connection;
  }

  async acquireConnection(): Promise<DatabaseConnection> {
    return this.#connection!;
  }

  async beginTransaction(connection: DatabaseConnection): Promise<void> {
    // a transaction that begins by reading could not become a writer's once another process has written
    await connection.executeQuery(CompiledQuery.raw("begin immediate"));
  }

  async commitTransaction(connection: DatabaseConnection): Promise<void> {
    await connection.executeQuery(CompiledQuery.raw("commit"));
  }

  async rollbackTransaction(connection: DatabaseConnection): Promise<void> {
    // SQLite itself has rolled back where the disk failed
    if (this.#database!.isTransaction) await connection.executeQuery(CompiledQuery.raw("rollback"));
  }

  async releaseConnection(): Promise<void> {
    // the only one is kept
  }

  async destroy(): Promise<void> {
    this.#database?.close();
  }
}

class NodeSqliteConnection implements DatabaseConnection {
  readonly #database: DatabaseSync;
  readonly #options: SqliteOptions;

  constructor(database: DatabaseSync, options: SqliteOptions) {
    this.#database = database;
    this.#options = options;
  }

  async executeQuery<R>(query: CompiledQuery): Promise<QueryResult<R>> {
    const { clock, busyMs } = this.#options;
    const begun = clock.monotonic();
    for (;;) {
      try {
        return this.#execute<R>(query);
      } catch (error) {
        if (!isBusy(error) || clock.monotonic() - begun >= busyMs) throw error;
        await clock.sleep(AGAIN_MS);
      }
    }
  }

  streamQuery<R>(): AsyncIterableIterator<QueryResult<R>> {
    throw new Error("nothing here reads by streams");
  }

  #execute<R>({ sql, parameters }: CompiledQuery): QueryResult<R> {
    const statement = this.#database.prepare(sql);
    const values = parameters.map(bound);
    if (statement.columns().length > 0) return { rows: statement.all(...values) as R[] };
    const { changes } = statement.run(...values);
    return { numAffectedRows: BigInt(changes), rows: [] };
  }
}

function bound(parameter: unknown): SQLInputValue {
  if (typeof parameter === "boolean") return parameter ? 1 : 0;
  return (parameter ?? null) as SQLInputValue;
}

function isBusy(error: unknown): boolean {
  if (errorCode(error) !== "ERR_SQLITE_ERROR") return false;
  // extended codes carry the code in their lowest byte
  const code = sqliteCode(error) & 0xff;
  return code === SQLITE_BUSY || code === SQLITE_LOCKED;
}

/** SQLite's own extended result code; 0 where it is not an error of SQLite. */
export function sqliteCode(error: unknown): number {
  if (typeof error !== "object" || error === null || !("errcode" in error)) return 0;
  return typeof error.errcode === "number" ? error.errcode : 0;
}
