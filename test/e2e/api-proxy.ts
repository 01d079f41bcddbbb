import http from "node:http";
import type { AddressInfo } from "node:net";

/** One request to the API server as a rule sees it. */
export interface ApiCall {
  readonly method: string;
  /** Path without query. */
  readonly path: string;
  readonly body: string;
}

/** A request that has been stopped on its way. */
export interface Stopped {
  /** Resolves when it is there. */
  readonly arrived: Promise<ApiCall>;
  /** Sends it on, even when whoever sent it is gone; resolves with the API server's status. */
  release(): Promise<number>;
}

interface Rule {
  readonly fits: (call: ApiCall) => boolean;
  readonly when: "before" | "after";
  readonly arrived: PromiseWithResolvers<ApiCall>;
  readonly released: PromiseWithResolvers<void>;
  readonly status: PromiseWithResolvers<number>;
}

/** Stands between processes and an API server that speaks plain HTTP, and stops single requests: to kill their sender there. */
export class ApiProxy {
  readonly #server: http.Server;
  readonly #target: URL;
  readonly #rules = new Set<Rule>();
  readonly #agent = new http.Agent({ keepAlive: true, maxSockets: 500 });

  private constructor(target: string) {
    this.#target = new URL(target);
    this.#server = http.createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  static async start(target: string): Promise<ApiProxy> {
    const proxy = new ApiProxy(target);
    await new Promise<void>((resolve) => proxy.#server.listen(0, "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  /**
   * Stops the next write that fits: before it reaches the API server, or after it did, with its answer on the way back.
   */
  stop(when: Rule["when"], fits: Rule["fits"]): Stopped {
    const rule: Rule = {
      fits,
      when,
      arrived: Promise.withResolvers(),
      released: Promise.withResolvers(),
      status: Promise.withResolvers(),
    };
    rule.status.promise.catch(() => {});
    this.#rules.add(rule);
    return {
      arrived: rule.arrived.promise,
      release: () => {
        this.#rules.delete(rule);
        rule.released.resolve();
        return rule.status.promise;
      },
    };
  }

  async close(): Promise<void> {
    for (const { released } of this.#rules) released.resolve();
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { method = "GET", url = "/" } = request;
    if (method === "GET") return this.#pass(request, response);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const path = decodeURIComponent(url.split("?")[0] ?? "").replace(/^\/token\/[^/]+/, "");
    const call = { method, path, body: body.toString("utf8") };
    const rule = [...this.#rules].find((one) => one.fits(call));
    if (rule !== undefined) this.#rules.delete(rule);
    if (rule?.when === "before") {
      rule.arrived.resolve(call);
      await rule.released.promise;
    }
    const answer = await this.#send(request, body);
    rule?.status.resolve(answer.status);
    if (rule?.when === "after") {
      rule.arrived.resolve(call);
      await rule.released.promise;
    }
    if (!response.destroyed) response.writeHead(answer.status, answer.headers).end(answer.body);
  }

  /** Reads and watches: streamed. */
  #pass(request: http.IncomingMessage, response: http.ServerResponse): void {
    const upstream = http.request({ ...this.#to(request), agent: false });
    upstream.on("response", (answer) => {
      response.writeHead(answer.statusCode ?? 502, answer.headers);
      response.flushHeaders();
      answer.on("error", () => response.destroy());
      answer.pipe(response);
    });
    upstream.on("error", () => response.destroy());
    response.on("close", () => upstream.destroy());
    upstream.end();
  }

  #send(
    request: http.IncomingMessage,
    body: Buffer,
  ): Promise<{ status: number; headers: http.OutgoingHttpHeaders; body: Buffer }> {
    return new Promise((resolve, reject) => {
      const upstream = http.request({ ...this.#to(request), agent: this.#agent });
      upstream.on("error", reject);
      upstream.on("response", (answer) => {
        const chunks: Buffer[] = [];
        answer.on("data", (chunk: Buffer) => chunks.push(chunk));
        answer.on("error", reject);
        answer.on("end", () => {
          const { "transfer-encoding": _, ...headers } = answer.headers;
          resolve({ status: answer.statusCode ?? 502, headers, body: Buffer.concat(chunks) });
        });
      });
      upstream.end(body);
    });
  }

  #to({ method, url, headers }: http.IncomingMessage): http.RequestOptions {
    const { hostname, port } = this.#target;
    const { "transfer-encoding": _, connection: __, ...kept } = headers;
    return { host: hostname, port, method, path: url, headers: kept };
  }
}
