import type { Duplex } from "node:stream";
import { parseSessionUp, SESSION_LINE_BYTES, SESSION_PING_MS, type SessionDown, type SessionUp } from "@elasti/api";
import type { Clock, Timer } from "@elasti/core";

export type SessionEnd =
  | "peer-closed"
  | "socket-error"
  | "silent"
  | "line-too-long"
  | "bad-line"
  | "no-hello"
  | "too-slow"
  | "too-many-services"
  | "replaced"
  | "closed";

export interface SessionHandlers {
  line(line: SessionUp): void;
  /** Called once, whoever ended it. Lines are not delivered after it. */
  end(reason: SessionEnd): void;
}

/** What may wait for the socket before the peer counts as too slow; a seal or a proof is a few hundred bytes. */
const maxUnsentBytes = 1024 * 1024;
const newline = 0x0a;

/**
 * One session as JSON lines over an upgraded socket: framing, bounds, pings, and the end by silence. What the lines mean is
 * not known here.
 */
export class SessionConnection {
  readonly #socket: Duplex;
  readonly #clock: Clock;
  readonly #handlers: SessionHandlers;
  readonly #pingMs: number;
  #parts: Buffer[] = [];
  #partBytes = 0;
  #heardAt: number;
  #saidAt: number;
  #timer: Timer | undefined;
  #ended = false;

  /** @param head bytes that came behind the upgrade request */
  constructor(
    socket: Duplex,
    head: Buffer,
    deps: { clock: Clock; handlers: SessionHandlers; pingMs?: number | undefined },
  ) {
    this.#socket = socket;
    this.#clock = deps.clock;
    this.#handlers = deps.handlers;
    this.#pingMs = deps.pingMs ?? SESSION_PING_MS;
    this.#heardAt = this.#saidAt = this.#clock.monotonic();
    socket.on("error", () => this.end("socket-error"));
    socket.on("end", () => this.end("peer-closed"));
    socket.on("close", () => this.end("peer-closed"));
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    this.#arm();
    if (head.length > 0) this.#read(head);
  }

  get ended(): boolean {
    return this.#ended;
  }

  /** Sends a line; false when the session has ended, or ends now because the peer does not read. */
  send(line: SessionDown): boolean {
    if (this.#ended) return false;
    if (this.#socket.writableLength > maxUnsentBytes) {
      this.end("too-slow");
      return false;
    }
    this.#saidAt = this.#clock.monotonic();
    this.#socket.write(`${JSON.stringify(line)}\n`);
    return true;
  }

  /** Ends the session; idempotent. */
  end(reason: SessionEnd): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#parts = [];
    this.#socket.destroy();
    this.#handlers.end(reason);
  }

  #read(chunk: Buffer): void {
    this.#heardAt = this.#clock.monotonic();
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0 && !this.#ended; at = chunk.indexOf(newline, from)) {
      this.#complete(chunk.subarray(from, at));
      from = at + 1;
    }
    if (this.#ended || from >= chunk.length) return;
    this.#parts.push(chunk.subarray(from));
    this.#partBytes += chunk.length - from;
    if (this.#partBytes > SESSION_LINE_BYTES) this.end("line-too-long");
  }

  #complete(tail: Buffer): void {
    const bytes = this.#parts.length === 0 ? tail : Buffer.concat([...this.#parts, tail]);
    this.#parts = [];
    this.#partBytes = 0;
    if (bytes.length > SESSION_LINE_BYTES) {
      this.end("line-too-long");
      return;
    }
    const line = parseLine(bytes);
    if (line === "bad") this.end("bad-line");
    else if (line !== "unknown" && line.type !== "ping") this.#handlers.line(line);
  }

  /** One timer for both directions, due at the earlier of the next ping and the end by silence. */
  #arm(): void {
    const now = this.#clock.monotonic();
    const due = Math.min(this.#saidAt + this.#pingMs, this.#heardAt + 3 * this.#pingMs);
    this.#timer = this.#clock.after(Math.max(1, due - now), () => this.#tick());
  }

  #tick(): void {
    const now = this.#clock.monotonic();
    if (now - this.#heardAt >= 3 * this.#pingMs) this.end("silent");
    else if (now - this.#saidAt >= this.#pingMs) this.send({ type: "ping" });
    if (!this.#ended) this.#arm();
  }
}

const knownTypes: ReadonlySet<unknown> = new Set<SessionUp["type"]>([
  "hello",
  "ports",
  "traffic",
  "sealed",
  "dialled",
  "silent",
  "ping",
]);

/** A resolver that is newer may say what is not known here yet; what is known must be well formed. */
function parseLine(bytes: Buffer): SessionUp | "unknown" | "bad" {
  let line: unknown;
  try {
    line = JSON.parse(bytes.toString("utf8"));
  } catch {
    return "bad";
  }
  if (parseSessionUp.Check(line)) return line;
  if (typeof line !== "object" || line === null || !("type" in line) || typeof line.type !== "string") return "bad";
  return knownTypes.has(line.type) ? "bad" : "unknown";
}
