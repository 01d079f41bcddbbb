import { errorText } from "@elasti/core";
import { type Dialect, PostgresDialect, type PostgresPool, type PostgresPoolClient } from "kysely";
import { Pool, type PoolClient, types } from "pg";

export interface PostgresOptions {
  readonly url: string;
  /** Connections at once. */
  readonly connections: number;
  /** How long a connection is waited for, in ms: a free one or a new one. */
  readonly connectMs: number;
  /** How long the server works on one statement, in ms. */
  readonly statementMs: number;
  /** Tells of a connection that broke while nobody used it. */
  readonly onLost: (message: string) => void;
}

/** Beyond the server's own limit, in ms: a server that says nothing at all. */
const SILENCE_MS = 2_000;
const TIMESTAMPTZ = 1184;
const BIGINT = 20;
const JSON_TEXT = 114;
const JSONB = 3802;

/** Values as SQLite has them too: JSON as text, times as RFC 3339, counts as numbers. */
const parsers: Readonly<Record<number, (text: string) => unknown>> = {
  [TIMESTAMPTZ]: (text) => new Date(text).toISOString(),
  [BIGINT]: Number,
  [JSON_TEXT]: (text) => text,
  [JSONB]: (text) => text,
};

/** Kysely on a bounded pool of connections, each of which is given up once its server has gone silent. */
export function postgresDialect(options: PostgresOptions): Dialect {
  const pool = new Pool({
    connectionString: options.url,
    max: options.connections,
    connectionTimeoutMillis: options.connectMs,
    idleTimeoutMillis: 60_000,
    statement_timeout: options.statementMs,
    query_timeout: options.statementMs + SILENCE_MS,
    idle_in_transaction_session_timeout: options.statementMs + SILENCE_MS,
    keepAlive: true,
    application_name: "elasti",
    types: {
      getTypeParser: ((id: number, format?: "text" | "binary") =>
        parsers[id] ?? types.getTypeParser(id, format as "text")) as typeof types.getTypeParser,
    },
  });
  // without a listener it would end the process
  pool.on("error", (error) => options.onLost(errorText(error)));
  return new PostgresDialect({ pool: new GuardedPool(pool) });
}

class GuardedPool implements PostgresPool {
  readonly options: object;
  readonly #pool: Pool;
  readonly #guarded = new WeakMap<PoolClient, GuardedClient>();

  constructor(pool: Pool) {
    this.#pool = pool;
    this.options = pool.options;
  }

  async connect(): Promise<PostgresPoolClient> {
    const client = await this.#pool.connect();
    const known = this.#guarded.get(client) ?? new GuardedClient(client);
    this.#guarded.set(client, known);
    return known as unknown as PostgresPoolClient;
  }

  end(): Promise<void> {
    return this.#pool.end();
  }
}

/** After a statement without an answer the connection is out of step with its server: it must not be used again. */
class GuardedClient {
  readonly #client: PoolClient;
  #silent = false;

  constructor(client: PoolClient) {
    this.#client = client;
    // a connection that breaks while it is in use: the statement fails, and that is enough
    client.on("error", () => {
      this.#silent = true;
    });
  }

  async query(sql: string, parameters: readonly unknown[]): Promise<unknown> {
    if (this.#silent) throw new Error("the connection is gone");
    try {
      return await this.#client.query(sql, [...parameters]);
    } catch (error) {
      // an error of the server itself has a severity; any other leaves the connection in doubt
      if (!(error instanceof Error && "severity" in error)) this.#silent = true;
      throw error;
    }
  }

  release(destroy?: boolean): void {
    this.#client.release(destroy === true || this.#silent);
  }
}
