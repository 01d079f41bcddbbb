import http from "node:http";
import type { Socket } from "node:net";
import type { SessionDown, SessionUp } from "@elasti/api";

type DownOf<T extends SessionDown["type"]> = Extract<SessionDown, { type: T }>;

/** A resolver's end of a session, driven by a test. */
export class TestResolver {
  readonly id: string;
  readonly socket: Socket;
  readonly #lines: SessionDown[] = [];
  readonly #waiters: (() => void)[] = [];
  readonly closed: Promise<unknown>;
  /** Called with every line as it comes. */
  onLine: ((line: SessionDown) => void) | undefined;

  constructor(id: string, socket: Socket) {
    this.id = id;
    this.socket = socket;
    this.closed = new Promise((resolve) => socket.once("close", resolve));
    let text = "";
    socket.on("error", () => {});
    socket.setEncoding("utf8");
    socket.on("data", (chunk: string) => {
      text += chunk;
      const parts = text.split("\n");
      text = parts.pop() ?? "";
      for (const part of parts) {
        const line = JSON.parse(part) as SessionDown;
        this.#lines.push(line);
        this.onLine?.(line);
      }
      for (const wake of this.#waiters.splice(0)) wake();
    });
  }

  send(line: SessionUp): void {
    this.socket.write(`${JSON.stringify(line)}\n`);
  }

  /** The next line of a type that was not taken yet. */
  async next<T extends SessionDown["type"]>(type: T): Promise<DownOf<T>> {
    for (;;) {
      const index = this.#lines.findIndex((line) => line.type === type);
      if (index >= 0) return this.#lines.splice(index, 1)[0] as DownOf<T>;
      await new Promise<void>((resolve) => this.#waiters.push(resolve));
    }
  }

  /** Says hello and waits for the welcome. */
  async hello(ports: number[] = [10_000], node = "node-a"): Promise<this> {
    this.send({ type: "hello", resolver: this.id, namespace: "elasti", node, addresses: ["10.0.0.1"], ports });
    await this.next("welcome");
    return this;
  }

  async leave(): Promise<void> {
    this.socket.destroy();
    await this.closed;
  }
}

export interface Refusal {
  readonly status: number;
  readonly headers: http.IncomingHttpHeaders;
  readonly body: string;
}

/** Asks for a session; gives the resolver's end, or what was answered instead. */
export function dialSession(port: number, id: string, token?: string): Promise<TestResolver | Refusal> {
  return new Promise((resolve, reject) => {
    const request = http.request({
      host: "127.0.0.1",
      port,
      path: "/informer/session",
      headers: {
        Connection: "Upgrade",
        Upgrade: "elasti-session",
        ...(token === undefined ? {} : { Authorization: `Bearer ${token}` }),
      },
    });
    request.on("upgrade", (_response, socket) => resolve(new TestResolver(id, socket as Socket)));
    request.on("response", async (response) => {
      let body = "";
      for await (const chunk of response.setEncoding("utf8")) body += chunk;
      resolve({ status: response.statusCode ?? 0, headers: response.headers, body });
    });
    request.on("error", reject);
    request.end();
  });
}
