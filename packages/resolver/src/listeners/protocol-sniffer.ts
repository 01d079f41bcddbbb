import type { Socket } from "node:net";
import { type Clock, ElastiError } from "@elasti/core";
import type { Route } from "../routes.ts";
import { Connection, type ConnectionOwner, connectionOf, routeFor } from "./connection.ts";
import { DeadlineList } from "./deadline-list.ts";
import { findHeadEnd, MAX_HEAD_BYTES, protocolOf, scanHead } from "./head-scan.ts";
import { refusalBytes } from "./refusals.ts";

/** Bytes that are read of one held connection before reading pauses; behind more than this a leaver is noticed late. */
export const READ_BUDGET_BYTES = 64 * 1024;
/** Many small chunks are joined, because each costs more than its bytes. */
const MAX_CHUNKS = 16;

export interface SnifferOptions {
  readonly clock: Clock;
  /** The route of a resolver port; undefined for the way in by host and for ports that have just gone. */
  readonly routeOf: (port: number) => Route | undefined;
  /** Takes connections that are to be read by the HTTP server now; the bytes read so far are in front again. */
  readonly accept: (socket: Socket) => void;
  /** A connection that says nothing is closed after this. */
  readonly firstByteTimeoutMs: number;
  /** A head that has begun must be whole within this. */
  readonly headTimeoutMs: number;
  /** Most connections of the process; more are closed at once. */
  readonly maxConnections: number;
  /** Most bytes that held connections keep together; past it only heads are read. */
  readonly maxParkedBytes: number;
  readonly onRefused: (protocol: "tls" | "http2" | "connections" | "head-timeout") => void;
}

/**
 * Decides about every new connection by its first bytes:
 *
 *   silent ──byte──▶ gate open ─────────────▶ handed to the HTTP server
 *                    gate shut ──head──▶ held ──release or failure──▶ handed
 *
 * A held connection is a bare socket and its few bytes. What the HTTP server should see at once (checks that wake nothing, what
 * is not plainly HTTP) is handed over although the gate is shut.
 */
export class ProtocolSniffer implements ConnectionOwner {
  readonly #options: SnifferOptions;
  readonly #silent: DeadlineList<Connection>;
  readonly #heads: DeadlineList<Connection>;
  #open = 0;
  #held = 0;
  #parkedBytes = 0;
  readonly #onData: (this: Socket, chunk: Buffer) => void;
  readonly #onEnd: (this: Socket) => void;
  readonly #onClose: (this: Socket) => void;

  constructor(options: SnifferOptions) {
    this.#options = options;
    this.#silent = new DeadlineList(options.clock, options.firstByteTimeoutMs, (connection) =>
      connection.socket.destroy(),
    );
    this.#heads = new DeadlineList(options.clock, options.headTimeoutMs, (connection) => {
      options.onRefused("head-timeout");
      // The HTTP server would wait on; so the answer is made here.
      this.#refuse(connection, refusalBytes.headTimeout);
    });
    // Three functions for all connections: each socket knows its connection.
    const of = (socket: Socket): Connection => connectionOf(socket)!;
    this.#onData = function (chunk) {
      onData(of(this), chunk);
    };
    this.#onEnd = function () {
      onEnd(of(this));
    };
    this.#onClose = function () {
      onClose(of(this));
    };
    const onData = (connection: Connection, chunk: Buffer) => this.#data(connection, chunk);
    const onEnd = (connection: Connection) => this.#end(connection);
    const onClose = (connection: Connection) => this.#close(connection);
  }

  get counts(): {
    readonly open: number;
    readonly silent: number;
    readonly held: number;
    readonly parkedBytes: number;
  } {
    return {
      open: this.#open,
      silent: this.#silent.length + this.#heads.length,
      held: this.#held,
      parkedBytes: this.#parkedBytes,
    };
  }

  /** Takes a socket that was just accepted on `port`. */
  take(socket: Socket, port: number): void {
    // A reset before anything else listens must not end the process.
    socket.on("error", ignore);
    if (this.#open >= this.#options.maxConnections) {
      this.#options.onRefused("connections");
      socket.destroy();
      return;
    }
    this.#open += 1;
    const route = this.#options.routeOf(port);
    const connection = new Connection(socket, port, route, this.#options.clock.monotonic(), this);
    if (route?.service.state.provesRouting === true && socket.remoteAddress !== undefined) {
      connection.peer = { address: plainAddress(socket.remoteAddress), port: socket.remotePort ?? 0 };
    }
    connection.deadline = this.#silent.add(connection);
    socket.on("data", this.#onData);
    socket.on("end", this.#onEnd);
    socket.on("close", this.#onClose);
  }

  /** Closes connections on which nothing was sent. */
  closeSilent(): void {
    for (const connection of this.#silent.drain()) connection.socket.destroy();
  }

  /** Closes connections that have not sent a whole head. */
  closeUnstarted(): void {
    this.closeSilent();
    for (const connection of this.#heads.drain()) connection.socket.destroy();
  }

  handOver(connection: Connection): void {
    const { socket } = connection;
    this.#unschedule(connection);
    if (connection.phase === "held") this.#unpark(connection);
    connection.phase = "handed";
    connection.ticket = undefined;
    connection.route = undefined;
    const bytes = connection.chunks;
    connection.chunks = [];
    socket.off("data", this.#onData);
    socket.off("end", this.#onEnd);
    socket.pause();
    // One piece, so that the parser takes all of it in one call: it reads the handle past the socket's own buffer, and what
    // stayed there while the parser paused would come after bytes that were sent later.
    for (let more: Buffer | null = socket.read(); more !== null; more = socket.read()) bytes.push(more);
    socket.unshift(joined(bytes));
    this.#options.accept(socket);
    socket.resume();
  }

  #data(connection: Connection, chunk: Buffer): void {
    connection.chunks.push(chunk);
    connection.bytes += chunk.length;
    if (connection.phase === "held") this.#more(connection, chunk.length);
    else if (connection.phase === "head") this.#route(connection, chunk.length);
    else this.#first(connection, chunk.length);
  }

  #first(connection: Connection, newBytes: number): void {
    const protocol = protocolOf(joined(connection.chunks));
    if (protocol === "http1") this.#route(connection, newBytes);
    else if (protocol !== "undecided") {
      this.#options.onRefused(protocol);
      this.#refuse(connection, refusalBytes[protocol]);
    }
  }

  #route(connection: Connection, newBytes: number): void {
    const route = routeFor(connection, this.#options.routeOf);
    if (route === undefined || route.service.gate.isOpen(route.portName)) this.handOver(connection);
    else this.#head(connection, route, newBytes);
  }

  /** The gate is shut: the head decides. */
  #head(connection: Connection, route: Route, newBytes: number): void {
    if (connection.chunks.length > 1) connection.chunks = [joined(connection.chunks)];
    const bytes = connection.chunks[0]!;
    const end = findHeadEnd(bytes, bytes.length - newBytes);
    if (end < 0) {
      if (bytes.length > MAX_HEAD_BYTES) this.handOver(connection);
      else if (connection.phase === "silent") {
        this.#unschedule(connection);
        connection.phase = "head";
        connection.deadline = this.#heads.add(connection);
      }
      return;
    }
    const head = end > MAX_HEAD_BYTES ? undefined : scanHead(bytes, end);
    if (head === undefined || route.service.answersAtOnce(head)) this.handOver(connection);
    else this.#hold(connection, route);
  }

  #hold(connection: Connection, route: Route): void {
    this.#unschedule(connection);
    connection.phase = "held";
    connection.route = route;
    this.#held += 1;
    this.#parkedBytes += connection.bytes;
    const ticket = route.service.hold(connection, route.portName);
    if (ticket instanceof ElastiError) connection.fail(ticket);
    // The gate may have let it through within that call.
    else if (connection.phase === "held") {
      connection.ticket = ticket;
      if (connection.bytes >= READ_BUDGET_BYTES || this.#parkedBytes > this.#options.maxParkedBytes) {
        connection.socket.pause();
      }
    }
  }

  /** More of a held request: kept within the budgets, so that its leaving is noticed. */
  #more(connection: Connection, newBytes: number): void {
    this.#parkedBytes += newBytes;
    if (connection.chunks.length > MAX_CHUNKS) connection.chunks = [joined(connection.chunks)];
    if (connection.bytes >= READ_BUDGET_BYTES || this.#parkedBytes > this.#options.maxParkedBytes) {
      connection.socket.pause();
    }
  }

  /** On HTTP/1 the end of what a client sends means that it left. */
  #end(connection: Connection): void {
    if (connection.phase === "held") this.#leave(connection);
    connection.socket.destroy();
  }

  #leave(connection: Connection): void {
    this.#unpark(connection);
    connection.phase = "closed";
    if (connection.ticket !== undefined) connection.route?.service.gate.abandon(connection.ticket);
    connection.ticket = undefined;
  }

  #close(connection: Connection): void {
    this.#open -= 1;
    this.#unschedule(connection);
    if (connection.phase === "held") this.#leave(connection);
    if (connection.peer !== undefined && connection.bytes === 0) {
      connection.origin?.service.state.recordSilent({
        ...connection.peer,
        openMs: this.#options.clock.monotonic() - connection.openedAt,
      });
    }
    connection.phase = "closed";
    connection.chunks = [];
    // Released, and gone before the HTTP server had read its request.
    const verdict = connection.takeVerdict();
    if (verdict?.admission !== undefined) verdict.route.service.gate.finish(verdict.admission, "left");
  }

  #unpark(connection: Connection): void {
    this.#held -= 1;
    this.#parkedBytes -= connection.bytes;
  }

  #unschedule(connection: Connection): void {
    if (connection.deadline === undefined) return;
    (connection.phase === "head" ? this.#heads : this.#silent).remove(connection.deadline);
    connection.deadline = undefined;
  }

  #refuse(connection: Connection, answer: Buffer): void {
    this.#unschedule(connection);
    connection.phase = "closed";
    connection.chunks = [];
    const { socket } = connection;
    socket.off("data", this.#onData);
    socket.resume();
    socket.end(answer, () => socket.destroySoon());
  }
}

function ignore(): void {}

function joined(chunks: readonly Buffer[]): Buffer {
  return chunks.length === 1 ? chunks[0]! : Buffer.concat(chunks);
}

/** Without the prefix that a dual-stack socket gives IPv4 peers. */
function plainAddress(address: string): string {
  return address.startsWith("::ffff:") ? address.slice(7) : address;
}
