import { createServer, get, type Server } from "node:http";

/**
 * One fixed address per app for Prometheus, which takes up new targets only every 5 s: `/<app>` answers with what
 * the pod of that app says at this moment, and 503 while there is none.
 */
export class MetricsRelay {
  readonly #server: Server;
  readonly #podOf: (app: string) => { address: string; port: number } | undefined;

  constructor(podOf: (app: string) => { address: string; port: number } | undefined) {
    this.#podOf = podOf;
    this.#server = createServer((request, response) => {
      const pod = this.#podOf((request.url ?? "").slice(1));
      const none = () => {
        if (!response.headersSent) response.statusCode = 503;
        response.end();
      };
      if (pod === undefined) return none();
      const scrape = get(
        { host: pod.address, port: pod.port, path: "/metrics", agent: false, timeout: 800 },
        (answer) => {
          response.setHeader("content-type", answer.headers["content-type"] ?? "text/plain");
          answer.pipe(response);
        },
      );
      scrape.once("error", none);
      scrape.once("timeout", () => scrape.destroy());
    });
  }

  /** @returns `host:port` */
  async start(): Promise<string> {
    await new Promise<void>((resolve, reject) => {
      this.#server.once("error", reject);
      this.#server.listen(0, "127.0.0.1", resolve);
    });
    const address = this.#server.address();
    return `127.0.0.1:${typeof address === "object" && address !== null ? address.port : 0}`;
  }

  async close(): Promise<void> {
    this.#server.closeAllConnections();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }
}
