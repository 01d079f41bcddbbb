import { hash } from "node:crypto";
import { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { errorCode, errorText } from "@elasti/core";
import { guardedLookup, type ServerPolicy } from "@elasti/scaling";
import PQueue from "p-queue";
import { Pool, type PoolClient } from "pg";
import type { MetricReason } from "../metric-sample.ts";
import type { SqlConnection } from "./sql-connection.ts";

export interface SqlPoolsOptions {
  /** Where Secrets of tenants may lead; connections that are configured are not asked for. */
  readonly policy: ServerPolicy;
  /** How long a connection is waited for, in ms. */
  readonly connectMs: number;
  /** How long the server works on one query, in ms. */
  readonly statementMs: number;
  /** A connection that nobody used for so long is closed, in ms. */
  readonly idleMs: number;
  /** Different connections at once. */
  readonly maxPools: number;
}

export interface SqlQuestion {
  readonly connection: SqlConnection;
  /** Whether an administrator named it. */
  readonly trusted: boolean;
  readonly query: string;
  readonly parameters: readonly string[];
}

export type SqlAnswer =
  | { readonly kind: "rows"; readonly columns: number; readonly rows: readonly (readonly (string | null)[])[] }
  | { readonly kind: "failure"; readonly reason: MetricReason; readonly message: string };

/** Connections to one database. */
const PER_POOL = 2;
/** Bytes of an answer: one number needs a few. */
const MAX_ANSWER = 64 * 1024;
const SILENCE_MS = 2_000;
const SHOWN = 200;
const QUERY_CANCELLED = "57014";
/** Classes of errors of a server that could not be used at all: connection, credentials, database, resources, shutdown. */
const unusable = /^(08|28|3D|53|57P)/;
const TOO_LARGE = "ELASTI_SQL_ANSWER_TOO_LARGE";

const failure = (reason: MetricReason, message: string): SqlAnswer => ({ kind: "failure", reason, message });

interface Entry {
  readonly pool: Pool;
  /** Who waits for a connection waits here, without a deadline, and for this database alone. */
  readonly lane: PQueue;
}

/** Asks databases of others, each by a few connections that are closed when they are not used. */
export class SqlPools {
  readonly #options: SqlPoolsOptions;
  readonly #pools = new Map<string, Entry>();
  /** Bytes that came since a connection's last question. */
  readonly #received = new WeakMap<PoolClient, { bytes: number }>();
  #closed = false;

  constructor(options: SqlPoolsOptions) {
    this.#options = options;
  }

  /** @param signal who waits for a connection when it aborts is not served any more */
  async ask(question: SqlQuestion, signal: AbortSignal): Promise<SqlAnswer> {
    const { connection, trusted } = question;
    const guarded = !trusted && this.#options.policy.judge(urlOf(connection));
    if (guarded === "refused")
      return failure("ServerNotAllowed", "the database is not among the servers that are allowed");
    const entry = this.#entry(connection, guarded === "guarded");
    if (entry === undefined) {
      return failure("TooManyQuestions", `more than ${this.#options.maxPools} databases are asked at once`);
    }
    try {
      return await entry.lane.add(async () => this.#within(await entry.pool.connect(), question), {
        signal,
      });
    } catch (error) {
      return failureOf(error, connection);
    }
  }

  async close(): Promise<void> {
    this.#closed = true;
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.allSettled(pools.map(({ pool }) => pool.end()));
  }

  async #within(client: PoolClient, { connection, query, parameters }: SqlQuestion): Promise<SqlAnswer> {
    let usable = false;
    try {
      const received = this.#received.get(client);
      if (received !== undefined) received.bytes = 0;
      const { statementMs } = this.#options;
      await client.query(`begin transaction read only; set local statement_timeout = ${Math.floor(statementMs)}`);
      // the extended protocol takes exactly one statement
      const asked = { text: query, values: [...parameters], rowMode: "array", queryMode: "extended" } as const;
      const answer = await client.query<(string | null)[]>(asked).then(
        ({ fields, rows }): SqlAnswer => ({ kind: "rows", columns: fields.length, rows }),
        (error: unknown) => failureOf(error, connection),
      );
      // takes back whatever it has set, too
      usable = await client.query("rollback").then(
        () => true,
        () => false,
      );
      return answer;
    } finally {
      client.release(!usable);
    }
  }

  #entry(connection: SqlConnection, guarded: boolean): Entry | undefined {
    const key = hash("sha256", JSON.stringify([connection, guarded]), "base64");
    let entry = this.#pools.get(key);
    if (entry === undefined) {
      if (this.#closed || !this.#makeRoom()) return undefined;
      entry = { pool: this.#open(connection, guarded), lane: new PQueue({ concurrency: PER_POOL }) };
    }
    // at the end, so that the one not used for longest comes first
    this.#pools.delete(key);
    this.#pools.set(key, entry);
    return entry;
  }

  #makeRoom(): boolean {
    if (this.#pools.size < this.#options.maxPools) return true;
    for (const [key, { pool, lane }] of this.#pools) {
      if (lane.size > 0 || lane.pending > 0) continue;
      this.#pools.delete(key);
      // its connections are idle: they end without anybody's noticing
      pool.end().catch(() => undefined);
      return true;
    }
    return false;
  }

  #open({ tls, ...address }: SqlConnection, guarded: boolean): Pool {
    const { connectMs, statementMs, idleMs } = this.#options;
    const pool = new Pool({
      ...address,
      max: PER_POOL,
      connectionTimeoutMillis: connectMs,
      idleTimeoutMillis: idleMs,
      query_timeout: statementMs + SILENCE_MS,
      application_name: "elasti",
      ssl: tls === "none" ? false : { rejectUnauthorized: tls === "verify" },
      // values as the server writes them
      types: { getTypeParser: () => (text: string) => text },
      ...(guarded ? { stream: guardedSocket } : {}),
    });
    // a connection that breaks while nobody uses it has nobody to tell
    pool.on("error", () => undefined);
    pool.on("connect", (client) => this.#watch(client));
    return pool;
  }

  /** Cuts a connection whose answer is longer than any number. */
  #watch(client: PoolClient): void {
    // whoever asks hears of it too
    client.on("error", () => undefined);
    const received = { bytes: 0 };
    this.#received.set(client, received);
    const { stream } = (client as unknown as { readonly connection: { readonly stream: Duplex } }).connection;
    stream.on("data", (chunk: Buffer) => {
      received.bytes += chunk.length;
      if (received.bytes > MAX_ANSWER) stream.destroy(Object.assign(new Error("too large"), { code: TOO_LARGE }));
    });
  }
}

/** A socket that goes nowhere where a tenant has no business: see ServerPolicy. */
function guardedSocket(): Socket {
  const socket = new Socket();
  const connect = socket.connect.bind(socket);
  const guarded = (port: number, host: string) => connect({ port, host, lookup: guardedLookup });
  socket.connect = guarded as typeof socket.connect;
  return socket;
}

function urlOf({ host, port }: SqlConnection): URL {
  return new URL(`http://${host.includes(":") ? `[${host}]` : host}:${port}`);
}

function failureOf(error: unknown, { host, password }: SqlConnection): SqlAnswer {
  const code = errorCode(error) ?? "";
  let text = errorText(error).replace(/\s+/g, " ");
  for (const secret of [password, host]) if (secret !== "") text = text.replaceAll(secret, "***");
  text = text.length > SHOWN ? `${text.slice(0, SHOWN)}...` : text;
  if (code === TOO_LARGE) return failure("SqlAnswerTooLarge", `the answer has more than ${MAX_ANSWER} bytes`);
  if (code === "ELASTI_ADDRESS_PROTECTED") {
    return failure("ServerNotAllowed", "the database is at an address that metrics may not reach");
  }
  if (error instanceof Error && "severity" in error) {
    if (code === QUERY_CANCELLED) return failure("SqlTimeout", `the database gave the query up: ${text}`);
    return unusable.test(code)
      ? failure("SqlUnreachable", `the database refuses: ${text}`)
      : failure("SqlRejected", `the database rejects the query: ${text}`);
  }
  if (/timeout/i.test(text)) return failure("SqlTimeout", "the database did not answer in time");
  // what a socket says of itself names addresses
  return failure("SqlUnreachable", `the database cannot be reached: ${/^[A-Z_]+$/.test(code) ? code : text}`);
}
