import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { paths, SESSION_PROTOCOL } from "@elasti/api";
import { type Clock, type ElastiError, http } from "@elasti/core";
import { operatorErrors } from "../errors.ts";
import type { Authenticator } from "./auth.ts";
import { problemAnswer } from "./problem-reply.ts";

/** Takes sockets that have become sessions. */
export interface SessionAcceptor {
  /** Whether another one would be one too many. */
  readonly full: boolean;
  accept(socket: Duplex, head: Buffer): void;
}

/** How long authentication may take before the socket is given up. */
const authenticationMs = 10_000;

/** Only a request for a session is an upgrade here; any other request with that header is a plain request. */
export function isSessionUpgrade(request: IncomingMessage): boolean {
  return (
    request.method === "GET" &&
    request.url?.split("?")[0] === paths.session &&
    request.headers.upgrade?.toLowerCase() === SESSION_PROTOCOL
  );
}

/** Authenticates requests for a session, and hands their sockets over. Ends all of them when it closes. */
export class SessionUpgrades {
  readonly #authenticator: Authenticator;
  readonly #sessions: SessionAcceptor;
  readonly #clock: Clock;
  readonly #sockets = new Set<Duplex>();
  #closed = false;

  constructor(deps: { authenticator: Authenticator; sessions: SessionAcceptor; clock: Clock }) {
    this.#authenticator = deps.authenticator;
    this.#sessions = deps.sessions;
    this.#clock = deps.clock;
  }

  async handle(request: IncomingMessage, socket: Duplex, head: Buffer): Promise<void> {
    // without a listener a reset during authentication would end the process
    socket.on("error", () => socket.destroy());
    socket.on("close", () => this.#sockets.delete(socket));
    this.#sockets.add(socket);
    const deadline = this.#clock.after(authenticationMs, () => socket.destroy());
    const outcome = await this.#authenticator.authenticate(request.headers.authorization);
    deadline.cancel();
    if (socket.destroyed) return;
    if (!outcome.ok) refuse(socket, outcome.error);
    else if (this.#closed) refuse(socket, operatorErrors.ELASTI_SERVER_CLOSING("this replica is stopping"));
    else if (this.#sessions.full) {
      refuse(socket, operatorErrors.ELASTI_TOO_MANY_SESSIONS("this replica takes no further session"));
    } else {
      socket.write(`HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: ${SESSION_PROTOCOL}\r\n\r\n`);
      this.#sessions.accept(socket, head);
    }
  }

  close(): void {
    this.#closed = true;
    for (const socket of this.#sockets) socket.destroy();
  }
}

function refuse(socket: Duplex, error: ElastiError): void {
  const answer = problemAnswer(error, paths.session);
  const body = JSON.stringify(answer.body);
  const head = Object.entries({
    ...answer.headers,
    "content-length": String(Buffer.byteLength(body)),
    connection: "close",
  });
  socket.end(
    `HTTP/1.1 ${answer.status} ${http.STATUS_CODES[answer.status] ?? ""}\r\n${head.map(([name, value]) => `${name}: ${value}\r\n`).join("")}\r\n${body}`,
    () => socket.destroy(),
  );
}
