import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { paths, type SessionDown, type SessionUp } from "@elasti/api";
import type { Stops } from "../stops.ts";

/**
 * Stands between the resolvers and one operator: notifications and sessions pass, and each `prove` and `seal` that goes down
 * may be stopped. Stopped after it, the resolver has it and its answer is kept back.
 */
export class SessionProxy {
  readonly #server: Server;
  readonly #stops: Stops;
  readonly #upstream: () => { host: string; port: number };
  readonly #sockets = new Set<Socket>();

  private constructor(stops: Stops, upstream: () => { host: string; port: number }) {
    this.#stops = stops;
    this.#upstream = upstream;
    this.#server = createServer((socket) => this.#accept(socket));
  }

  /** @param upstream where the operator listens, asked for each connection */
  static async start(options: {
    stops: Stops;
    upstream: () => { host: string; port: number };
    host?: string;
  }): Promise<SessionProxy> {
    const proxy = new SessionProxy(options.stops, options.upstream);
    await new Promise<void>((resolve) => proxy.#server.listen(0, options.host ?? "127.0.0.1", resolve));
    return proxy;
  }

  get address(): { host: string; port: number } {
    const { address, port } = this.#server.address() as AddressInfo;
    return { host: address, port };
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(resolver: Socket): void {
    const operator = connect(this.#upstream());
    for (const socket of [resolver, operator]) {
      this.#sockets.add(socket);
      socket.on("error", () => socket.destroy());
      socket.on("close", () => this.#sockets.delete(socket));
    }
    resolver.on("close", () => operator.destroy());
    operator.on("close", () => resolver.destroy());
    resolver.once("data", (first: Buffer) => {
      operator.write(first);
      if (first.toString("latin1").startsWith(`GET ${paths.session}`))
        new SessionRelay(resolver, operator, this.#stops);
      else {
        resolver.pipe(operator);
        operator.pipe(resolver);
      }
    });
  }
}

type Asked = Extract<SessionDown, { type: "prove" | "seal" }>;

/** One session, line by line. */
class SessionRelay {
  readonly #resolver: Socket;
  readonly #operator: Socket;
  readonly #stops: Stops;
  /** Answers that are waited for. */
  readonly #answers = new Map<string, (line: string) => void>();

  constructor(resolver: Socket, operator: Socket, stops: Stops) {
    this.#resolver = resolver;
    this.#operator = operator;
    this.#stops = stops;
    let upgraded = false;
    let down = "";
    operator.on("data", (chunk: Buffer) => {
      down += chunk.toString("utf8");
      if (!upgraded) {
        const end = down.indexOf("\r\n\r\n");
        if (end < 0) return;
        resolver.write(down.slice(0, end + 4));
        down = down.slice(end + 4);
        upgraded = true;
      }
      const lines = down.split("\n");
      down = lines.pop() ?? "";
      for (const line of lines) this.#down(line);
    });
    let up = "";
    resolver.on("data", (chunk: Buffer) => {
      up += chunk.toString("utf8");
      const lines = up.split("\n");
      up = lines.pop() ?? "";
      for (const line of lines) this.#up(line);
    });
  }

  #down(text: string): void {
    const line = text === "" ? undefined : (JSON.parse(text) as SessionDown);
    if (line?.type !== "prove" && line?.type !== "seal") {
      this.#resolver.write(`${text}\n`);
      return;
    }
    const { namespace, service } = line;
    const call = { via: "session", method: line.type, path: `${namespace}/${service}`, query: "", body: text } as const;
    const ask = () =>
      new Promise<string>((resolve) => {
        this.#answers.set(keyOfAsked(line), resolve);
        this.#resolver.write(`${text}\n`);
      });
    this.#stops
      .pass(call, this.#operator, ask, () => 0)
      .then((answer) => void this.#operator.write(`${answer}\n`))
      .catch(() => {});
  }

  #up(text: string): void {
    const line = text === "" ? undefined : (JSON.parse(text) as SessionUp);
    const key = line === undefined ? undefined : keyOfAnswer(line);
    const waiting = key === undefined ? undefined : this.#answers.get(key);
    if (waiting === undefined) {
      this.#operator.write(`${text}\n`);
      return;
    }
    this.#answers.delete(key!);
    waiting(text);
  }
}

const keyOfAsked = (line: Asked): string =>
  line.type === "prove" ? `prove ${line.proof}` : `seal ${line.namespace}/${line.service} ${line.epoch}`;

function keyOfAnswer(line: SessionUp): string | undefined {
  if (line.type === "dialled") return `prove ${line.proof}`;
  return line.type === "sealed" ? `seal ${line.namespace}/${line.service} ${line.epoch}` : undefined;
}
