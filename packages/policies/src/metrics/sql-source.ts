import { hash } from "node:crypto";
import { type Clock, errorText } from "@elasti/core";
import { isNotFound, type KubeClient, type KubeObject, type Resource } from "@elasti/kube";
import type { ServerPolicy } from "@elasti/scaling";
import type { MetricSample, MetricTarget } from "../contracts.ts";
import { sqlProblem } from "../domain/one-select.ts";
import { type MetricReason, unknownSample, valueSample } from "../metric-sample.ts";
import { SharedAnswers } from "./shared-answers.ts";
import { readSqlConnection, type SqlConnection } from "./sql-connection.ts";
import { type SqlAnswer, SqlPools } from "./sql-pools.ts";

export interface SqlSourceOptions {
  /** URLs by the names of configured connections. */
  readonly connections: Readonly<Record<string, string>>;
  /** Reads Secrets; left out: only configured connections. */
  readonly client?: KubeClient;
  readonly policy: ServerPolicy;
  readonly clock: Clock;
  /** An answer stands for so long, in ms: a round. */
  readonly keepMs: number;
  /** How long the server works on one query, in ms; 5 s where left out. */
  readonly statementMs?: number;
  /** How long a connection is waited for, in ms; 5 s where left out. */
  readonly connectMs?: number;
  /** A connection that nobody used for so long is closed, in ms; a minute where left out. */
  readonly idleMs?: number;
  /** Different questions under way, waiting or kept. */
  readonly maxQuestions?: number;
  readonly maxPools?: number;
}

export interface SqlMetric {
  readonly query: string;
  /** Name of a configured connection, or `<Secret>/<key>` in the target's namespace. */
  readonly connection: string;
  /** Values of `$1`, `$2`, ... */
  readonly parameters?: readonly string[];
}

interface Secret extends KubeObject {
  readonly data?: Readonly<Record<string, string>>;
}
type Found = { readonly connection: SqlConnection; readonly trusted: boolean };
type Answer = SqlAnswer & { readonly atMs: number };

const secrets: Resource = { group: "", version: "v1", plural: "secrets", kind: "Secret", namespaced: true };
const decimal = /^[+-]?(\d+\.?\d*|\.\d+)(e[+-]?\d+)?$/i;
const missing = (message: string): SqlAnswer => ({ kind: "failure", reason: "SqlConnectionMissing", message });

/** One number by one SELECT. */
export class SqlSource {
  readonly #options: SqlSourceOptions;
  readonly #pools: SqlPools;
  readonly #answers: SharedAnswers<Answer>;

  constructor(options: SqlSourceOptions) {
    this.#options = options;
    const { clock, keepMs, maxQuestions = 10_000 } = options;
    // each database has a lane of its own, so that a slow one delays nobody else
    this.#answers = new SharedAnswers({ clock, keepMs, concurrency: maxQuestions, maxEntries: maxQuestions });
    this.#pools = new SqlPools({
      policy: options.policy,
      connectMs: options.connectMs ?? 5_000,
      statementMs: options.statementMs ?? 5_000,
      idleMs: options.idleMs ?? 60_000,
      maxPools: options.maxPools ?? 100,
    });
  }

  async read(metric: SqlMetric, target: MetricTarget, nowMs: number, signal: AbortSignal): Promise<MetricSample> {
    const problem = sqlProblem(metric.query);
    if (problem !== undefined) return unknownSample("SqlRejected", `the query ${problem}`, nowMs);
    const { query, connection, parameters = [] } = metric;
    // a Secret is one of its namespace
    const place = connection.includes("/") ? target.namespace : "";
    const key = hash("sha256", JSON.stringify([place, connection, query, parameters]), "base64");
    const answer = await this.#answers.get(key, (closed) => this.#ask(metric, target.namespace, closed), signal);
    if (answer === undefined) return unknownSample("TooManyQuestions", "too many queries are asked at once", nowMs);
    return sampleOf(answer);
  }

  async close(): Promise<void> {
    await Promise.all([this.#answers.close(), this.#pools.close()]);
  }

  async #ask(metric: SqlMetric, namespace: string, signal: AbortSignal): Promise<Answer> {
    const atMs = this.#options.clock.now();
    const found = await this.#connection(metric.connection, namespace, signal);
    if ("kind" in found) return { ...found, atMs };
    const { query, parameters = [] } = metric;
    return { ...(await this.#pools.ask({ ...found, query, parameters }, signal)), atMs };
  }

  async #connection(name: string, namespace: string, signal: AbortSignal): Promise<Found | SqlAnswer> {
    const secret = name.includes("/");
    const url = secret ? await this.#urlOf(name, namespace, signal) : this.#configured(name);
    if (typeof url !== "string") return url;
    const connection = readSqlConnection(url);
    if (typeof connection !== "string") return { connection, trusted: !secret };
    return missing(
      secret ? `the URL in Secret ${namespace}/${name} ${connection}` : `connection ${name} ${connection}`,
    );
  }

  #configured(name: string): string | SqlAnswer {
    const { connections } = this.#options;
    if (Object.hasOwn(connections, name)) return connections[name]!;
    const known = Object.keys(connections).sort().slice(0, 50).join(", ");
    return missing(
      `no connection ${name} is configured: expected ${known === "" ? "" : `${known}, or `}<Secret>/<key>`,
    );
  }

  async #urlOf(reference: string, namespace: string, signal: AbortSignal): Promise<string | SqlAnswer> {
    const { client } = this.#options;
    if (client === undefined) return missing("connections by Secrets are not allowed");
    const [name = "", key = "", ...rest] = reference.split("/");
    if (name === "" || key === "" || rest.length > 0) return missing(`${reference} is not <Secret>/<key>`);
    try {
      const { data = {} } = await client.get<Secret>(secrets, namespace, name, { signal });
      if (!Object.hasOwn(data, key)) return missing(`Secret ${namespace}/${name} has no key ${key}`);
      return Buffer.from(data[key]!, "base64").toString();
    } catch (error) {
      signal.throwIfAborted();
      return missing(isNotFound(error) ? `there is no Secret ${namespace}/${name}` : errorText(error));
    }
  }
}

function sampleOf(answer: Answer): MetricSample {
  const { atMs } = answer;
  if (answer.kind === "failure") return unknownSample(answer.reason, answer.message, atMs);
  const unknown = (message: string, reason: MetricReason = "SqlNotOneNumber") => unknownSample(reason, message, atMs);
  if (answer.rows.length === 0) return unknown("the query gives no row", "NoData");
  if (answer.rows.length > 1) return unknown(`the query gives ${answer.rows.length} rows, expected one`);
  if (answer.columns !== 1) return unknown(`the query gives ${answer.columns} columns, expected one`);
  const text = answer.rows[0]![0] ?? null;
  if (text === null) return unknown("the query gives null", "NoData");
  const value = decimal.test(text) ? Number(text) : Number.NaN;
  return Number.isFinite(value)
    ? valueSample(value, atMs)
    : unknown(`the query gives ${shown(text)}, expected a number`);
}

const shown = (text: string): string => JSON.stringify(text.length > 40 ? `${text.slice(0, 40)}...` : text);
