import { keyOf } from "@elasti/api";
import type { Clock, Logger, Timer } from "@elasti/core";
import type { Route } from "./routes.ts";

/** Whose a resolver port is. */
export interface Holding {
  /** `namespace/name` of the Service; undefined: nobody's, because several claimed it before any had it. */
  readonly holder: string | undefined;
  /** It was given up, and is nobody else's before this moment (Clock.monotonic()); undefined while it is claimed as it was. */
  readonly until: number | undefined;
}

/**
 * Whose a port is, after its claims have changed or time has passed. The first claim stands. Nodes that lag still lead clients of
 * a Service to a port that it has given up, so it goes to nobody else before they have followed. Of several that claim a port
 * that is nobody's none is chosen: whoever comes there may mean any of them.
 * @param before undefined: nobody's, and nobody has claimed it
 * @param claimants Services that claim it
 * @param lagMs how long nodes may lag behind the Service that gives it up now
 */
export function nextHolding(
  before: Holding | undefined,
  claimants: ReadonlySet<string>,
  nowMs: number,
  lagMs: number,
): Holding | undefined {
  if (before !== undefined) {
    const { holder, until } = before;
    const stands = holder === undefined ? claimants.size > 1 && until === undefined : claimants.has(holder);
    if (stands) return until === undefined ? before : { holder, until: undefined };
    if (until === undefined) return { holder, until: nowMs + lagMs };
    if (nowMs < until) return before;
  }
  const [only] = claimants;
  if (only === undefined) return undefined;
  return { holder: claimants.size === 1 ? only : undefined, until: undefined };
}

interface Port {
  claims: Route[];
  holding: Holding | undefined;
  /** What it leads to now. */
  route: Route | undefined;
}

const serviceOf = ({ service }: Route): string => keyOf(service.namespace, service.name);

/** Which of the routes that claim it each resolver port has. */
export class PortHolders {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #onPassed: () => void;
  readonly #ports = new Map<number, Port>();
  /** Ports that were given up and are nobody else's yet. */
  readonly #givenUp = new Set<number>();
  #timer: { readonly due: number; readonly timer: Timer } | undefined;
  #opened = false;

  /** @param deps.onPassed ports lead elsewhere, or nowhere, because their time was up */
  constructor(deps: { clock: Clock; logger: Logger; onPassed: () => void }) {
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#onPassed = deps.onPassed;
  }

  /**
   * From here on claims come one after another. Those of before came all at once, when the process began: which of them was the
   * first is not known.
   */
  open(): void {
    this.#opened = true;
    for (const [resolverPort, port] of this.#ports) {
      this.#decide(resolverPort, port, 0);
      for (const claim of port.claims) this.#tellWaiting(claim, port);
    }
  }

  routeOf(resolverPort: number): Route | undefined {
    return this.#ports.get(resolverPort)?.route;
  }

  /** Ports that lead somewhere. */
  *ports(): Iterable<number> {
    for (const [resolverPort, { route }] of this.#ports) if (route !== undefined) yield resolverPort;
  }

  /** Claims on ports that another Service has, or nobody because several claim them. */
  get waiting(): number {
    let count = 0;
    for (const port of this.#ports.values()) count += port.claims.filter((claim) => this.#waits(claim, port)).length;
    return count;
  }

  claim(route: Route): void {
    const { resolverPort } = route;
    let port = this.#ports.get(resolverPort);
    if (port === undefined) {
      port = { claims: [], holding: undefined, route: undefined };
      this.#ports.set(resolverPort, port);
    }
    port.claims.push(route);
    this.#decide(resolverPort, port, 0);
    this.#tellWaiting(route, port);
  }

  /** Until nodes have followed, the port still leads where it led. @param lagMs how long nodes may lag behind this change */
  release(route: Route, lagMs: number): void {
    const port = this.#ports.get(route.resolverPort);
    if (port === undefined) return;
    port.claims = port.claims.filter((claim) => claim !== route);
    this.#decide(route.resolverPort, port, lagMs);
  }

  /** A Service is not known any more: the ports that it has given up lead nowhere from here on. */
  forget(namespace: string, name: string): void {
    for (const resolverPort of this.#givenUp) {
      const port = this.#ports.get(resolverPort);
      if (port?.holding?.holder === keyOf(namespace, name)) port.route = undefined;
    }
  }

  close(): void {
    this.#timer?.timer.cancel();
    this.#timer = undefined;
    this.#ports.clear();
    this.#givenUp.clear();
  }

  #decide(resolverPort: number, port: Port, lagMs: number): void {
    if (!this.#opened) {
      if (port.claims.length === 0) this.#ports.delete(resolverPort);
      return;
    }
    const { claims } = port;
    const holding = nextHolding(port.holding, new Set(claims.map(serviceOf)), this.#clock.monotonic(), lagMs);
    port.holding = holding;
    if (holding?.holder === undefined) port.route = undefined;
    else if (holding.until === undefined) {
      const own = claims.filter((claim) => serviceOf(claim) === holding.holder);
      if (port.route === undefined || !own.includes(port.route)) port.route = own[0];
    }
    if (holding?.until === undefined) this.#givenUp.delete(resolverPort);
    else {
      this.#givenUp.add(resolverPort);
      this.#passAt(holding.until);
    }
    if (claims.length === 0 && holding === undefined) this.#ports.delete(resolverPort);
  }

  #passAt(due: number): void {
    if (this.#timer !== undefined && this.#timer.due <= due) return;
    this.#timer?.timer.cancel();
    const timer = this.#clock.after(Math.max(0, due - this.#clock.monotonic()), () => this.#pass());
    this.#timer = { due, timer };
  }

  /** The time of some ports is up. */
  #pass(): void {
    this.#timer = undefined;
    for (const resolverPort of [...this.#givenUp]) {
      const port = this.#ports.get(resolverPort);
      if (port !== undefined) this.#decide(resolverPort, port, 0);
    }
    this.#onPassed();
  }

  #waits(claim: Route, { holding }: Port): boolean {
    return this.#opened && holding?.holder !== serviceOf(claim);
  }

  #tellWaiting(claim: Route, port: Port): void {
    if (!this.#waits(claim, port)) return;
    const { namespace, name } = claim.service;
    const what = { namespace, service: name, resolverPort: claim.resolverPort, reason: "duplicate-port" };
    const first = port.holding?.holder;
    if (first !== undefined)
      this.#logger.error({ ...what, first }, "two services claim one resolver port; the first keeps it");
    else this.#logger.error(what, "several services claim one resolver port; nobody has it until one is left");
  }
}
