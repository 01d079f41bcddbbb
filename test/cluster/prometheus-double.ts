import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import { text } from "node:stream/consumers";
import { hostAddress } from "../e2e/world.ts";

/** Answers as a Prometheus that has always been up, with the load per service that a test sets; for tests of other things. */
export class PrometheusDouble {
  readonly #server: http.Server;
  readonly #load = new Map<string, number>();

  private constructor() {
    this.#server = http.createServer(async (request, response) => {
      const query = new URLSearchParams(await text(request)).get("query") ?? "";
      const service = /service="([^"]+)"/.exec(query)?.[1];
      const value = service === undefined ? 1 : (this.#load.get(service) ?? 0);
      const result = [{ metric: {}, value: [Date.now() / 1000, String(value)] }];
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ status: "success", data: { resultType: "vector", result } }));
    });
  }

  static async start(): Promise<PrometheusDouble> {
    const double = new PrometheusDouble();
    double.#server.listen(0, hostAddress);
    await once(double.#server, "listening");
    return double;
  }

  get url(): string {
    return `http://${hostAddress}:${(this.#server.address() as AddressInfo).port}`;
  }

  set(service: string, value: number): void {
    this.#load.set(service, value);
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
