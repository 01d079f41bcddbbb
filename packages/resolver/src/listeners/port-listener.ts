import { createServer, type ListenOptions, type Server, type Socket } from "node:net";
import { errorCode, errorText, type Logger } from "@elasti/core";

export interface PortListenersOptions {
  readonly logger: Logger;
  /** Address to listen on; `::` takes IPv4 as well. */
  readonly bindAddress: string;
  readonly onConnection: (socket: Socket, port: number) => void;
  /** The set of ports that are listened on has changed. */
  readonly onListening: () => void;
  readonly backlog?: number;
}

interface Listener {
  readonly server: Server;
  state: "opening" | "open" | "closed";
}

/** One listening socket per resolver port, opened and closed as the routes change. */
export class PortListeners {
  readonly #options: PortListenersOptions;
  readonly #listeners = new Map<number, Listener>();
  /** Ports that could not be opened, and why; tried again at every change. */
  readonly #failed = new Map<number, string>();
  readonly #closing = new Set<Promise<void>>();
  #closed = false;

  constructor(options: PortListenersOptions) {
    this.#options = options;
  }

  /** Ports that are listened on now. */
  get listening(): readonly number[] {
    const ports: number[] = [];
    for (const [port, { state }] of this.#listeners) if (state === "open") ports.push(port);
    return ports;
  }

  get counts(): { readonly open: number; readonly failed: number } {
    return { open: this.listening.length, failed: this.#failed.size };
  }

  get failed(): ReadonlyMap<number, string> {
    return this.#failed;
  }

  /** Opens what is wanted and closes the rest. Resolves when all that were opened by this call listen or have failed. */
  async update(wanted: Iterable<number>): Promise<void> {
    if (this.#closed) return;
    const ports = new Set(wanted);
    for (const port of this.#failed.keys()) if (!ports.has(port)) this.#failed.delete(port);
    for (const [port, listener] of this.#listeners) if (!ports.has(port)) this.#stop(port, listener);
    const opened: Promise<void>[] = [];
    for (const port of ports) if (!this.#listeners.has(port)) opened.push(this.#open(port));
    await Promise.all(opened);
  }

  /** Stops accepting on all ports. Connections go on. */
  close(): void {
    this.#closed = true;
    for (const [port, listener] of this.#listeners) this.#stop(port, listener);
  }

  /** Resolves when the ports are free again. */
  async closed(): Promise<void> {
    await Promise.all(this.#closing);
  }

  async #open(port: number): Promise<void> {
    const { bindAddress } = this.#options;
    // Without keep-alive of TCP, a WebSocket whose client lost its power would keep its service awake for ever.
    const settings = { noDelay: true, keepAlive: true, keepAliveInitialDelay: 60_000 };
    const server = createServer(settings, (socket) => this.#options.onConnection(socket, port));
    const listener: Listener = { server, state: "opening" };
    this.#listeners.set(port, listener);
    try {
      await this.#listen(server, { port, host: bindAddress });
      if (listener.state === "closed") return;
      listener.state = "open";
      server.on("error", (error) =>
        this.#options.logger.warn({ port, error: errorText(error), reason: "accept-failed" }, "could not accept"),
      );
      this.#failed.delete(port);
      this.#options.onListening();
    } catch (error) {
      if (listener.state === "closed") return;
      this.#listeners.delete(port);
      if (!this.#failed.has(port)) {
        this.#options.logger.error(
          { port, error: errorText(error), reason: "port-taken" },
          "cannot listen on a resolver port; it is tried again at the next change",
        );
      }
      this.#failed.set(port, errorText(error));
    }
  }

  /** Without SO_REUSEPORT, and on IPv4 alone, where the system has no better. */
  async #listen(server: Server, where: { port: number; host: string }): Promise<void> {
    const { backlog = 4_096 } = this.#options;
    let options: ListenOptions = { ...where, backlog, reusePort: true };
    for (;;) {
      try {
        return await listen(server, options);
      } catch (error) {
        const code = errorCode(error);
        const noIpv6 = code === "EAFNOSUPPORT" || code === "EADDRNOTAVAIL";
        if (options.reusePort === true && (code === "ENOTSUP" || code === "EINVAL" || code === "ENOPROTOOPT")) {
          const { reusePort: _, ...rest } = options;
          options = rest;
        } else if (options.host === "::" && noIpv6) options = { ...options, host: "0.0.0.0" };
        else throw error;
      }
    }
  }

  #stop(port: number, listener: Listener): void {
    this.#listeners.delete(port);
    const wasOpen = listener.state === "open";
    listener.state = "closed";
    const done = Promise.withResolvers<void>();
    // `close` waits for connections, which may go on for long; the port itself is free at once.
    listener.server.close();
    setImmediate(done.resolve);
    this.#closing.add(done.promise);
    void done.promise.then(() => this.#closing.delete(done.promise));
    if (wasOpen) this.#options.onListening();
  }
}

function listen(server: Server, options: ListenOptions): Promise<void> {
  return new Promise((resolve, reject) => {
    const onError = (error: Error) => {
      server.off("listening", onListening);
      reject(error);
    };
    const onListening = () => {
      server.off("error", onError);
      resolve();
    };
    server.once("error", onError);
    server.once("listening", onListening);
    server.listen(options);
  });
}
