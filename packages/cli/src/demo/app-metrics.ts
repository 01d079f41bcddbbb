import { createServer, type Server } from "node:http";
import { errorText, type Logger } from "@elasti/core";

export interface PodAddress {
  readonly name: string;
  readonly address: string;
}

/**
 * One address that stands for the metrics of all pods of the app, each series with the name of its pod. Prometheus takes up
 * new targets only every 5 s, which is longer than a demo wants to wait.
 */
export class AppMetrics {
  readonly #server: Server;
  readonly #logger: Logger;
  readonly #port: number;
  /** The pods of this moment. */
  pods: () => readonly PodAddress[] = () => [];

  constructor(options: { logger: Logger; port: number }) {
    this.#logger = options.logger;
    this.#port = options.port;
    this.#server = createServer((_request, response) => {
      void this.#collect().then((text) =>
        response.setHeader("content-type", "text/plain; version=0.0.4; charset=utf-8").end(text),
      );
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

  async #collect(): Promise<string> {
    const parts = await Promise.all(this.pods().map((pod) => this.#scrape(pod)));
    return mergeMetrics(parts);
  }

  async #scrape({ name, address }: PodAddress): Promise<{ pod: string; text: string }> {
    try {
      const answer = await fetch(`http://${address}:${this.#port}/metrics`, { signal: AbortSignal.timeout(800) });
      return { pod: name, text: answer.ok ? await answer.text() : "" };
    } catch (error) {
      // it starts or it ends
      this.#logger.debug({ pod: name, error: errorText(error) }, "pod could not be scraped");
      return { pod: name, text: "" };
    }
  }
}

/** Texts in Prometheus' format as one: every series gets a label `pod`, a family's HELP and TYPE stand once, before it. */
export function mergeMetrics(parts: readonly { pod: string; text: string }[]): string {
  const families = new Map<string, string[]>();
  for (const { pod, text } of parts) {
    let family: string[] | undefined;
    for (const line of text.split("\n")) {
      const comment = /^# (HELP|TYPE) (\S+)/.exec(line);
      if (comment !== null) {
        const name = comment[2]!;
        family = families.get(name) ?? [];
        families.set(name, family);
        if (!family.includes(line)) family.push(line);
        continue;
      }
      const series = /^([a-zA-Z_:][\w:]*)(?:\{(.*)\})? (.+)$/.exec(line);
      if (series === null) continue;
      const [, name = "", labels = "", value] = series;
      if (family === undefined) {
        family = families.get(name) ?? [];
        families.set(name, family);
      }
      family.push(`${name}{pod="${pod}"${labels === "" ? "" : `,${labels}`}} ${value}`);
    }
  }
  return [...families.values()]
    .flat()
    .map((line) => `${line}\n`)
    .join("");
}
