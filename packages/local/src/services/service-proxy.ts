import { createServer, type Server, type Socket } from "node:net";
import { type Clock, errorText, type Logger } from "@elasti/core";
import type { EndpointSlice, Service } from "@elasti/kube";
import { type AddressPlan, nodeOfAddress } from "../node/address-plan.ts";
import { forward } from "./forward.ts";
import { NodeTable, type ServiceDelay } from "./node-table.ts";
import { addressKey, type Backend, routesOf } from "./routes.ts";

/**
 * Services as sockets: one listener per cluster IP and port, shared by all nodes; the node whose table decides is that of
 * the client's address. A connection goes to a backend chosen at random when it is accepted, and stays there. An address for
 * which no node has a backend does not listen, so that connecting is refused; where only some nodes have one, clients of the
 * others are reset.
 */
export class ServiceProxy {
  readonly #plan: AddressPlan;
  readonly #logger: Logger;
  readonly #tables: NodeTable[];
  readonly #listeners = new Map<string, Server>();
  readonly #connections = new Set<Socket>();
  readonly #watchers = new Set<() => void>();
  readonly #random: () => number;
  #closed = false;

  /** @param options.nodeNames node 1 first */
  constructor(options: {
    plan: AddressPlan;
    nodeNames: readonly string[];
    clock: Clock;
    logger: Logger;
    random?: () => number;
  }) {
    this.#plan = options.plan;
    this.#logger = options.logger;
    this.#random = options.random ?? Math.random;
    this.#tables = options.nodeNames.map(
      (name) => new NodeTable(name, options.clock, (_service, addresses) => this.#onApplied(addresses)),
    );
  }

  /** Sets how late the node's table follows from now on; changes already under way keep their time. */
  setDelay(node: number, delay: ServiceDelay): void {
    this.#table(node).delay = delay;
  }

  setMasquerade(node: number, masquerade: boolean): void {
    this.#table(node).masquerade = masquerade;
  }

  /** What a node's table says now for a Service (`namespace/name`). */
  backends(node: number, service: string, port?: number): readonly Backend[] {
    return this.#table(node).backendsOfService(service, port);
  }

  /** Resolves once the node's table for the Service satisfies `predicate`; rejects with the signal's reason. */
  waitForBackends(
    node: number,
    service: string,
    predicate: (backends: readonly Backend[]) => boolean,
    signal?: AbortSignal,
  ): Promise<void> {
    return new Promise((resolve, reject) => {
      if (signal?.aborted === true) return reject(signal.reason);
      const done = () => {
        this.#watchers.delete(check);
        signal?.removeEventListener("abort", onAbort);
      };
      const check = () => {
        if (!predicate(this.backends(node, service))) return;
        done();
        resolve();
      };
      const onAbort = () => {
        done();
        reject(signal?.reason);
      };
      signal?.addEventListener("abort", onAbort, { once: true });
      this.#watchers.add(check);
      check();
    });
  }

  /** Hands every node the new state of a Service. `service` is undefined once it is deleted. */
  update(key: string, service: Service | undefined, slices: Iterable<EndpointSlice>): void {
    if (this.#closed) return;
    const routes = service === undefined ? [] : routesOf(service, slices);
    for (const table of this.#tables) table.change(key, routes);
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const table of this.#tables) table.close();
    const closing = [...this.#listeners.values()].map(
      (server) => new Promise<void>((resolve) => server.close(() => resolve())),
    );
    this.#listeners.clear();
    for (const socket of this.#connections) socket.destroy();
    await Promise.all(closing);
  }

  #table(node: number): NodeTable {
    const table = this.#tables[node - 1];
    if (table === undefined) throw new RangeError(`node ${node} does not exist: there are ${this.#tables.length}`);
    return table;
  }

  #onApplied(addresses: readonly string[]): void {
    for (const address of addresses) this.#listenOrNot(address);
    for (const check of [...this.#watchers]) check();
  }

  #listenOrNot(address: string): void {
    const colon = address.lastIndexOf(":");
    const host = address.slice(0, colon);
    const port = Number(address.slice(colon + 1));
    const wanted = this.#tables.some((table) => table.backends(host, port).length > 0);
    const listener = this.#listeners.get(address);
    if (!wanted && listener !== undefined) {
      this.#listeners.delete(address);
      listener.close();
    }
    if (!wanted || listener !== undefined) return;
    const server = createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) =>
      this.#accept(socket, host, port),
    );
    server.on("error", (error) => {
      this.#logger.error({ address, error: errorText(error) }, "a Service address cannot be listened on");
      if (this.#listeners.get(address) === server) this.#listeners.delete(address);
    });
    this.#listeners.set(addressKey(host, port), server);
    server.listen({ host, port, backlog: 4096, exclusive: true });
  }

  #accept(client: Socket, ip: string, port: number): void {
    this.#connections.add(client);
    client.once("close", () => this.#connections.delete(client));
    const node = Math.min(nodeOfAddress(client.remoteAddress), this.#tables.length);
    const table = this.#table(node);
    const backends = table.backends(ip, port);
    const backend = backends[Math.floor(this.#random() * backends.length)];
    if (backend === undefined) {
      client.once("error", () => {});
      client.resetAndDestroy();
      return;
    }
    forward(client, backend, { nodeAddress: this.#plan.nodeAddress(node), masquerade: table.masquerade });
  }
}
