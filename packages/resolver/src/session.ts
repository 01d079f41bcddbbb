import type { ClientRequest } from "node:http";
import type { Duplex } from "node:stream";
import {
  parseSessionDown,
  paths,
  ROUTES_PER_LINE,
  SESSION_LINE_BYTES,
  SESSION_PING_MS,
  SESSION_PROTOCOL,
  type ServedRoute,
  type SessionDown,
  type SessionUp,
  sessionDownTypes,
} from "@elasti/api";
import { Backoff, type Clock, errorText, http, JsonLines, type Logger, type Timer } from "@elasti/core";
import type { ResolverView, TrafficReport } from "./contracts.ts";
import { dialProof } from "./dial-proof.ts";
import type { OperatorDirectory, OperatorEndpoint } from "./operator-endpoints.ts";

/** Who this resolver is. */
export interface ResolverIdentity {
  /** Pod name, as in the endpoint's targetRef. */
  readonly resolver: string;
  readonly namespace: string;
  readonly node: string;
  /** Its own addresses, the one that proofs are dialled from first. */
  readonly addresses: readonly string[];
}

export interface OperatorSessionsOptions {
  readonly endpoints: OperatorDirectory;
  readonly view: ResolverView;
  readonly identity: ResolverIdentity;
  readonly token: () => Promise<string | undefined>;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly random?: () => number;
}

const openTimeoutMs = 10_000;
const trafficEveryMs = 1_000;
/** Ports open one after another; those that open together are told together. */
const portsAfterMs = 20;
/** As many services as one line may carry. */
const servicesPerLine = 500;
/** A session begins with all routes, of up to 20,000 ports, and all traffic, before the operator has read a byte. */
const maxUnsentBytes = 8 * 1024 * 1024;
/** Proofs that one operator may have waiting. */
const maxProofs = 64;
/** A session that lasted so long was a good one: the next attempt comes soon. */
const goodSessionMs = 10_000;

/** The session to one replica of the operator, opened again for as long as the replica is there. */
class OperatorSession {
  readonly #endpoint: OperatorEndpoint;
  readonly #options: OperatorSessionsOptions;
  readonly #logger: Logger;
  readonly #backoff: Backoff;
  readonly #stop = new AbortController();
  #stream: JsonLines<SessionDown, SessionUp> | undefined;
  #request: ClientRequest | undefined;
  #timer: Timer | undefined;
  /** What each port leads to, as this operator was told. */
  #told: ReadonlyMap<number, ServedRoute> = new Map();
  /** Proofs under way. */
  #proofs = 0;
  /** Aborts the proofs of the present session. */
  #session = new AbortController();

  constructor(endpoint: OperatorEndpoint, options: OperatorSessionsOptions) {
    this.#endpoint = endpoint;
    this.#options = options;
    this.#logger = options.logger.child({ operator: endpoint.name });
    this.#backoff = new Backoff(250, 10_000, options.random);
    void this.#open();
  }

  get connected(): boolean {
    return this.#stream !== undefined;
  }

  send(line: SessionUp): void {
    this.#stream?.send(line);
  }

  /** Tells what has changed of its routes, and then on which ports it listens: no port is told without what it leads to. */
  sendRoutes(routes: readonly ServedRoute[]): void {
    if (!this.connected) return;
    const known = this.#told.size;
    const untold = this.#untold(routes);
    if (untold.length === 0 && routes.length === known) return;
    for (const line of routeLines(untold)) this.send(line);
    this.send({ type: "ports", ports: routes.map(({ resolverPort }) => resolverPort) });
  }

  #untold(routes: readonly ServedRoute[]): ServedRoute[] {
    const told = this.#told;
    this.#told = new Map(routes.map((route) => [route.resolverPort, route]));
    return routes.filter((route) => !isSameRoute(route, told.get(route.resolverPort)));
  }

  close(): void {
    if (this.#stop.signal.aborted) return;
    this.#stop.abort();
    this.#timer?.cancel();
    this.#request?.destroy();
    this.#stream?.end("closed");
  }

  async #open(): Promise<void> {
    const { clock, token } = this.#options;
    const bearer = await token();
    if (this.#stop.signal.aborted) return;
    const request = http.request({
      host: this.#endpoint.address,
      port: this.#endpoint.port,
      path: paths.session,
      agent: false,
      headers: {
        connection: "Upgrade",
        upgrade: SESSION_PROTOCOL,
        ...(bearer === undefined ? {} : { authorization: `Bearer ${bearer}` }),
      },
    });
    this.#request = request;
    let over = false;
    const fail = (reason: string) => {
      if (over) return;
      over = true;
      timer.cancel();
      request.destroy();
      this.#retry(reason);
    };
    const timer = clock.after(openTimeoutMs, () => fail("no answer"));
    request.on("error", (error) => fail(errorText(error)));
    request.on("response", (response) => fail(`HTTP ${response.statusCode}`));
    request.on("upgrade", (_response, socket, head) => {
      if (over) {
        socket.destroy();
        return;
      }
      over = true;
      timer.cancel();
      this.#begin(socket, head);
    });
    request.end();
  }

  #begin(socket: Duplex, head: Buffer): void {
    const { clock, view, identity } = this.#options;
    const openedAt = clock.monotonic();
    this.#request = undefined;
    this.#session = new AbortController();
    let ended = false;
    const stream = new JsonLines<SessionDown, SessionUp>(socket, head, {
      clock,
      maxLineBytes: SESSION_LINE_BYTES,
      pingMs: SESSION_PING_MS,
      maxUnsentBytes,
      check: (line): line is SessionDown => parseSessionDown.Check(line),
      types: sessionDownTypes,
      onLine: (line) => queueMicrotask(() => this.#take(line)),
      onEnd: (reason) => {
        ended = true;
        this.#stream = undefined;
        this.#session.abort(new Error("the session has ended"));
        if (clock.monotonic() - openedAt >= goodSessionMs) this.#backoff.reset();
        this.#retry(reason);
      },
    });
    if (ended) return;
    this.#stream = stream;
    const addresses = identity.addresses.slice(0, 4);
    const routes = view.routes();
    this.#told = new Map();
    // without one, this would be a resolver of a former version
    if (routes.length === 0) stream.send({ type: "routes", routes: [] });
    for (const line of routeLines(this.#untold(routes))) stream.send(line);
    const ports = routes.map(({ resolverPort }) => resolverPort);
    stream.send({ ...identity, addresses, type: "hello", ports });
    for (const line of trafficLines(view.traffic())) stream.send(line);
    this.#logger.debug({ reason: "session-open" }, "session with the operator");
  }

  #retry(reason: string): void {
    if (this.#stop.signal.aborted) return;
    this.#logger.debug({ reason }, "no session with the operator");
    this.#timer = this.#options.clock.after(this.#backoff.next(), () => void this.#open());
  }

  #take(line: SessionDown): void {
    const { view } = this.#options;
    if (line.type === "seal") {
      const { namespace, service, epoch, drainEpoch } = line;
      const answer = view.seal(namespace, service, epoch, drainEpoch);
      this.send({ type: "sealed", namespace, service, epoch, ...answer });
    } else if (line.type === "prove") {
      void this.#prove(line);
    }
  }

  /** Proofs of different services go on side by side; the operator asks for one at a time of each. */
  async #prove(line: Extract<SessionDown, { type: "prove" }>): Promise<void> {
    const { namespace, service, proof } = line;
    if (this.#proofs >= maxProofs) {
      this.send({ type: "dialled", namespace, service, proof, dials: [], error: "too many proofs at once" });
      return;
    }
    const { clock, identity } = this.#options;
    const { signal } = this.#session;
    this.#proofs += 1;
    try {
      const dialled = await dialProof(line, { clock, signal, localAddress: identity.addresses[0] });
      if (!signal.aborted) this.send(dialled);
    } finally {
      this.#proofs -= 1;
    }
  }
}

/** Lines for any number of reports. */
const trafficLines = (reports: readonly TrafficReport[]): SessionUp[] =>
  inPieces(reports, servicesPerLine).map((services) => ({ type: "traffic", services }));

const routeLines = (routes: readonly ServedRoute[]): SessionUp[] =>
  inPieces(routes, ROUTES_PER_LINE).map((piece) => ({ type: "routes", routes: piece }));

function inPieces<T>(all: readonly T[], size: number): T[][] {
  const pieces: T[][] = [];
  for (let at = 0; at < all.length; at += size) pieces.push(all.slice(at, at + size));
  return pieces;
}

const isSameRoute = (a: ServedRoute, b: ServedRoute | undefined): boolean =>
  a.namespace === b?.namespace && a.service === b.service && a.port === b.port && a.name === b.name;

/**
 * One session to every replica of the operator. What changes is told to all of them: traffic at most once a second, the first
 * request in Draining, silent connections, ports and routes at once.
 */
export class OperatorSessions {
  readonly #options: OperatorSessionsOptions;
  readonly #sessions = new Map<string, OperatorSession>();
  readonly #ends: (() => void)[] = [];
  #traffic: Timer | undefined;
  #ports: Timer | undefined;
  #closed = false;

  constructor(options: OperatorSessionsOptions) {
    this.#options = options;
  }

  start(): void {
    const { endpoints, view } = this.#options;
    this.#ends.push(
      endpoints.onChange(() => this.#follow()),
      view.onUrgent((report) => this.#tell({ type: "traffic", services: [report] })),
      view.onSilent(() => this.#tellSilent()),
      view.onPorts(() => this.#tellRoutesSoon()),
    );
    this.#follow();
    this.#scheduleTraffic();
  }

  /** Replicas with which there is a session. */
  get connected(): number {
    let count = 0;
    for (const session of this.#sessions.values()) if (session.connected) count += 1;
    return count;
  }

  close(): void {
    this.#closed = true;
    for (const end of this.#ends.splice(0)) end();
    this.#traffic?.cancel();
    this.#ports?.cancel();
    for (const session of this.#sessions.values()) session.close();
    this.#sessions.clear();
  }

  #follow(): void {
    const present = new Map(this.#options.endpoints.list().map((endpoint) => [endpoint.key, endpoint]));
    for (const [key, session] of this.#sessions) {
      if (present.has(key)) continue;
      session.close();
      this.#sessions.delete(key);
    }
    for (const [key, endpoint] of present)
      if (!this.#sessions.has(key)) this.#sessions.set(key, new OperatorSession(endpoint, this.#options));
  }

  #tell(line: SessionUp): void {
    for (const session of this.#sessions.values()) session.send(line);
  }

  #scheduleTraffic(): void {
    this.#traffic = this.#options.clock.after(trafficEveryMs, () => {
      // what changes while there is no session goes into the first lines of the next one
      if (this.connected > 0) for (const line of trafficLines(this.#options.view.takeChanged())) this.#tell(line);
      if (!this.#closed) this.#scheduleTraffic();
    });
  }

  #tellSilent(): void {
    if (this.connected === 0) return;
    for (const { namespace, service, peers } of this.#options.view.takeSilent())
      this.#tell({ type: "silent", namespace, service, peers: [...peers] });
  }

  #tellRoutesSoon(): void {
    this.#ports ??= this.#options.clock.after(portsAfterMs, () => {
      this.#ports = undefined;
      const routes = this.#options.view.routes();
      for (const session of this.#sessions.values()) session.sendRoutes(routes);
    });
  }
}
