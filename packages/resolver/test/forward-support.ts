import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import {
  type AddressInfo,
  connect,
  createServer as createTcpServer,
  type Socket,
  type Server as TcpServer,
} from "node:net";
import type { TestContext } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import type { ForwardOptions, ForwardOutcome, PodTarget } from "../src/contracts.ts";
import { type ForwarderOptions, PodForwarder } from "../src/forward/forwarder.ts";

export const portOf = (server: { address(): unknown }): number => (server.address() as AddressInfo).port;

export const target = (port: number, name = "pod"): PodTarget => ({ uid: name, name, address: "127.0.0.1", port });

/** Closes a server and all its connections when the test ends. */
function closeAfter(t: TestContext, server: TcpServer): void {
  const sockets = new Set<Socket>();
  server.on("connection", (socket: Socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("close", () => sockets.delete(socket));
  });
  t.after(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
}

/** A pod that speaks bytes. */
export async function rawPod(t: TestContext, onSocket: (socket: Socket, index: number) => void): Promise<PodTarget> {
  let index = 0;
  const server = createTcpServer({ allowHalfOpen: true }, (socket) => onSocket(socket, index++));
  closeAfter(t, server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return target(portOf(server));
}

/** A pod that reads one whole head and then does `answer`. Heads it saw are kept. */
export async function headPod(
  t: TestContext,
  answer: (socket: Socket, head: string, index: number) => void,
): Promise<{ pod: PodTarget; heads: string[]; connections: () => number }> {
  const heads: string[] = [];
  let connections = 0;
  const pod = await rawPod(t, (socket) => {
    connections += 1;
    let text = "";
    socket.on("end", () => socket.end());
    socket.on("data", (chunk) => {
      text += chunk.toString("latin1");
      for (let end = text.indexOf("\r\n\r\n"); end >= 0; end = text.indexOf("\r\n\r\n")) {
        const head = text.slice(0, end);
        text = text.slice(end + 4);
        heads.push(head);
        answer(socket, head, heads.length - 1);
      }
    });
  });
  return { pod, heads, connections: () => connections };
}

/** A pod with Node's HTTP server. */
export async function httpPod(
  t: TestContext,
  handler: (request: IncomingMessage, response: ServerResponse) => void,
): Promise<{ pod: PodTarget; server: Server }> {
  const server = createServer({ keepAliveTimeout: 60_000 }, handler);
  closeAfter(t, server);
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return { pod: target(portOf(server)), server };
}

/** An address that nobody listens on. */
export async function deadPod(): Promise<PodTarget> {
  const server = createTcpServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const port = portOf(server);
  server.close();
  await once(server, "close");
  return target(port, "dead");
}

export interface Front {
  readonly port: number;
  readonly forwarder: PodForwarder;
  readonly clock: ManualClock;
  /** What became of each request, in order of arrival; its promise is there as soon as the request is. */
  readonly outcomes: Promise<ForwardOutcome>[];
  nextOutcome(): Promise<ForwardOutcome>;
}

/** An HTTP server that forwards every request to the pod, or the pods one after another while nothing was sent. */
export async function front(
  t: TestContext,
  pods: PodTarget | readonly PodTarget[],
  options: Partial<ForwardOptions> & { forwarder?: Partial<ForwarderOptions> } = {},
): Promise<Front> {
  const { forwarder: settings, ...given } = options;
  const clock = new ManualClock();
  const forwarder = new PodForwarder({ clock, ...settings });
  const outcomes: Promise<ForwardOutcome>[] = [];
  let seen = 0;
  let wake = Promise.withResolvers<void>();
  const list: readonly PodTarget[] = Array.isArray(pods) ? pods : [pods];
  const take = (run: (pod: PodTarget) => Promise<ForwardOutcome>) => {
    outcomes.push(
      (async () => {
        let outcome: ForwardOutcome | undefined;
        for (const pod of list) {
          outcome = await run(pod);
          if (outcome.kind !== "not-sent") break;
        }
        return outcome!;
      })(),
    );
    wake.resolve();
    wake = Promise.withResolvers();
  };
  const forwardOptions: ForwardOptions = { closeConnection: false, ...given };
  const onRequest = (request: IncomingMessage, response: ServerResponse) =>
    take((pod) => forwarder.http(request, response, pod, forwardOptions));
  const server = createServer({ keepAliveTimeout: 60_000, requireHostHeader: false }, onRequest);
  server.on("checkContinue", onRequest);
  server.on("upgrade", (request, socket, head) =>
    take((pod) => forwarder.upgrade(request, socket, head, pod, forwardOptions)),
  );
  server.on("clientError", (_error, socket) => socket.destroy());
  closeAfter(t, server);
  t.after(() => forwarder.close());
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: portOf(server),
    forwarder,
    clock,
    outcomes,
    async nextOutcome() {
      while (outcomes.length <= seen) await wake.promise;
      return outcomes[seen++]!;
    },
  };
}

/** A client that speaks bytes. */
export class RawClient {
  readonly socket: Socket;
  #text = "";
  #ended: "end" | "reset" | undefined;
  #wake = Promise.withResolvers<void>();

  constructor(t: TestContext, port: number) {
    this.socket = connect({ port, host: "127.0.0.1", allowHalfOpen: true, noDelay: true });
    t.after(() => this.socket.destroy());
    this.socket.on("data", (chunk) => {
      this.#text += chunk.toString("latin1");
      this.#stir();
    });
    this.socket.on("error", () => {
      this.#ended = "reset";
      this.#stir();
    });
    this.socket.on("end", () => {
      this.#ended ??= "end";
      this.#stir();
    });
  }

  #stir(): void {
    this.#wake.resolve();
    this.#wake = Promise.withResolvers();
  }

  get text(): string {
    return this.#text;
  }

  send(text: string | Buffer): this {
    if (typeof text === "string") this.socket.write(text, "latin1");
    else this.socket.write(text);
    return this;
  }

  /** Everything received so far, once it contains `part`. Throws when the connection ends without it. */
  async until(part: string): Promise<string> {
    while (!this.#text.includes(part)) {
      if (this.#ended !== undefined) throw new Error(`${this.#ended} before ${JSON.stringify(part)}: ${this.#text}`);
      await this.#wake.promise;
    }
    return this.#text;
  }

  /** How the connection ended, and all that was received. */
  async end(): Promise<{ how: "end" | "reset"; text: string }> {
    while (this.#ended === undefined) await this.#wake.promise;
    return { how: this.#ended, text: this.#text };
  }

  forget(): void {
    this.#text = "";
  }
}

/** A pod of loopback whose connects hang: its process is stopped, and its backlog of one is full. */
export async function hangingPod(t: TestContext): Promise<PodTarget> {
  const program =
    'const server = require("node:net").createServer().listen({ host: "127.0.0.1", port: 0, backlog: 1 }, () => console.log(server.address().port))';
  const child = spawn(process.execPath, ["-e", program], { stdio: ["ignore", "pipe", "inherit"] });
  t.after(() => child.kill("SIGKILL"));
  const [line] = (await once(child.stdout, "data")) as [Buffer];
  child.kill("SIGSTOP");
  const port = Number(line.toString());
  // the kernel answers backlog + 1 connects for a process that accepts none, and no more
  for (let count = 0; count < 2; count++) {
    const filler = connect({ host: "127.0.0.1", port });
    t.after(() => filler.destroy());
    await once(filler, "connect");
  }
  return target(port);
}
