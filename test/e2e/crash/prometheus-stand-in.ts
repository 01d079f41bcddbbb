import http from "node:http";
import type { AddressInfo } from "node:net";
import type { Stops } from "../stops.ts";

/**
 * Answers the instant queries of `loadTrigger` as a Prometheus would that scrapes at the very moment: a number per service that
 * a test sets, and an uptime without a gap. Each query may be stopped.
 */
export class PrometheusStandIn {
  readonly #server: http.Server;
  readonly #stops: Stops;
  readonly #load = new Map<string, number>();

  private constructor(stops: Stops) {
    this.#stops = stops;
    this.#server = http.createServer((request, response) => {
      this.#handle(request, response).catch(() => response.destroy());
    });
  }

  static async start(stops: Stops, host = "127.0.0.1"): Promise<PrometheusStandIn> {
    const standIn = new PrometheusStandIn(stops);
    await new Promise<void>((resolve) => standIn.#server.listen(0, host, resolve));
    return standIn;
  }

  get url(): string {
    const { address, port } = this.#server.address() as AddressInfo;
    return `http://${address}:${port}`;
  }

  set(service: string, value: number): void {
    this.#load.set(service, value);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  async #handle(request: http.IncomingMessage, response: http.ServerResponse): Promise<void> {
    let text = "";
    for await (const chunk of request) text += chunk;
    const body = new URLSearchParams(text).get("query") ?? "";
    const { method = "", url: path = "" } = request;
    const value = await this.#stops.pass(
      { via: "prometheus", method, path, query: "", body },
      response,
      async () => this.#answer(body),
      () => 200,
    );
    const result = value === undefined ? [] : [{ metric: {}, value: [Date.now() / 1_000, String(value)] }];
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify({ status: "success", data: { resultType: "vector", result } }));
  }

  #answer(query: string): number | undefined {
    const service = /^sum\(load\{service="([^"]+)"\}\)$/.exec(query)?.[1];
    return service === undefined ? 1 : this.#load.get(service);
  }
}
