import { hash } from "node:crypto";
import { type Clock, errorCode, errorText, systemClock, unlessAborted } from "@elasti/core";
import PQueue from "p-queue";
import request from "undici/lib/api/api-request.js";
import Agent from "undici/lib/dispatcher/agent.js";
import { scalingErrors } from "../errors.ts";
import { failure, parseAnswer, type QueryAnswer } from "./prometheus-answer.ts";
import type { QueryMetrics, RegisterQueryMetrics } from "./query-metrics.ts";
import type { SampleOptions } from "./scaler.ts";
import { guardedLookup, ServerPolicy } from "./server-policy.ts";

export interface Query {
  /** Base address without a trailing slash, e.g. `http://prometheus:9090/prefix`. */
  readonly server: string;
  readonly query: string;
  /** Sent with it; part of what makes two queries the same. */
  readonly headers: Readonly<Record<string, string>>;
  readonly timeoutMs: number;
}

export interface Sample {
  readonly answer: QueryAnswer;
  /** Wall-clock time in ms at which the query left. */
  readonly sampledAtMs: number;
}

export interface QueryClientOptions {
  clock?: Clock;
  /** Clients of one program have names of their own. */
  metrics?: RegisterQueryMetrics;
  policy?: ServerPolicy;
  /** Queries at once to one server. */
  concurrency?: number;
  /** A sample answers the same question for so long, in ms: a round. */
  keepMs?: number;
  /** Most bytes of an answer that are read. */
  maxAnswerBytes?: number;
  /** Different queries under way or kept. */
  maxEntries?: number;
}

interface Entry {
  readonly sample: Promise<Sample>;
  readonly times: {
    /** When the query left, wall clock; undefined while it waits for its turn. */
    sentAtMs: number | undefined;
    /** When it was answered, monotonic. */
    doneAtMs: number | undefined;
  };
}

/**
 * Asks Prometheus servers instant queries. The same query to the same server with the same headers is asked once per round,
 * whoever asks; each server has its own bounded lane, so that a slow one delays nobody else.
 */
export class QueryClient {
  readonly #clock: Clock;
  readonly #policy: ServerPolicy;
  readonly #concurrency: number;
  readonly #keepMs: number;
  readonly #maxAnswerBytes: number;
  readonly #maxEntries: number;
  readonly #entries = new Map<string, Entry>();
  readonly #lanes = new Map<string, PQueue>();
  readonly #agents: { readonly named: Agent; readonly guarded: Agent };
  readonly #closed = new AbortController();
  readonly #metrics: QueryMetrics | undefined;

  constructor(options: QueryClientOptions = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#policy = options.policy ?? new ServerPolicy(["*"]);
    this.#concurrency = options.concurrency ?? 4;
    this.#keepMs = options.keepMs ?? 2_000;
    this.#maxAnswerBytes = options.maxAnswerBytes ?? 1024 * 1024;
    this.#maxEntries = options.maxEntries ?? 10_000;
    const common = {
      connections: this.#concurrency,
      pipelining: 1,
      keepAliveTimeout: 60_000,
      // Node's HTTP/2 sessions may write without end once a request on them is aborted
      allowH2: false,
    } as const;
    this.#agents = {
      named: new Agent({ ...common, connect: { timeout: 10_000 } }),
      guarded: new Agent({ ...common, connect: { timeout: 10_000, lookup: guardedLookup } }),
    };
    this.#metrics = options.metrics?.(() => this.#entries.size);
  }

  /** Answers a query; what goes wrong is in the answer. Rejects when `signal` aborts, and after `close()`. */
  async instant(query: Query, signal: AbortSignal, options: SampleOptions = {}): Promise<Sample> {
    signal.throwIfAborted();
    this.#closed.signal.throwIfAborted();
    const notBeforeMs = options.notBeforeMs ?? Number.NEGATIVE_INFINITY;
    const key = keyOf(query);
    const known = this.#entries.get(key);
    const entry = known !== undefined && this.#answers(known, notBeforeMs) ? known : this.#ask(key, query);
    return await unlessAborted(entry.sample, AbortSignal.any([signal, this.#closed.signal]));
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(scalingErrors.ELASTI_SCALE_CLOSED("the query client is closed"));
    await Promise.all([this.#agents.named.destroy(), this.#agents.guarded.destroy()]);
    await Promise.allSettled([...this.#entries.values()].map(({ sample }) => sample));
    this.#entries.clear();
    this.#lanes.clear();
  }

  #answers({ times }: Entry, notBeforeMs: number): boolean {
    if (times.sentAtMs !== undefined && times.sentAtMs < notBeforeMs) return false;
    return times.doneAtMs === undefined || this.#clock.monotonic() - times.doneAtMs < this.#keepMs;
  }

  #ask(key: string, query: Query): Entry {
    if (this.#entries.size >= this.#maxEntries) this.#forgetOld();
    if (this.#entries.size >= this.#maxEntries) {
      const sampledAtMs = this.#clock.now();
      const answer = failure("TooManyQueries", `more than ${this.#maxEntries} different queries at once`);
      const times = { sentAtMs: sampledAtMs, doneAtMs: undefined };
      return { sample: Promise.resolve({ answer, sampledAtMs }), times };
    }
    const { origin } = new URL(query.server);
    const lane = this.#lanes.get(origin) ?? new PQueue({ concurrency: this.#concurrency });
    this.#lanes.set(origin, lane);
    const times: Entry["times"] = { sentAtMs: undefined, doneAtMs: undefined };
    const sample = lane
      .add(
        async () => {
          const sampledAtMs = this.#clock.now();
          times.sentAtMs = sampledAtMs;
          return { answer: await this.#send(query), sampledAtMs };
        },
        { signal: this.#closed.signal },
      )
      .finally(() => {
        times.doneAtMs = this.#clock.monotonic();
        if (lane.size === 0 && lane.pending === 0 && this.#lanes.get(origin) === lane) this.#lanes.delete(origin);
      });
    // everyone who waits may have left
    sample.catch(() => undefined);
    const entry: Entry = { sample, times };
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }

  #forgetOld(): void {
    const now = this.#clock.monotonic();
    for (const [key, { times }] of this.#entries) {
      const { doneAtMs } = times;
      if (doneAtMs !== undefined && now - doneAtMs >= this.#keepMs) this.#entries.delete(key);
    }
  }

  async #send(query: Query): Promise<QueryAnswer> {
    const begun = this.#clock.monotonic();
    const answer = await this.#post(query);
    this.#metrics?.seconds.observe((this.#clock.monotonic() - begun) / 1_000);
    this.#metrics?.results.inc({ result: answer.kind === "failure" ? answer.reason : answer.kind });
    return answer;
  }

  async #post(query: Query): Promise<QueryAnswer> {
    const url = new URL(query.server);
    const judgement = this.#policy.judge(url);
    if (judgement === "refused") {
      return failure("ServerNotAllowed", `${url.host} is not among the servers that triggers may name`);
    }
    const deadline = new AbortController();
    const timer = this.#clock.after(query.timeoutMs, () => deadline.abort());
    const signal = AbortSignal.any([deadline.signal, this.#closed.signal]);
    try {
      const { statusCode, headers, body } = await request.call(this.#agents[judgement], {
        origin: url.origin,
        path: `${url.pathname.replace(/\/+$/, "")}/api/v1/query`,
        method: "POST",
        headers: {
          ...query.headers,
          "content-type": "application/x-www-form-urlencoded",
          accept: "application/json",
          "user-agent": "elasti",
        },
        body: new URLSearchParams({ query: query.query }).toString(),
        signal,
        // the deadline above is the only one
        headersTimeout: 0,
        bodyTimeout: 0,
      });
      // an error after the end of reading (the deadline, a reset) has nobody to tell
      body.on("error", () => undefined);
      const tooLarge = failure("AnswerTooLarge", `the answer has more than ${this.#maxAnswerBytes} bytes`);
      if (Number(headers["content-length"] ?? 0) > this.#maxAnswerBytes) {
        body.destroy();
        return tooLarge;
      }
      const chunks: Buffer[] = [];
      let bytes = 0;
      for await (const chunk of body) {
        const part = chunk as Buffer;
        bytes += part.length;
        if (bytes > this.#maxAnswerBytes) {
          body.destroy();
          return tooLarge;
        }
        chunks.push(part);
      }
      return parseAnswer(statusCode, Buffer.concat(chunks).toString("utf8"));
    } catch (error) {
      if (this.#closed.signal.aborted) throw this.#closed.signal.reason;
      if (deadline.signal.aborted) {
        return failure("PrometheusTimeout", `${url.host} did not answer within ${query.timeoutMs / 1_000} s`);
      }
      if (errorCode(error) === "ELASTI_ADDRESS_PROTECTED") {
        return failure("ServerNotAllowed", `${url.host} leads to an address that triggers may not reach`);
      }
      return failure("PrometheusUnreachable", `${url.host}: ${errorText(error)}`);
    } finally {
      timer.cancel();
    }
  }
}

function keyOf({ server, query, headers, timeoutMs }: Query): string {
  const sorted = Object.entries(headers).sort(([a], [b]) => (a < b ? -1 : 1));
  return hash("sha256", JSON.stringify([server, query, sorted, timeoutMs]), "base64");
}

/**
 * When within an interval something has its turn, in ms from the interval's beginning: spread evenly over all keys, the same
 * for one key every time. Keyed by what is asked, equal questions meet in one round.
 */
export function spreadOffsetMs(key: string, intervalMs: number): number {
  const share = hash("sha256", key, "buffer").readUInt32BE(0) / 2 ** 32;
  return Math.floor(share * intervalMs);
}
