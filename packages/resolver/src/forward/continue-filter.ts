import type { Socket } from "node:net";

const prefix = Buffer.from("HTTP/1.1 100");
/** A longer interim answer is left to the parser. */
const maxInterimBytes = 16 * 1024;

/** End of a complete interim 100 at the start of `bytes`, "partial" when it may be one, "no" when it is not. */
function interimEnd(bytes: Buffer): number | "partial" | "no" {
  const known = Math.min(bytes.length, prefix.length);
  if (bytes.compare(prefix, 0, known, 0, known) !== 0) return "no";
  if (bytes.length <= prefix.length) return "partial";
  const next = bytes[prefix.length];
  if (next !== 32 && next !== 13) return "no";
  const end = bytes.indexOf("\r\n\r\n");
  if (end >= 0) return end + 4;
  return bytes.length < maxInterimBytes ? "partial" : "no";
}

/**
 * Takes interim 100 answers out of what is read from a pod. A server may send one that nobody asked for (RFC 9110 section
 * 15.2), and the engine takes that for a broken server. The client was told to go on when its body was asked for.
 */
export class ContinueFilter {
  #expecting = false;
  #held: Buffer | undefined;

  /** Changes `read` of this very socket. */
  constructor(socket: Socket) {
    const read = socket.read.bind(socket);
    socket.read = (size?: number): unknown => (this.#expecting ? this.#filtered(read) : read(size));
  }

  /** A request is being sent: the next bytes are the start of an answer. */
  expect(): void {
    this.#expecting = true;
    this.#held = undefined;
  }

  #filtered(read: () => unknown): Buffer | null {
    for (;;) {
      const chunk = read();
      if (!Buffer.isBuffer(chunk)) return null;
      let bytes = this.#held === undefined ? chunk : Buffer.concat([this.#held, chunk]);
      this.#held = undefined;
      while (bytes.length > 0) {
        const end = interimEnd(bytes);
        if (end === "no") {
          this.#expecting = false;
          return bytes;
        }
        if (end === "partial") {
          this.#held = bytes;
          break;
        }
        bytes = bytes.subarray(end);
      }
    }
  }
}
