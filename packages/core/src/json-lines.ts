import type { Duplex } from "node:stream";
import type { Clock, Timer } from "./clock.ts";

/** Why a stream of lines ended, besides the reasons of its owner. */
export type LinesEnd = "peer-closed" | "socket-error" | "silent" | "line-too-long" | "bad-line" | "too-slow";

export interface JsonLinesOptions<In extends { type: string }> {
  readonly clock: Clock;
  readonly maxLineBytes: number;
  /** A ping goes out after so long without a line; three times as long without one from the peer ends the stream. In ms. */
  readonly pingMs: number;
  /** What may wait for the socket before the peer counts as too slow, in bytes; 1 MiB where it is left out. */
  readonly maxUnsentBytes?: number;
  /** Whether a line is well formed. */
  readonly check: (line: unknown) => line is In;
  /** Types that are known here: one of them that is not well formed ends the stream, another is overlooked, as a newer peer's. */
  readonly types: ReadonlySet<string>;
  readonly onLine: (line: In) => void;
  /** Called once, whoever ended it. No line is delivered after it. */
  readonly onEnd: (reason: string) => void;
}

const defaultUnsentBytes = 1024 * 1024;
const newline = 0x0a;

/** JSON lines in both directions over a socket: framing, bounds, pings, and the end by silence. Pings are not delivered. */
export class JsonLines<In extends { type: string }, Out extends { type: string }> {
  readonly #socket: Duplex;
  readonly #options: JsonLinesOptions<In>;
  #parts: Buffer[] = [];
  #partBytes = 0;
  #heardAt: number;
  #saidAt: number;
  #timer: Timer | undefined;
  #ended = false;

  /** @param head bytes that came before the socket was handed over */
  constructor(socket: Duplex, head: Buffer, options: JsonLinesOptions<In>) {
    this.#socket = socket;
    this.#options = options;
    this.#heardAt = this.#saidAt = options.clock.monotonic();
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

  /** Sends a line; false when the stream has ended, or ends now because the peer does not read. */
  send(line: Out | { type: "ping" }): boolean {
    if (this.#ended) return false;
    if (this.#socket.writableLength > (this.#options.maxUnsentBytes ?? defaultUnsentBytes)) {
      this.end("too-slow");
      return false;
    }
    this.#saidAt = this.#options.clock.monotonic();
    this.#socket.write(`${JSON.stringify(line)}\n`);
    return true;
  }

  /** Ends it; idempotent. @param reason one of LinesEnd, or the owner's own */
  end(reason: string): void {
    if (this.#ended) return;
    this.#ended = true;
    this.#timer?.cancel();
    this.#parts = [];
    this.#socket.destroy();
    this.#options.onEnd(reason);
  }

  #read(chunk: Buffer): void {
    this.#heardAt = this.#options.clock.monotonic();
    let from = 0;
    for (let at = chunk.indexOf(newline); at >= 0 && !this.#ended; at = chunk.indexOf(newline, from)) {
      this.#complete(chunk.subarray(from, at));
      from = at + 1;
    }
    if (this.#ended || from >= chunk.length) return;
    this.#parts.push(chunk.subarray(from));
    this.#partBytes += chunk.length - from;
    if (this.#partBytes > this.#options.maxLineBytes) this.end("line-too-long");
  }

  #complete(tail: Buffer): void {
    const bytes = this.#parts.length === 0 ? tail : Buffer.concat([...this.#parts, tail]);
    this.#parts = [];
    this.#partBytes = 0;
    if (bytes.length > this.#options.maxLineBytes) {
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
    const { check, types, onLine } = this.#options;
    if (check(line)) {
      if (line.type !== "ping") onLine(line);
    } else if (typeof line !== "object" || line === null || !("type" in line) || typeof line.type !== "string") {
      this.end("bad-line");
    } else if (types.has(line.type)) {
      this.end("bad-line");
    }
  }

  /** One timer for both directions, due at the earlier of the next ping and the end by silence. */
  #arm(): void {
    const { clock, pingMs } = this.#options;
    const due = Math.min(this.#saidAt + pingMs, this.#heardAt + 3 * pingMs);
    this.#timer = clock.after(Math.max(1, due - clock.monotonic()), () => {
      const now = clock.monotonic();
      if (now - this.#heardAt >= 3 * pingMs) this.end("silent");
      else if (now - this.#saidAt >= pingMs) this.send({ type: "ping" });
      if (!this.#ended) this.#arm();
    });
  }
}
