import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import type { PrometheusTrigger } from "../src/index.ts";

export interface Asked {
  readonly path: string;
  readonly query: string;
  readonly headers: IncomingMessage["headers"];
}

/** Answers queries as a test says: for what cannot be had from a real Prometheus. */
export class PrometheusStub {
  readonly asked: Asked[] = [];
  /** Gives the answer to a query; the default is `{}` at 1 and health that is well. */
  answer: (query: string, response: ServerResponse) => void = (_query, response) => reply(response, vector("1"));
  readonly #server = createServer((request, response) => void this.#serve(request, response));
  running = 0;
  mostRunning = 0;

  async listen(): Promise<string> {
    await new Promise<void>((resolve) => this.#server.listen(0, "127.0.0.1", resolve));
    return this.url;
  }

  get url(): string {
    return `http://127.0.0.1:${(this.#server.address() as AddressInfo).port}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  async #serve(request: IncomingMessage, response: ServerResponse): Promise<void> {
    let text = "";
    for await (const chunk of request) text += chunk;
    const query = new URLSearchParams(text).get("query") ?? "";
    this.asked.push({ path: `${request.method} ${request.url}`, query, headers: request.headers });
    this.running += 1;
    this.mostRunning = Math.max(this.mostRunning, this.running);
    response.once("close", () => {
      this.running -= 1;
    });
    this.answer(query, response);
  }
}

export function reply(response: ServerResponse, body: unknown, status = 200): void {
  response.writeHead(status, { "content-type": "application/json" });
  response.end(typeof body === "string" ? body : JSON.stringify(body));
}

export function success(data: unknown, more: object = {}): object {
  return { status: "success", data, ...more };
}

/** A vector with one series per value. */
export function vector(...values: unknown[]): object {
  return success({ resultType: "vector", result: values.map((value) => ({ metric: {}, value: [1, value] })) });
}

export function trigger(server: string, more: Partial<PrometheusTrigger> = {}): PrometheusTrigger {
  return {
    server,
    query: "sum(rate(requests_total[1m]))",
    threshold: 0.5,
    uptimeFilter: 'container="prometheus"',
    uptimeFilterIsDefault: true,
    headers: {},
    timeoutMs: 30_000,
    ...more,
  };
}
