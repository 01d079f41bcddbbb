import { connect, type Socket } from "node:net";

export interface Reply {
  readonly status: number;
  readonly headers: ReadonlyMap<string, string>;
  readonly body: string;
  /** When the last byte of the head was there, wall clock in ms with fractions. */
  readonly headAt: number;
  /** The connection ends with this reply. */
  readonly last: boolean;
}

export interface Request {
  readonly method: "GET" | "POST";
  readonly path: string;
  readonly body?: string;
}

/** Wall clock in ms with fractions. */
export const wallMs = (): number => performance.timeOrigin + performance.now();

const EMPTY = Buffer.alloc(0);

/**
 * One HTTP/1.1 connection that sends every request exactly once: nothing in it opens a second connection or repeats
 * anything, so that a request that was lost is seen to be lost.
 */
export class Connection {
  readonly #socket: Socket;
  #buffer: Buffer = EMPTY;
  #headAt = 0;
  #waiting: PromiseWithResolvers<Reply> | undefined;
  #failure: Error | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    socket.on("data", (chunk: Buffer) => this.#read(chunk));
    socket.on("error", (error) => this.#end(error));
    socket.on("end", () => this.#onEnd());
    socket.on("close", () => this.#end(new Error("the connection was closed without an answer")));
  }

  /** @param options.relay who connects in our place, see `test/cluster/relay.ts` */
  static open(options: {
    host: string;
    port: number;
    localAddress?: string;
    relay?: { host: string; port: number };
    timeoutMs?: number;
  }): Promise<Connection> {
    const { host, port, localAddress, relay, timeoutMs = 60_000 } = options;
    return new Promise((resolve, reject) => {
      const to = relay ?? { host, port };
      const socket = connect({ ...to, noDelay: true, ...(localAddress === undefined ? {} : { localAddress }) });
      socket.once("error", reject);
      socket.once("connect", () => {
        socket.off("error", reject);
        if (relay !== undefined) socket.write(`${host}:${port}\n`);
        resolve(new Connection(socket));
      });
      socket.setTimeout(timeoutMs, () => socket.destroy(new Error(`nothing came for ${timeoutMs} ms`)));
    });
  }

  /** Nothing is under way and nothing has ended it, as far as is known here. */
  get idle(): boolean {
    return this.#failure === undefined && this.#waiting === undefined && !this.#socket.destroyed;
  }

  get localAddress(): string | undefined {
    return this.#socket.localAddress;
  }

  get localPort(): number | undefined {
    return this.#socket.localPort;
  }

  request({ method, path, body = "" }: Request): Promise<Reply> {
    if (this.#failure !== undefined) return Promise.reject(this.#failure);
    const { host, waiting } = { host: this.#socket.remoteAddress, waiting: Promise.withResolvers<Reply>() };
    this.#waiting = waiting;
    const length =
      method === "POST" ? `Content-Type: text/plain\r\nContent-Length: ${Buffer.byteLength(body)}\r\n` : "";
    this.#socket.write(
      `${method} ${path} HTTP/1.1\r\nHost: ${host}\r\nUser-Agent: elasti-bench\r\n${length}\r\n${body}`,
    );
    return waiting.promise;
  }

  close(): void {
    this.#failure ??= new Error("closed by the client");
    this.#socket.destroy();
  }

  #read(chunk: Buffer): void {
    this.#buffer = this.#buffer.length === 0 ? chunk : Buffer.concat([this.#buffer, chunk]);
    this.#answer(false);
  }

  #answer(ended: boolean): void {
    const headEnd = this.#buffer.indexOf("\r\n\r\n");
    if (headEnd < 0) return;
    if (this.#headAt === 0) this.#headAt = wallMs();
    const [first = "", ...lines] = this.#buffer.toString("latin1", 0, headEnd).split("\r\n");
    const headers = new Map(
      lines.map((line) => {
        const colon = line.indexOf(":");
        return [line.slice(0, colon).toLowerCase(), line.slice(colon + 1).trim()] as const;
      }),
    );
    const body = bodyOf(this.#buffer.subarray(headEnd + 4), headers, ended);
    if (body === undefined) return;
    const last = ended || headers.get("connection")?.toLowerCase() === "close";
    const reply: Reply = { status: Number(first.split(" ")[1]), headers, body, headAt: this.#headAt, last };
    this.#buffer = EMPTY;
    this.#headAt = 0;
    const waiting = this.#waiting;
    this.#waiting = undefined;
    if (last) this.close();
    waiting?.resolve(reply);
  }

  #onEnd(): void {
    this.#answer(true);
    this.#end(new Error("the connection was closed without an answer"));
  }

  #end(error: Error): void {
    this.#failure ??= error;
    this.#waiting?.reject(error);
    this.#waiting = undefined;
    this.#socket.destroy();
  }
}

/** The body when all of it is there. */
function bodyOf(bytes: Buffer, headers: ReadonlyMap<string, string>, ended: boolean): string | undefined {
  const length = headers.get("content-length");
  if (length !== undefined)
    return bytes.length >= Number(length) ? bytes.toString("utf8", 0, Number(length)) : undefined;
  if (headers.get("transfer-encoding")?.toLowerCase() !== "chunked") return ended ? bytes.toString("utf8") : undefined;
  const parts: Buffer[] = [];
  for (let at = 0; ; ) {
    const line = bytes.indexOf("\r\n", at);
    if (line < 0) return undefined;
    const size = Number.parseInt(bytes.toString("latin1", at, line), 16);
    if (bytes.length < line + 2 + size + 2) return undefined;
    if (size === 0) return Buffer.concat(parts).toString("utf8");
    parts.push(bytes.subarray(line + 2, line + 2 + size));
    at = line + 2 + size + 2;
  }
}
