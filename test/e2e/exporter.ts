import http from "node:http";
import type { AddressInfo } from "node:net";
import { setTimeout as pause } from "node:timers/promises";
import { findProgram, MISSING_PROMETHEUS, type PrometheusProcess, startPrometheus } from "@elasti/local";
import { request } from "./client.ts";
import { hostAddress } from "./world.ts";

/** Why a suite that asks a real Prometheus cannot run here; with CI=true the suite runs and fails. */
export const missingPrometheus =
  findProgram("prometheus", process.env.PATH) === undefined && process.env.CI !== "true" ? MISSING_PROMETHEUS : false;

/** A number per service, `load{service="web"}`, that a test sets and a Prometheus scrapes. */
export class Exporter {
  readonly #server: http.Server;
  readonly #load = new Map<string, number>();

  private constructor() {
    this.#server = http.createServer((_request, response) => {
      const lines = [...this.#load].map(([service, value]) => `load{service="${service}"} ${value}`);
      response.setHeader("content-type", "text/plain; version=0.0.4").end(`# TYPE load gauge\n${lines.join("\n")}\n`);
    });
  }

  static async start(): Promise<Exporter> {
    const exporter = new Exporter();
    await new Promise<void>((resolve) => exporter.#server.listen(0, "127.0.0.1", resolve));
    return exporter;
  }

  set(service: string, value: number): void {
    this.#load.set(service, value);
  }

  /**
   * A Prometheus of its own that scrapes this exporter every 200 ms, once it has watched for so long that its word counts.
   * @param options.settled false: at once, for those who do not ask how long it has been up
   */
  async prometheus({ settled = true }: { settled?: boolean } = {}): Promise<PrometheusProcess> {
    const { port } = this.#server.address() as AddressInfo;
    const scrapeTargets = [{ job: "exporter", addresses: [`127.0.0.1:${port}`] }];
    const prometheus = await startPrometheus({ host: hostAddress, scrapeTargets, scrapeIntervalMs: 200 });
    if (!settled) return prometheus;
    const query = encodeURIComponent('min_over_time((max(up{container="prometheus"}) or vector(0))[16s:1s]) == 1');
    const { hostname: host, port: at } = new URL(prometheus.url);
    for (;;) {
      const { text } = await request({ host, port: Number(at), path: `/api/v1/query?query=${query}` });
      if (JSON.parse(text).data.result.length > 0) return prometheus;
      await pause(500);
    }
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}

/** A trigger that is active from 1 on. */
export const loadTrigger = (service: string, metadata: Record<string, unknown> = {}) => ({
  type: "prometheus" as const,
  metadata: { query: `sum(load{service="${service}"})`, threshold: "1", ...metadata },
});
