import http from "node:http";
import { setTimeout as pause } from "node:timers/promises";

/** How long a test waits for what must come: images, probes and a second kubelet's turn take longer on a real cluster. */
export const patienceMs = process.env.ELASTI_TEST_KUBECONFIG === undefined ? 20_000 : 60_000;

export interface Ask {
  readonly path?: string;
  readonly method?: string;
  readonly headers?: http.OutgoingHttpHeaders;
  readonly body?: Buffer | string;
  /** A new connection for each request where left out. */
  readonly agent?: http.Agent;
  /** No answer for so long is a failure. */
  readonly timeoutMs?: number;
  readonly signal?: AbortSignal;
  readonly localAddress?: string | undefined;
}

export interface Answer {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: Buffer;
  readonly text: string;
  /** Pod that answered; undefined for an answer of the resolver's own. */
  readonly pod: string | undefined;
  readonly tookMs: number;
  /** The request went over a connection that another one had used before. */
  readonly reused: boolean;
}

/** Sends one request, once. Rejects when the connection fails. */
export function request(options: Ask & { host: string; port: number }): Promise<Answer> {
  const { host, port, path = "/", method = "GET", body, headers = {}, timeoutMs = patienceMs } = options;
  const sized = body !== undefined && headers["transfer-encoding"] === undefined;
  const startedAt = performance.now();
  return new Promise((resolve, reject) => {
    const sent = http.request({
      host,
      port,
      path,
      method,
      agent: options.agent ?? false,
      headers: sized ? { "content-length": Buffer.byteLength(body), ...headers } : headers,
      ...(options.signal === undefined ? {} : { signal: options.signal }),
      ...(options.localAddress === undefined ? {} : { localAddress: options.localAddress }),
    });
    const deadline = setTimeout(() => sent.destroy(new Error(`no answer in ${timeoutMs} ms`)), timeoutMs);
    sent.on("close", () => clearTimeout(deadline));
    sent.on("error", reject);
    sent.on("response", (response) => {
      const chunks: Buffer[] = [];
      response.on("data", (chunk: Buffer) => chunks.push(chunk));
      response.on("error", reject);
      response.on("end", () => {
        const whole = Buffer.concat(chunks);
        resolve({
          status: response.statusCode ?? 0,
          headers: response.headers,
          body: whole,
          text: whole.toString("utf8"),
          pod: response.headers["x-pod"] as string | undefined,
          tookMs: performance.now() - startedAt,
          reused: sent.reusedSocket,
        });
      });
    });
    sent.end(body);
  });
}

/** Sends a request every `everyMs` until it is stopped, each once and on a connection of its own. */
export class Traffic {
  readonly answers: Answer[] = [];
  readonly failures: string[] = [];
  readonly #stop = new AbortController();
  readonly #pending = new Set<Promise<void>>();
  readonly #running: Promise<void>;

  constructor(ask: () => Promise<Answer>, everyMs: number) {
    this.#running = this.#run(ask, everyMs);
  }

  /** Sends no more and waits for what is on its way. */
  async stop(): Promise<this> {
    this.#stop.abort();
    await this.#running;
    await Promise.all(this.#pending);
    return this;
  }

  /** However a test ends, it sends no more. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  async #run(ask: () => Promise<Answer>, everyMs: number): Promise<void> {
    while (!this.#stop.signal.aborted) {
      const sent = this.#one(ask);
      this.#pending.add(sent);
      void sent.finally(() => this.#pending.delete(sent));
      await pause(everyMs, undefined, { signal: this.#stop.signal }).catch(() => {});
    }
  }

  async #one(ask: () => Promise<Answer>): Promise<void> {
    const at = new Date().toISOString();
    try {
      const answer = await ask();
      this.answers.push(answer);
      if (answer.status !== 200) this.failures.push(`${at} ${answer.status} ${answer.text}`);
    } catch (error) {
      this.failures.push(`${at} ${String(error)}`);
    }
  }
}
