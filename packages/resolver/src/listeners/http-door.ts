import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Socket } from "node:net";
import { Duplex } from "node:stream";
import { http } from "@elasti/core";
import { errors } from "../errors.ts";
import { MAX_HEAD_BYTES } from "./head-scan.ts";

export interface HttpDoorOptions {
  readonly onRequest: (request: IncomingMessage, response: ServerResponse) => void;
  readonly onUpgrade: (request: IncomingMessage, socket: Duplex, head: Buffer) => void;
  readonly onConnect: (request: IncomingMessage, socket: Duplex) => void;
  /** What arrived cannot be parsed, or a head did not arrive in time. */
  readonly onClientError: (error: NodeJS.ErrnoException, socket: Duplex) => void;
  /** An idle connection is closed after this; longer than clients keep theirs. */
  readonly keepAliveTimeoutMs: number;
  /** A head that has begun, on a connection that was used before, must be whole within this. */
  readonly headTimeoutMs: number;
}

/**
 * The HTTP server that all connections are handed to. It never listens itself. Time-outs of whole requests are off: a held
 * request may wait, and a body may take as long as it takes.
 */
export class HttpDoor {
  readonly #server: Server;

  constructor(options: HttpDoorOptions) {
    this.#server = http.createServer({
      keepAliveTimeout: options.keepAliveTimeoutMs,
      headersTimeout: options.headTimeoutMs,
      requestTimeout: 0,
      maxHeaderSize: MAX_HEAD_BYTES,
      // Checked by the request path, which names the reason.
      requireHostHeader: false,
      shouldUpgradeCallback: isUpgrade,
    });
    this.#server.on("request", options.onRequest);
    // What is expected is seen to when the body is wanted. Without these, the server would answer by itself, with 100 at
    // once and with 417 to what it does not know, and the request's leave would never be given back.
    this.#server.on("checkContinue", options.onRequest);
    this.#server.on("checkExpectation", options.onRequest);
    this.#server.on("upgrade", options.onUpgrade);
    this.#server.on("connect", options.onConnect);
    this.#server.on("clientError", options.onClientError);
  }

  /**
   * Switches the tracking of connections on, without which none of the time-outs above is enforced, and makes sure of it.
   * @throws ELASTI_TRACKING_OFF when this Node.js does it in another way
   */
  start(): void {
    // Node.js sets its connection list and its check timer up when a server begins to listen.
    this.#server.emit("listening");
    const idle = new Duplex({ read() {}, write: (_chunk, _encoding, done) => done() });
    this.#server.emit("connection", idle);
    this.#server.closeAllConnections();
    if (idle.destroyed) return;
    idle.destroy();
    throw errors.ELASTI_TRACKING_OFF("an http.Server that does not listen keeps no list of its connections");
  }

  accept(socket: Socket): void {
    this.#server.emit("connection", socket);
  }

  /** Closes connections without a request. */
  closeIdle(): void {
    this.#server.closeIdleConnections();
  }

  /** Closes everything, whatever is under way, and stops the timers. */
  close(): void {
    this.#server.closeAllConnections();
    // The callback's error says that the server was not listening, which it never is.
    this.#server.close(() => {});
  }
}

/**
 * WebSocket alone. Any other wish is overlooked, as RFC 9110 section 7.8 allows, and the request is a plain one: above all
 * h2c (RFC 9113 dropped it, and it smuggles).
 */
function isUpgrade({ headers, httpVersionMinor, method }: IncomingMessage): boolean {
  return method === "GET" && httpVersionMinor === 1 && headers.upgrade?.toLowerCase() === "websocket";
}
