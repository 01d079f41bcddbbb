import { connect, createServer, type Server, type Socket } from "node:net";
import type { Clock } from "@elasti/core";
import { type AnswerHead, readHead } from "./answer.ts";

const MAX_HEAD = 16_384;

export interface FrontDoorOptions {
  readonly clock: Clock;
  /** Cluster IP and port of the Service. */
  readonly target: { readonly host: string; readonly port: number };
  /** Where the Service sees the clients come from. */
  readonly clientAddress: string;
  /** The first bytes of a connection have come. */
  readonly onRequest: (at: number) => void;
  /** The head of the first answer on a connection has come. */
  readonly onAnswer: (head: AnswerHead, askedAt: number, answeredAt: number) => void;
}

/**
 * The way in for whoever tries the demo: an address of the machine, from which bytes go to the Service and back, as a node
 * port would lead them. It looks at what passes and changes nothing.
 */
export class FrontDoor {
  readonly #options: FrontDoorOptions;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  constructor(options: FrontDoorOptions) {
    this.#options = options;
    this.#server = createServer({ allowHalfOpen: true, noDelay: true }, (client) => this.#accept(client));
  }

  /** Listens on the first port that is free, 0 for any. */
  async start(ports: readonly number[]): Promise<number> {
    for (const port of ports) {
      const opened = await new Promise<boolean>((resolve) => {
        this.#server.once("error", () => resolve(false));
        this.#server.listen({ host: "127.0.0.1", port }, () => {
          this.#server.removeAllListeners("error");
          resolve(true);
        });
      });
      const address = this.#server.address();
      if (opened && typeof address === "object" && address !== null) return address.port;
    }
    throw new Error(`none of the ports ${ports.join(", ")} of 127.0.0.1 is free`);
  }

  async close(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (!this.#server.listening) return;
    await new Promise<void>((resolve) => this.#server.close(() => resolve()));
  }

  #accept(client: Socket): void {
    const { target, clientAddress, clock, onRequest, onAnswer } = this.#options;
    const upstream = connect({ ...target, localAddress: clientAddress, allowHalfOpen: true, noDelay: true });
    for (const [socket, other] of [
      [client, upstream],
      [upstream, client],
    ] as const) {
      this.#sockets.add(socket);
      socket.once("error", () => other.destroy());
      socket.once("close", () => {
        this.#sockets.delete(socket);
        if (!socket.readableEnded) other.destroy();
      });
    }
    let askedAt = 0;
    client.once("data", () => {
      askedAt = clock.now();
      onRequest(askedAt);
    });
    let text = "";
    const onData = (chunk: Buffer) => {
      text += chunk.toString("latin1");
      const head = readHead(text);
      if (head === undefined && text.length < MAX_HEAD) return;
      upstream.off("data", onData);
      if (head !== undefined) onAnswer(head, askedAt, clock.now());
    };
    upstream.on("data", onData);
    client.pipe(upstream);
    upstream.pipe(client);
  }
}
