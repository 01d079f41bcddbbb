import http from "node:http";
import https from "node:https";
import type { AddressInfo } from "node:net";
import { type OutboundCall, Stops } from "./stops.ts";

/** One request to the API server as a rule sees it. */
export type ApiCall = OutboundCall;

export interface ApiProxyOptions {
  /** Where it listens; an address of the node where those who dial it are in another network. */
  readonly host?: string;
  /** Of the API server, where that speaks TLS: PEM of its CA, and of a client certificate. Tokens pass through as they are. */
  readonly tls?: { readonly ca?: string; readonly cert?: string; readonly key?: string };
  readonly stops?: Stops;
}

/**
 * Stands between processes and an API server, and stops single calls: to kill their sender there. It speaks plain HTTP to the
 * processes. Lists and watches pass; everything else may be stopped.
 */
export class ApiProxy {
  readonly stops: Stops;
  readonly #server: http.Server;
  readonly #target: URL;
  readonly #tls: ApiProxyOptions["tls"];
  readonly #agent: http.Agent;

  private constructor(target: string, { tls, stops = new Stops() }: ApiProxyOptions) {
    this.#target = new URL(target);
    this.#tls = tls;
    this.stops = stops;
    this.#agent = new (this.#secure ? https : http).Agent({ keepAlive: true, maxSockets: 500 });
    this.#server = http.createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  static async start(target: string, options: ApiProxyOptions = {}): Promise<ApiProxy> {
    const proxy = new ApiProxy(target, options);
    await new Promise<void>((resolve) => proxy.#server.listen(0, options.host ?? "127.0.0.1", resolve));
    return proxy;
  }

  get url(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `http://${address.includes(":") ? `[${address}]` : address}:${port}`;
  }

  async close(): Promise<void> {
    this.stops.close();
    this.#server.closeAllConnections();
    this.#agent.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  get #secure(): boolean {
    return this.#target.protocol === "https:";
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    const { method = "GET", url = "/" } = request;
    const [rawPath = "", query = ""] = url.split("?");
    const path = decodeURIComponent(rawPath).replace(/^\/token\/[^/]+/, "");
    if (method === "GET" && isStreamed(path, query)) return this.#stream(request, response);
    const chunks: Buffer[] = [];
    for await (const chunk of request) chunks.push(chunk as Buffer);
    const body = Buffer.concat(chunks);
    const call = { via: "api", method, path, query, body: body.toString("utf8") } as const;
    const send = () => this.#send(request, body);
    const answer = await this.stops.pass(call, response, send, ({ status }) => status);
    if (!response.destroyed) response.writeHead(answer.status, answer.headers).end(answer.body);
  }

  #stream(request: http.IncomingMessage, response: http.ServerResponse): void {
    const upstream = this.#request({ ...this.#to(request), agent: false });
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
      const upstream = this.#request({ ...this.#to(request), agent: this.#agent });
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

  #request(options: http.RequestOptions): http.ClientRequest {
    return this.#secure ? https.request({ ...options, ...this.#tls }) : http.request(options);
  }

  #to({ method, url, headers }: http.IncomingMessage): http.RequestOptions {
    const { hostname, port } = this.#target;
    const { "transfer-encoding": _, connection: __, host: ___, ...kept } = headers;
    return { host: hostname, port, method, path: url, headers: kept };
  }
}

/** Lists and watches: of a collection, or discovery. Reads of single objects are not. */
function isStreamed(path: string, query: string): boolean {
  return (
    /(^|&)(watch|limit|labelSelector|fieldSelector)=/.test(query) || !/\/namespaces\/[^/]+\/[^/]+\/[^/]+/.test(path)
  );
}
