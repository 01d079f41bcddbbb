import type { ClientRequest, IncomingMessage } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { type Clock, errorText, http } from "@elasti/core";
import { createProxyServer, type ProxyServer } from "http-proxy-3";
import { answerSocket } from "../answers.ts";
import type { ForwardOptions, ForwardOutcome, PodTarget } from "../contracts.ts";
import { errors } from "../errors.ts";
import { reset } from "./client-side.ts";
import { dial } from "./dial.ts";
import { extraHeaders, forwardedFields } from "./headers.ts";

/** Gives out one connection that is already open. */
class OpenConnection extends http.Agent {
  readonly #socket: Socket;

  constructor(socket: Socket) {
    super({ keepAlive: false });
    this.#socket = socket;
  }

  override createConnection(): Socket {
    return this.#socket;
  }
}

/** One upgrade: from the open connection to the pod until both sides have ended. */
class Upgrade {
  readonly request: IncomingMessage;
  readonly #client: Duplex;
  readonly #pod: Socket;
  readonly #options: ForwardOptions;
  readonly #result = Promise.withResolvers<ForwardOutcome>();
  #status = 0;
  #podFailed = false;

  constructor(request: IncomingMessage, client: Duplex, pod: Socket, options: ForwardOptions) {
    this.request = request;
    this.#client = client;
    this.#pod = pod;
    this.#options = options;
  }

  /** Resolves when the client's connection has ended, and the pod's with it. */
  run(proxy: ProxyServer, head: Buffer): Promise<ForwardOutcome> {
    const client = this.#client;
    const pod = this.#pod;
    // up to here its end meant that it left; from here on it has only said all that it had to say
    client.allowHalfOpen = true;
    let clientFailed = false;
    client.on("error", () => {
      clientFailed = true;
      // before http-proxy-3 hears of it and ends the pod's side as if the client had said good-bye
      reset(pod);
    });
    client.once("close", () => {
      // a client that ended in good order has had its end passed on; anything else is passed on as what it was
      if (clientFailed || !client.readableEnded) reset(pod);
      else if (this.#status !== 101) pod.destroy();
      this.#result.resolve(
        this.#status === 0
          ? { kind: "client-left" }
          : { kind: "answered", status: this.#status, fromPod: !this.#podFailed },
      );
    });
    pod.on("error", () => {
      this.#podFailed = true;
    });
    pod.once("close", () => {
      if (this.#podFailed && this.#status !== 0) reset(client);
    });
    proxy.ws(
      this.request,
      client,
      head,
      {
        target: { host: "pod", port: pod.remotePort ?? 80, protocol: "http:" },
        agent: new OpenConnection(pod),
        toProxy: true,
        prependPath: false,
        // its own xfwd shows IPv4 peers of a dual-stack port in the IPv6 form
        headers: forwardedFields(this.request),
      },
      (error) => this.#onError(error),
    );
    return this.#result.promise;
  }

  /** Called with the request to the pod before http-proxy-3 listens to it. */
  watch(outgoing: ClientRequest): void {
    outgoing.on("upgrade", (answer) => {
      this.#status = answer.statusCode ?? 101;
      const extras = extraHeaders(this.#options);
      for (let i = 0; i < extras.length; i += 2) answer.headers[extras[i]!] = extras[i + 1]!;
    });
    outgoing.on("response", (answer) => {
      this.#status = answer.statusCode ?? 502;
      // http-proxy-3 writes without looking and knows no broken end: both are added here
      answer.on("data", () => {
        if (!this.#client.writableNeedDrain) return;
        answer.pause();
        this.#client.once("drain", () => answer.resume());
      });
      answer.on("error", () => {});
      answer.once("close", () => {
        if (!answer.complete) reset(this.#client);
      });
    });
  }

  #onError(error: Error): void {
    if (this.#client.destroyed) return;
    if (this.#status === 0) {
      this.#status = 502;
      this.#podFailed = true;
      answerSocket(
        this.#client,
        errors.ELASTI_FORWARD_FAILED(`the pod ended the connection without an answer: ${errorText(error)}`, {
          cause: error,
        }),
      );
    } else {
      reset(this.#client);
    }
  }
}

/**
 * Carries upgrades to WebSocket, and no others, with http-proxy-3's `ws`. The connection to the pod is opened here first, so that a refused one
 * leaves the request as it was and another pod can be tried; resets and half-closes are passed on in both directions.
 */
export class Upgrades {
  readonly #clock: Clock;
  readonly #connectTimeoutMs: number;
  readonly #proxy: ProxyServer = createProxyServer({});
  readonly #running = new Map<IncomingMessage, { upgrade: Upgrade; sockets: readonly Duplex[] }>();

  constructor(options: { clock: Clock; connectTimeoutMs: number }) {
    this.#clock = options.clock;
    this.#connectTimeoutMs = options.connectTimeoutMs;
    // errors of the client's socket end up here; each upgrade listens for itself
    this.#proxy.on("error", () => {});
    this.#proxy.on("proxyReqWs", (outgoing, request) => this.#running.get(request)?.upgrade.watch(outgoing));
  }

  async forward(
    request: IncomingMessage,
    socket: Duplex,
    head: Buffer,
    target: PodTarget,
    options: ForwardOptions,
  ): Promise<ForwardOutcome> {
    const leaving = new AbortController();
    const onLeave = () => leaving.abort(new Error("the client left"));
    const ignore = () => {};
    // without it a client's reset would end the process
    socket.on("error", ignore);
    socket.once("close", onLeave);
    if (socket.destroyed) onLeave();
    let pod: Socket;
    try {
      pod = await dial({
        address: target.address,
        port: target.port,
        timeoutMs: this.#connectTimeoutMs,
        clock: this.#clock,
        signal: leaving.signal,
        allowHalfOpen: true,
      });
    } catch (error) {
      if (leaving.signal.aborted) return { kind: "client-left" };
      return { kind: "not-sent", error: error instanceof Error ? error : new Error(String(error)) };
    } finally {
      socket.off("close", onLeave);
    }
    if (leaving.signal.aborted) {
      pod.destroy();
      return { kind: "client-left" };
    }
    const upgrade = new Upgrade(request, socket, pod, options);
    this.#running.set(request, { upgrade, sockets: [socket, pod] });
    try {
      return await upgrade.run(this.#proxy, head);
    } finally {
      this.#running.delete(request);
    }
  }

  /** Cuts every upgraded connection. */
  close(): void {
    for (const { sockets } of this.#running.values()) for (const socket of sockets) reset(socket);
  }
}
