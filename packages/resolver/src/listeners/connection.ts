import type { Socket } from "node:net";
import type { ElastiError } from "@elasti/core";
import type { Admission, Hold, Ticket } from "../gate/hold.ts";
import type { Route } from "../routes.ts";
import type { DeadlineEntry } from "./deadline-list.ts";

/**
 * silent: no byte yet. head: bytes, but no whole head. held: waits in a gate as a raw socket. handed: the HTTP server's.
 * closed: gone.
 */
export type ConnectionPhase = "silent" | "head" | "held" | "handed" | "closed";

/** What a connection brings along when it was held before the HTTP server got it: leave to be sent on, or why not. */
export type Verdict =
  | { readonly admission: Admission; readonly route: Route; readonly error?: never }
  | { readonly error: ElastiError; readonly admission?: never };

const context = Symbol("elasti.connection");
type Tagged = Socket & { [context]?: Connection };

/** One accepted connection. While it is held, it is itself the hold: nothing more is allocated for it. */
export class Connection implements Hold {
  readonly socket: Socket;
  /** The port on which it came, and where that led then: what is sent here is meant for nobody else. */
  readonly port: number;
  readonly origin: Route | undefined;
  readonly openedAt: number;
  readonly #owner: ConnectionOwner;
  phase: ConnectionPhase = "silent";
  chunks: Buffer[] = [];
  bytes = 0;
  deadline: DeadlineEntry<Connection> | undefined;
  route: Route | undefined;
  ticket: Ticket | undefined;
  /** The peer, kept while its service proves its routing: a closed socket does not know it any more. */
  peer: { readonly address: string; readonly port: number } | undefined;
  /** Requests that the HTTP server has read on it and that are not finished. */
  active = 0;
  /** Ends with the last of them. */
  last: Promise<void> = Promise.resolve();
  #verdict: Verdict | undefined;

  constructor(socket: Socket, port: number, origin: Route | undefined, openedAt: number, owner: ConnectionOwner) {
    this.socket = socket;
    this.port = port;
    this.origin = origin;
    this.openedAt = openedAt;
    this.#owner = owner;
    (socket as Tagged)[context] = this;
  }

  release(admission: Admission): void {
    this.#verdict = { admission, route: this.route! };
    this.#owner.handOver(this);
  }

  fail(error: ElastiError): void {
    this.#verdict = { error };
    this.#owner.handOver(this);
  }

  /** The verdict on its first request; whoever takes it sees to its admission. */
  takeVerdict(): Verdict | undefined {
    const verdict = this.#verdict;
    this.#verdict = undefined;
    return verdict;
  }
}

export interface ConnectionOwner {
  handOver(connection: Connection): void;
}

/** The connection that a socket belongs to; undefined for sockets that the sniffer did not accept. */
export function connectionOf(socket: Socket): Connection | undefined {
  return (socket as Tagged)[context];
}

/**
 * The route of a connection: the one of its port, for as long as that leads to the same port of the same Service. One that came
 * when the port led nowhere has none: it was not meant for whoever got the port later.
 */
export function routeFor(
  { port, origin }: Connection,
  routeOf: (port: number) => Route | undefined,
): Route | undefined {
  const route = routeOf(port);
  if (route === undefined || origin === undefined) return undefined;
  if (route === origin) return route;
  const { service } = origin;
  const isSame =
    route.service.name === service.name && route.service.namespace === service.namespace && route.port === origin.port;
  return isSame ? route : undefined;
}
