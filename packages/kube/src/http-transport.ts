import { errorCode, errorText } from "@elasti/core";
import type { Dispatcher } from "undici";
import Pool from "undici/lib/dispatcher/pool.js";
import type { Cluster } from "./cluster.ts";
import { describeRequest, kubeErrors } from "./errors.ts";
import { connectorOf } from "./tls-connector.ts";
import type { KubeRequest, KubeResponse } from "./transport.ts";
import { WatchStream } from "./watch-stream.ts";

export interface HttpTransportOptions {
  readonly cluster: Cluster;
  readonly connectTimeoutMs: number;
  /** Connections for calls; each carries one call at a time. */
  readonly maxConnections: number;
  /** Calls that wait for a connection, above which further ones are refused. */
  readonly maxPending: number;
  readonly maxWatches: number;
}

/** The largest answer accepted: a page of 500 large objects is well under it. */
const maxAnswerBytes = 256 * 1024 * 1024;

/**
 * Sends requests over HTTP/1.1. Calls share a bounded pool of kept-alive connections; every watch has a connection of its
 * own, so that open watches never starve calls.
 */
export class HttpTransport {
  readonly #options: HttpTransportOptions;
  readonly #calls: Pool;
  readonly #watches: Pool;
  readonly #prefix: string;
  #openCalls = 0;
  #openWatches = 0;
  #closing: Promise<void> | undefined;

  constructor(options: HttpTransportOptions) {
    this.#options = options;
    const { cluster } = options;
    const url = new URL(cluster.server);
    this.#prefix = url.pathname.replace(/\/+$/, "");
    const common: Pool.Options = {
      allowH2: false,
      pipelining: 1,
      // deadlines are kept by the client on its own clock
      headersTimeout: 0,
      bodyTimeout: 0,
      // the API server closes idle connections after 90 s; other servers say so in a Keep-Alive hint, which is followed
      keepAliveTimeout: 60_000,
      connect: connectorOf(cluster, options.connectTimeoutMs),
    };
    this.#calls = new Pool(url.origin, {
      ...common,
      connections: options.maxConnections,
      maxResponseSize: maxAnswerBytes,
    });
    this.#watches = new Pool(url.origin, { ...common, connections: options.maxWatches });
  }

  async send(request: KubeRequest): Promise<KubeResponse> {
    try {
      const { token } = this.#options.cluster;
      const used = await token();
      const answer = await this.#sendOnce(request);
      if (answer.status !== 401) return answer;
      // nothing was done; a token that was renewed meanwhile is tried at once
      this.#options.cluster.refused?.();
      return (await token()) === used ? answer : await this.#sendOnce(request);
    } catch (error) {
      // a kept-alive connection may be closed by the server just as it is used; only reads are asked again
      if (!(error instanceof StaleConnection)) throw error;
      if (request.method !== "GET" || request.signal.aborted) throw error.reported;
      try {
        return await this.#sendOnce(request);
      } catch (again) {
        throw again instanceof StaleConnection ? again.reported : again;
      }
    }
  }

  async #sendOnce(request: KubeRequest): Promise<KubeResponse> {
    if (this.#closing !== undefined) throw kubeErrors.ELASTI_KUBE_CLOSED("client is closed");
    const watch = request.kind === "watch";
    const { maxConnections, maxPending, maxWatches } = this.#options;
    if (watch ? this.#openWatches >= maxWatches : this.#openCalls >= maxConnections + maxPending) {
      throw kubeErrors.ELASTI_KUBE_UNAVAILABLE(
        `${describeRequest(request)}: too many requests are open (${watch ? this.#openWatches : this.#openCalls})`,
        { details: { sent: false } },
      );
    }
    const token = await this.#options.cluster.token();
    request.signal.throwIfAborted();
    const headers: Record<string, string> = { accept: "application/json, */*;q=0.5", "user-agent": "elasti" };
    if (token !== undefined) headers.authorization = `Bearer ${token}`;
    let body: string | null = null;
    if (request.body !== undefined) {
      body = JSON.stringify(request.body);
      headers["content-type"] = request.contentType ?? "application/json";
    }
    const query = new URLSearchParams(request.query).toString();
    const path = `${this.#prefix}${request.path}${query === "" ? "" : `?${query}`}`;
    const exchange = new Exchange(request, () => {
      if (watch) this.#openWatches -= 1;
      else this.#openCalls -= 1;
    });
    if (watch) this.#openWatches += 1;
    else this.#openCalls += 1;
    const pool = watch ? this.#watches : this.#calls;
    pool.dispatch({ path, method: request.method, headers, body }, exchange);
    return await exchange.response;
  }

  close(): Promise<void> {
    this.#closing ??= (async () => {
      const closed = kubeErrors.ELASTI_KUBE_CLOSED("client is closed");
      await Promise.all([this.#calls.destroy(closed), this.#watches.destroy(closed)]);
    })();
    return this.#closing;
  }
}

/** The server closed a connection that had been used before, without a byte of an answer. */
class StaleConnection extends Error {
  readonly reported: unknown;
  constructor(reported: unknown) {
    super("stale connection");
    this.reported = reported;
  }
}

/** One request on its way: collects the answer of a call, or gives the stream of a watch. */
class Exchange implements Dispatcher.DispatchHandler {
  readonly #request: KubeRequest;
  readonly #settled: () => void;
  readonly #answer = Promise.withResolvers<KubeResponse>();
  readonly #chunks: Buffer[] = [];
  #controller: Dispatcher.DispatchController | undefined;
  #status = 0;
  #retryAfterSeconds: number | undefined;
  #stream: WatchStream | undefined;
  #done = false;

  constructor(request: KubeRequest, settled: () => void) {
    this.#request = request;
    this.#settled = settled;
    request.signal.addEventListener("abort", this.#onAbort, { once: true });
  }

  get response(): Promise<KubeResponse> {
    return this.#answer.promise;
  }

  readonly #onAbort = () => {
    const { reason } = this.#request.signal;
    this.#controller?.abort(reason instanceof Error ? reason : new Error("aborted"));
    // a request that still waits for a connection has no controller: it is cut in onRequestStart, before it is written
    this.#answer.reject(reason);
    this.#stream?.fail(reason);
    if (this.#controller !== undefined) this.#finish();
  };

  #finish(): void {
    if (this.#done) return;
    this.#done = true;
    this.#request.signal.removeEventListener("abort", this.#onAbort);
    this.#settled();
  }

  onRequestStart(controller: Dispatcher.DispatchController): void {
    const { signal, progress } = this.#request;
    if (signal.aborted) {
      controller.abort(signal.reason instanceof Error ? signal.reason : new Error("aborted"));
      this.#finish();
      return;
    }
    this.#controller = controller;
    progress.sent = true;
  }

  onResponseStart(
    controller: Dispatcher.DispatchController,
    statusCode: number,
    headers: Readonly<Record<string, string | string[] | undefined>>,
  ): void {
    if (statusCode < 200) return;
    this.#status = statusCode;
    const retryAfter = Number(headers["retry-after"]);
    if (headers["retry-after"] !== undefined && Number.isFinite(retryAfter)) this.#retryAfterSeconds = retryAfter;
    if (this.#request.kind === "watch" && statusCode === 200) {
      this.#stream = new WatchStream({
        pause: () => controller.pause(),
        resume: () => controller.resume(),
        stop: () => {
          controller.abort(new Error("watch was left"));
          this.#finish();
        },
      });
      this.#answer.resolve({ status: statusCode, body: undefined, events: this.#stream });
    }
  }

  onResponseData(_controller: Dispatcher.DispatchController, chunk: Buffer): void {
    if (this.#stream === undefined) this.#chunks.push(chunk);
    else this.#stream.push(chunk);
  }

  onResponseEnd(): void {
    this.#finish();
    if (this.#stream !== undefined) {
      this.#stream.end();
      return;
    }
    const text = Buffer.concat(this.#chunks).toString("utf8");
    this.#answer.resolve({
      status: this.#status,
      retryAfterSeconds: this.#retryAfterSeconds,
      body: parseBody(text),
    });
  }

  onResponseError(_controller: Dispatcher.DispatchController, error: Error): void {
    this.#finish();
    const sent = this.#controller !== undefined;
    const code = errorCode(error);
    const reported =
      code === "ELASTI_KUBE_CLOSED"
        ? error
        : kubeErrors.ELASTI_KUBE_UNAVAILABLE(`${describeRequest(this.#request)}: ${errorText(error)}`, {
            cause: error,
            details: { sent, ...(code === undefined ? {} : { reason: code }) },
          });
    if (this.#stream !== undefined) this.#stream.fail(reported);
    const reset = code === "UND_ERR_SOCKET" || code === "ECONNRESET" || code === "EPIPE";
    this.#answer.reject(sent && this.#status === 0 && reset ? new StaleConnection(reported) : reported);
  }
}

function parseBody(text: string): unknown {
  if (text === "") return undefined;
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}
