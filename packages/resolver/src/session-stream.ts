import type { Duplex } from "node:stream";
import { parseSessionDown, SESSION_LINE_BYTES, SESSION_PING_MS, type SessionDown, type SessionUp } from "@elasti/api";
import type { Clock, Timer } from "@elasti/core";

/** Written and not yet taken by the socket; an operator that does not read is given up. */
const maxUnsentBytes = 1024 * 1024;
const newline = 0x0a;

export interface SessionStreamHandlers {
  line(line: SessionDown): void;
  /** Called once. @param reason for the log */
  end(reason: string): void;
}

/** JSON lines over an upgraded connection: framing, bounds, pings, and the end by silence. */
export class SessionStream {
  readonly #socket: Duplex;
  readonly #clock: Clock;
  readonly #handlers: SessionStreamHandlers;
  #parts: Buffer[] = [];
  #partBytes = 0;
  #heardAt: number;
  #saidAt: number;
  #timer: Timer | undefined;
  #ended = false;

  /** @param head bytes that came behind the upgrade */
  constructor(socket: Duplex, head: Buffer, clock: Clock, handlers: SessionStreamHandlers) {
    this.#socket = socket;
    this.#clock = clock;
    this.#handlers = handlers;
    this.#heardAt = this.#saidAt = clock.monotonic();
    socket.on("error", (error: Error) => this.end(error.message));
    socket.on("end", () => this.end("peer-closed"));
    socket.on("close", () => this.end("peer-closed"));
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    this.#arm();
    if (head.length > 0) this.#read(head);
  }

  get ended(): boolean {
    return this.#ended;
  }

  send(line: SessionUp): void {
    if (this.#ended) return;
    if (this.#socket.writableLength > maxUnsentBytes) {
      this.end("too-slow");
      return;
    }
    this.#saidAt = this.#clock.monotonic();
    this.#socket.write(`${JSON.stringify(line)}\n`);
  }

  /** Ends it; idempotent. */
  end(reason: string): void {
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
    let line: unknown;
    try {
      line = JSON.parse(bytes.toString("utf8"));
    } catch {
      this.end("bad-line");
      return;
    }
    // an operator that is newer may say what is not known here yet; what is known must be well formed
    if (parseSessionDown.Check(line)) this.#handlers.line(line);
    else if (isKnownType(line)) this.end("bad-line");
  }

  /** One timer for both directions, due at the earlier of the next ping and the end by silence. */
  #arm(): void {
    const now = this.#clock.monotonic();
    const due = Math.min(this.#saidAt + SESSION_PING_MS, this.#heardAt + 3 * SESSION_PING_MS);
    this.#timer = this.#clock.after(Math.max(1, due - now), () => {
      const at = this.#clock.monotonic();
      if (at - this.#heardAt >= 3 * SESSION_PING_MS) this.end("silent");
      else if (at - this.#saidAt >= SESSION_PING_MS) this.send({ type: "ping" });
      if (!this.#ended) this.#arm();
    });
  }
}

const knownTypes = new Set(["welcome", "prove", "seal", "ping"]);

function isKnownType(line: unknown): boolean {
  if (typeof line !== "object" || line === null || !("type" in line)) return true;
  return typeof line.type !== "string" || knownTypes.has(line.type);
}
