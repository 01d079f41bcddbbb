import { EventEmitter, once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";

/** What the triggers of ScaledObjects say, by the ScaledObject's name, and how often KEDA has asked. Idle at first. */
export class Triggers {
  readonly #active = new Set<string>();
  readonly #asked = new Map<string, number>();
  readonly #questions = new EventEmitter({ captureRejections: false }).setMaxListeners(0);

  setActive(name: string, active: boolean): void {
    if (active) this.#active.add(name);
    else this.#active.delete(name);
  }

  /** KEDA's question. */
  ask(name: string): boolean {
    this.#asked.set(name, this.asked(name) + 1);
    this.#questions.emit(name);
    return this.#active.has(name);
  }

  /** How often KEDA has asked. */
  asked(name: string): number {
    return this.#asked.get(name) ?? 0;
  }

  /** Resolves when KEDA has gone through so many more whole rounds: it writes after it has asked, and before it asks again. */
  async rounds(name: string, rounds = 2): Promise<void> {
    const until = this.asked(name) + rounds + 1;
    const signal = AbortSignal.timeout(60_000);
    while (this.asked(name) < until) await once(this.#questions, name, { signal });
  }

  /** Answers by HTTP, as KEDA's trigger `metrics-api` asks: `GET /<ScaledObject>` -> `{"value": 0 or 1}`. */
  async serve(host: string): Promise<TriggerServer> {
    const server = http.createServer(({ url = "/" }, response) => {
      response.setHeader("content-type", "application/json");
      response.end(JSON.stringify({ value: this.ask(url.slice(1)) ? 1 : 0 }));
    });
    server.listen(0, host);
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    return {
      triggerOf: (name) => ({
        type: "metrics-api",
        metadata: { url: `http://${host}:${port}/${name}`, valueLocation: "value", targetValue: "1" },
      }),
      close: async () => {
        server.closeAllConnections();
        await new Promise((resolve) => server.close(resolve));
      },
    };
  }
}

export interface TriggerServer {
  /** For `spec.triggers` of the ScaledObject of that name. */
  triggerOf(name: string): Trigger;
  close(): Promise<void>;
}

export interface Trigger {
  readonly type: string;
  readonly metadata: Readonly<Record<string, string>>;
}
