import { type Notification, type NotificationReply, parseNotificationReply, paths } from "@elasti/api";
import { type Clock, errorText } from "@elasti/core";
import request from "undici/lib/api/api-request.js";
import Pool from "undici/lib/dispatcher/pool.js";
import type { OperatorDirectory, OperatorEndpoint } from "./operator-endpoints.ts";
import type { Warmable } from "./warm-operators.ts";

/** What became of a notification. `reason` is the code of the operator's problem document, or one of ours. */
export type NotifyResult =
  | { readonly ok: true; readonly reply: NotificationReply }
  | {
      readonly ok: false;
      readonly reason: string;
      readonly detail: string;
      /** The operator says that waiting will not help. */
      readonly certain: boolean;
      /** How long it asks to wait. */
      readonly retryAfterMs?: number;
    };

/** What tells the operator that requests wait. */
export interface Notifier {
  notify(notification: Notification): Promise<NotifyResult>;
}

export interface OperatorClientOptions {
  readonly endpoints: OperatorDirectory;
  readonly clock: Clock;
  readonly token: () => Promise<string | undefined>;
  /** For one replica to answer, from the first byte sent. */
  readonly timeoutMs?: number;
  readonly connectTimeoutMs?: number;
  /** Most connections to one replica. */
  readonly connections?: number;
  readonly random?: () => number;
}

/** Refusals that speak of one replica and not of the wake: another one may do it. */
const replicaRefusals = new Set([
  "ELASTI_SERVER_BUSY",
  "ELASTI_SERVER_CLOSING",
  "ELASTI_SCALE_CLOSED",
  "ELASTI_KUBE_CLOSED",
  "ELASTI_TOKEN_REVIEW_UNAVAILABLE",
]);
/**
 * Refusals that stay as they are however long one waits, until a person changes something. They end all holds, so what is
 * not named here is none, whatever else the answer says.
 */
const certainReasons = new Set(["ELASTI_SCALE_QUOTA", "ELASTI_SCALE_REFUSED"]);
const maxAnswerBytes = 64 * 1024;

/** Sends notifications to any replica of the operator, and to the next one at once when a replica cannot be reached. */
export class OperatorClient implements Notifier, Warmable {
  readonly #options: OperatorClientOptions;
  readonly #pools = new Map<string, Pool>();
  readonly #stopListening: () => void;
  readonly #closing = new AbortController();

  constructor(options: OperatorClientOptions) {
    this.#options = options;
    this.#stopListening = options.endpoints.onChange(() => this.#dropPools());
  }

  async notify(notification: Notification): Promise<NotifyResult> {
    const token = await this.#options.token();
    let failure: NotifyResult = {
      ok: false,
      reason: "ELASTI_NO_OPERATOR",
      detail: "the operator's Service has no endpoint",
      certain: false,
    };
    for (const endpoint of this.#order()) {
      const result = await this.#ask(endpoint, notification, token);
      if (result.ok || !(result.reason === "ELASTI_OPERATOR_UNREACHABLE" || replicaRefusals.has(result.reason)))
        return result;
      failure = result;
    }
    return failure;
  }

  async warm(): Promise<void> {
    const token = await this.#options.token().catch(() => undefined);
    // whoever cannot be reached, or knows no such path, has nothing to be warmed
    await Promise.allSettled(this.#order().map((endpoint) => this.#send(endpoint, { path: paths.warm }, token)));
  }

  async close(): Promise<void> {
    this.#stopListening();
    if (!this.#closing.signal.aborted) this.#closing.abort(new Error("closed"));
    const pools = [...this.#pools.values()];
    this.#pools.clear();
    await Promise.all(pools.map((pool) => pool.destroy()));
  }

  /** Ready replicas in random order, then the others. */
  #order(): OperatorEndpoint[] {
    const { endpoints, random = Math.random } = this.#options;
    return endpoints
      .list()
      .map((endpoint) => ({ endpoint, rank: (endpoint.ready ? 0 : 1) + random() }))
      .sort((a, b) => a.rank - b.rank)
      .map(({ endpoint }) => endpoint);
  }

  async #ask(endpoint: OperatorEndpoint, notification: Notification, token: string | undefined): Promise<NotifyResult> {
    try {
      const asked = { path: paths.notify, body: JSON.stringify(notification) };
      const { status, text, retryAfterMs } = await this.#send(endpoint, asked, token);
      return resultOf(status, text, retryAfterMs);
    } catch (error) {
      const { name, address, port } = endpoint;
      return {
        ok: false,
        reason: "ELASTI_OPERATOR_UNREACHABLE",
        detail: `${name} at ${address}:${port}: ${errorText(error)}`,
        certain: false,
      };
    }
  }

  /** A POST of what has a body, a GET of what has none. @throws when no answer came */
  async #send(endpoint: OperatorEndpoint, asked: { path: string; body?: string }, token: string | undefined) {
    const { clock, timeoutMs = 10_000 } = this.#options;
    const { path, body } = asked;
    const late = new AbortController();
    const timer = clock.after(timeoutMs, () => late.abort(new Error(`no answer within ${timeoutMs} ms`)));
    try {
      const response = await request.call(this.#pool(endpoint), {
        path,
        method: body === undefined ? "GET" : "POST",
        headers: {
          ...(body === undefined ? {} : { "content-type": "application/json" }),
          ...(token === undefined ? {} : { authorization: `Bearer ${token}` }),
        },
        body: body ?? null,
        signal: AbortSignal.any([late.signal, this.#closing.signal]),
      });
      let text = "";
      for await (const chunk of response.body) {
        text += chunk;
        if (text.length > maxAnswerBytes) throw new Error("the answer is too long");
      }
      const retryAfter = Number(response.headers["retry-after"]);
      return {
        status: response.statusCode,
        text,
        retryAfterMs: Number.isFinite(retryAfter) ? retryAfter * 1_000 : undefined,
      };
    } catch (error) {
      throw late.signal.aborted ? late.signal.reason : error;
    } finally {
      timer.cancel();
    }
  }

  #pool(endpoint: OperatorEndpoint): Pool {
    this.#closing.signal.throwIfAborted();
    let pool = this.#pools.get(endpoint.key);
    if (pool === undefined) {
      const host = endpoint.address.includes(":") ? `[${endpoint.address}]` : endpoint.address;
      pool = new Pool(`http://${host}:${endpoint.port}`, {
        connections: this.#options.connections ?? 8,
        pipelining: 1,
        allowH2: false,
        headersTimeout: 0,
        bodyTimeout: 0,
        connect: { timeout: this.#options.connectTimeoutMs ?? 1_000 },
        keepAliveTimeout: 30_000,
      });
      this.#pools.set(endpoint.key, pool);
    }
    return pool;
  }

  /** Pools of replicas that are gone finish what they have. */
  #dropPools(): void {
    const present = new Set(this.#options.endpoints.list().map(({ key }) => key));
    for (const [key, pool] of this.#pools) {
      if (present.has(key)) continue;
      this.#pools.delete(key);
      pool.close().catch(() => {});
    }
  }
}

/** Reads an answer. @param retryAfterMs how long it asks to wait */
export function resultOf(status: number, text: string, retryAfterMs: number | undefined): NotifyResult {
  let body: unknown;
  try {
    body = JSON.parse(text);
  } catch {
    body = undefined;
  }
  if (status === 200) {
    if (parseNotificationReply.Check(body)) return { ok: true, reply: body };
    return { ok: false, reason: "ELASTI_OPERATOR_NONSENSE", detail: "the answer is no reply", certain: false };
  }
  const problem = typeof body === "object" && body !== null ? (body as Record<string, unknown>) : {};
  const textOf = (value: unknown): string | undefined => (typeof value === "string" ? value : undefined);
  const reason = textOf(problem.reason);
  return {
    ok: false,
    reason: reason ?? `HTTP-${status}`,
    detail: textOf(problem.detail) ?? textOf(problem.title) ?? `the operator answered ${status}`,
    certain: status === 503 && reason !== undefined && certainReasons.has(reason),
    ...(retryAfterMs === undefined ? {} : { retryAfterMs }),
  };
}
