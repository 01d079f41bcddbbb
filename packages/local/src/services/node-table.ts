import type { Clock, Timer } from "@elasti/core";
import { addressKey, type Backend, type PortRoutes } from "./routes.ts";

/** Milliseconds by which a node is behind the API; a function is asked once per change. */
export type ServiceDelay = number | (() => number);

interface Change {
  readonly service: string;
  readonly routes: readonly PortRoutes[];
  readonly at: number;
}

/**
 * The routing table of one node: changes reach it late, each by its own delay, as with a kube-proxy that lags. Those of one
 * Service come in the order in which they were made; one Service does not wait for another.
 */
export class NodeTable {
  readonly name: string;
  delay: ServiceDelay = 0;
  /** Hides the client's address behind the node's, as some clusters do for every connection. */
  masquerade = false;
  readonly #clock: Clock;
  readonly #onApplied: (service: string, addresses: readonly string[]) => void;
  readonly #backends = new Map<string, readonly Backend[]>();
  readonly #addressesOf = new Map<string, readonly string[]>();
  /** In the order of their time. */
  readonly #queue: Change[] = [];
  #timer: { at: number; timer: Timer } | undefined;

  /** @param onApplied told the Service and every address whose routes may have changed */
  constructor(name: string, clock: Clock, onApplied: (service: string, addresses: readonly string[]) => void) {
    this.name = name;
    this.#clock = clock;
    this.#onApplied = onApplied;
  }

  /** Changes that have not been applied yet. */
  get pending(): number {
    return this.#queue.length;
  }

  backends(ip: string, port: number): readonly Backend[] {
    return this.#backends.get(addressKey(ip, port)) ?? [];
  }

  /** The backends of one port of a Service (`namespace/name`) as this node knows them now; of all its ports without `port`. */
  backendsOfService(service: string, port?: number): readonly Backend[] {
    const suffix = port === undefined ? undefined : `:${port}`;
    return (this.#addressesOf.get(service) ?? [])
      .filter((address) => suffix === undefined || address.endsWith(suffix))
      .flatMap((address) => this.#backends.get(address) ?? []);
  }

  change(service: string, routes: readonly PortRoutes[]): void {
    const delay = typeof this.delay === "function" ? this.delay() : this.delay;
    const last = this.#queue.findLast((change) => change.service === service);
    const at = Math.max(this.#clock.monotonic() + delay, last?.at ?? 0);
    if (last === undefined && delay <= 0) {
      this.#apply({ service, routes, at });
      return;
    }
    const before = this.#queue.findLastIndex((change) => change.at <= at);
    this.#queue.splice(before + 1, 0, { service, routes, at });
    this.#arm();
  }

  close(): void {
    this.#timer?.timer.cancel();
    this.#timer = undefined;
    this.#queue.length = 0;
  }

  #arm(): void {
    const next = this.#queue[0];
    if (next === undefined || (this.#timer !== undefined && this.#timer.at <= next.at)) return;
    this.#timer?.timer.cancel();
    const timer = this.#clock.after(Math.max(0, next.at - this.#clock.monotonic()), () => {
      this.#timer = undefined;
      const now = this.#clock.monotonic();
      // timers fire up to a millisecond early
      while (this.#queue[0] !== undefined && this.#queue[0].at <= now + 1) this.#apply(this.#queue.shift()!);
      this.#arm();
    });
    this.#timer = { at: next.at, timer };
  }

  #apply({ service, routes }: Change): void {
    const before = this.#addressesOf.get(service) ?? [];
    const after = routes.map(({ ip, port }) => addressKey(ip, port));
    for (const address of before) if (!after.includes(address)) this.#backends.delete(address);
    for (const { ip, port, backends, localOnly } of routes) {
      const own = localOnly ? backends.filter(({ nodeName }) => nodeName === this.name) : backends;
      this.#backends.set(addressKey(ip, port), own);
    }
    if (after.length > 0) this.#addressesOf.set(service, after);
    else this.#addressesOf.delete(service);
    this.#onApplied(service, [...new Set([...before, ...after])]);
  }
}
