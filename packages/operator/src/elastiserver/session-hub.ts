import type { Duplex } from "node:stream";
import {
  keyOf,
  parseSessionUp,
  SESSION_LINE_BYTES,
  SESSION_PING_MS,
  type ServedRoute,
  type SessionDown,
  type SessionUp,
  sessionUpTypes,
  type TrafficReport,
} from "@elasti/api";
import { type Clock, JsonLines, type Logger, type Metrics, type Timer } from "@elasti/core";
import { type ProveOutcome, type ProveRequest, Prover } from "./prover.ts";
import { Sealer, type SealOutcome, type SealRequest } from "./sealer.ts";
import { sessionMetrics } from "./session-metrics.ts";
import { TrafficLedger } from "./traffic-ledger.ts";

/** A resolver that has a session with this operator replica. */
export interface ResolverView {
  /** Pod name. */
  readonly id: string;
  readonly node: string;
  readonly addresses: readonly string[];
  /** Resolver ports that it listens on. */
  readonly ports: ReadonlySet<number>;
  /** What they lead to, by resolver port; undefined for a resolver of a former version, which does not say it. */
  readonly routes: ReadonlyMap<number, ServedRoute> | undefined;
  /** Clock.now() of its hello. */
  readonly connectedAt: number;
}

export interface TrafficView {
  /** Requests seen by all resolvers; only grows while this process lives. */
  readonly requests: number;
  readonly inFlight: number;
  readonly held: number;
  /** Clock.now() of the newest request known of, by whichever resolver, connected or not. */
  readonly lastRequestAtMs: number | undefined;
  /** Resolvers whose numbers these are: connected long enough for a first report to have come. */
  readonly reporters: readonly string[];
  /** Since when all of them report without a gap; undefined without reporters. */
  readonly observedSinceMs: number | undefined;
}

/** A point to count requests from. */
export interface TrafficMark {
  readonly key: string;
  readonly requests: number;
  readonly sessions: ReadonlyMap<string, number>;
}

interface Session {
  readonly serial: number;
  readonly connection: JsonLines<SessionUp, SessionDown>;
  readonly helloTimer: Timer;
  view: ResolverView | undefined;
  /** What its ports lead to, as far as it has said. */
  routes: Map<number, ServedRoute> | undefined;
  /** Clock.monotonic() of its hello. */
  helloAt: number;
}

export interface SessionHubOptions {
  /** Name of this replica, told to resolvers. */
  readonly operator: string;
  /** Whether this replica leads, told to resolvers. */
  readonly leader?: () => boolean;
  readonly maxSessions?: number;
  readonly maxServices?: number;
  /** After its hello, how long a resolver is given for its first report. */
  readonly settleMs?: number;
  readonly pingMs?: number;
}

/** Names of pods do not come back after a rollout, and each keeps a row per service until it is forgotten. */
const maxDeparted = 32;

/** The sessions of all resolvers with this replica: who they are, what they count, and the way to ask them to prove and seal. */
export class SessionHub {
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #options: SessionHubOptions;
  readonly #maxSessions: number;
  readonly #settleMs: number;
  readonly #metrics: ReturnType<typeof sessionMetrics>;
  readonly #ledger: TrafficLedger;
  readonly #prover: Prover;
  readonly #sealer: Sealer;
  readonly #sessions = new Set<Session>();
  readonly #byResolver = new Map<string, Session>();
  /** Resolvers without a session whose counts are kept for their return; the one gone longest comes first. */
  readonly #departed = new Set<string>();
  readonly #changeListeners = new Set<(ports: ReadonlySet<number> | undefined) => void>();
  readonly #trafficListeners = new Set<(key: string) => void>();
  #serial = 0;
  #closed = false;

  constructor(
    deps: { clock: Clock; logger: Logger; metrics: Metrics; random?: () => number },
    options: SessionHubOptions,
  ) {
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#options = options;
    this.#maxSessions = options.maxSessions ?? 256;
    this.#settleMs = options.settleMs ?? 2_000;
    this.#metrics = sessionMetrics(deps.metrics, () => this.#byResolver.size);
    this.#ledger = new TrafficLedger(options.maxServices ?? 20_000);
    const directory = { find: (resolver: string) => this.#handle(resolver) };
    this.#prover = new Prover({ directory, clock: deps.clock, random: deps.random ?? Math.random });
    this.#sealer = new Sealer({ directory, clock: deps.clock });
  }

  /** Whether another session would be one too many. */
  get full(): boolean {
    return this.#closed || this.#sessions.size >= this.#maxSessions;
  }

  /** Takes an upgraded and authenticated socket over. */
  accept(socket: Duplex, head: Buffer): void {
    if (this.full) {
      socket.destroy();
      return;
    }
    this.#serial += 1;
    const serial = this.#serial;
    const pingMs = this.#options.pingMs ?? SESSION_PING_MS;
    const connection: JsonLines<SessionUp, SessionDown> = new JsonLines(socket, Buffer.alloc(0), {
      clock: this.#clock,
      maxLineBytes: SESSION_LINE_BYTES,
      pingMs,
      check: (line): line is SessionUp => parseSessionUp.Check(line),
      types: sessionUpTypes,
      onLine: (line) => this.#line(session, line),
      onEnd: (reason) => this.#end(session, reason),
    });
    const helloTimer = this.#clock.after(3 * pingMs, () => connection.end("no-hello"));
    const session: Session = { serial, connection, helloTimer, view: undefined, routes: undefined, helloAt: 0 };
    this.#sessions.add(session);
    if (head.length > 0) socket.unshift(head);
  }

  resolvers(): ResolverView[] {
    return [...this.#byResolver.values()].map((session) => session.view!);
  }

  /**
   * Calls back after a resolver came, went or changed its ports.
   * @param listener gets the ports that were opened or closed, or lead elsewhere; undefined when a resolver came or went
   * @returns stops it
   */
  onChange(listener: (ports: ReadonlySet<number> | undefined) => void): () => void {
    this.#changeListeners.add(listener);
    return () => this.#changeListeners.delete(listener);
  }

  traffic(namespace: string, service: string): TrafficView {
    const sessions = this.#settled();
    const { answeredEpoch: _, ...counts } = this.#ledger.read(keyOf(namespace, service), sessions);
    const since = [...sessions.keys()].map((id) => this.#byResolver.get(id)!.view!.connectedAt);
    return {
      ...counts,
      reporters: [...sessions.keys()],
      observedSinceMs: since.length === 0 ? undefined : Math.max(...since),
    };
  }

  /**
   * Requests per second that all resolvers together have seen of late.
   * @returns undefined where they do not report, or not for long enough
   */
  requestsPerSecond(namespace: string, service: string): number | undefined {
    const since = [...this.#settled().keys()].map((id) => this.#byResolver.get(id)!.view!.connectedAt);
    if (since.length === 0) return undefined;
    const sinceMs = Math.max(...since) + this.#settleMs;
    return this.#ledger.perSecond(keyOf(namespace, service), sinceMs, this.#clock.now());
  }

  /** Calls back with the key of a service whenever a resolver reports on it. @returns stops it */
  onTraffic(listener: (key: string) => void): () => void {
    this.#trafficListeners.add(listener);
    return () => this.#trafficListeners.delete(listener);
  }

  mark(namespace: string, service: string): TrafficMark {
    const key = keyOf(namespace, service);
    const sessions = this.#settled();
    return { key, requests: this.#ledger.read(key, sessions).requests, sessions };
  }

  /**
   * Requests since a mark.
   * @returns `lost`: resolvers whose session then is not their session now, so that requests may be unknown
   */
  requestsSince(mark: TrafficMark): { requests: number; lost: readonly string[] } {
    const sessions = this.#settled();
    const { requests } = this.#ledger.read(mark.key, sessions);
    const lost = [...mark.sessions].filter(([id, serial]) => this.#byResolver.get(id)?.serial !== serial);
    return { requests: Math.max(0, requests - mark.requests), lost: lost.map(([id]) => id) };
  }

  /** The newest epoch whose answers from pods any resolver has carried; 0 for none. */
  answeredEpoch(namespace: string, service: string): number {
    return this.#ledger.read(keyOf(namespace, service), new Map()).answeredEpoch;
  }

  /** Drops what is kept of a service that is gone. */
  forget(namespace: string, service: string): void {
    this.#ledger.forgetService(keyOf(namespace, service));
  }

  async prove(request: ProveRequest): Promise<ProveOutcome> {
    const began = this.#clock.monotonic();
    const outcome = await this.#prover.prove(request);
    this.#metrics.proofs.inc({ outcome: outcome.ok ? "proven" : outcome.reason });
    this.#metrics.proofSeconds.observe((this.#clock.monotonic() - began) / 1_000);
    return outcome;
  }

  async seal(request: SealRequest): Promise<SealOutcome> {
    const outcome = await this.#sealer.seal(request);
    this.#metrics.seals.inc({ outcome: outcome.ok ? "sealed" : sealLabel(outcome.reason) });
    return outcome;
  }

  /** Ends all sessions; what waits for them ends with reason `closed`. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    this.#prover.close();
    this.#sealer.close();
    for (const session of [...this.#sessions]) session.connection.end("closed");
    this.#changeListeners.clear();
    this.#trafficListeners.clear();
  }

  #handle(resolver: string) {
    const session = this.#byResolver.get(resolver);
    if (session === undefined) return undefined;
    return { id: resolver, serial: session.serial, send: session.connection.send.bind(session.connection) };
  }

  /** Serial of the session of each resolver that has had time for its first report. */
  #settled(): Map<string, number> {
    const now = this.#clock.monotonic();
    const settled = new Map<string, number>();
    for (const [id, session] of this.#byResolver) {
      if (now - session.helloAt >= this.#settleMs) settled.set(id, session.serial);
    }
    return settled;
  }

  #line(session: Session, line: SessionUp): void {
    const { view } = session;
    if (line.type === "hello") this.#hello(session, line);
    else if (line.type === "routes") this.#routes(session, line.routes);
    else if (view === undefined) session.connection.end("no-hello");
    else if (line.type === "ports") {
      const ports = new Set(line.ports);
      const changed = view.ports.symmetricDifference(ports);
      for (const port of changed) if (!ports.has(port)) session.routes?.delete(port);
      session.view = { ...view, ports };
      this.#notify(changed);
    } else if (line.type === "traffic") {
      this.#traffic(session, view.id, line.services);
    } else if (line.type === "sealed") this.#sealer.answered(view.id, session.serial, line);
    else if (line.type === "dialled") this.#prover.dialled(view.id, line);
    else if (line.type === "silent") this.#prover.silent(view.id, line);
  }

  #routes(session: Session, routes: readonly ServedRoute[]): void {
    session.routes ??= new Map();
    for (const route of routes) session.routes.set(route.resolverPort, route);
    // who is not known yet says hello next, when all of them are told
    if (session.view !== undefined) this.#notify(new Set(routes.map(({ resolverPort }) => resolverPort)));
  }

  #traffic(session: Session, id: string, reports: readonly TrafficReport[]): void {
    const now = this.#clock.now();
    const isNews = this.#clock.monotonic() - session.helloAt >= this.#settleMs;
    if (!reports.every((report) => this.#ledger.report(id, session.serial, report, now, isNews))) {
      session.connection.end("too-many-services");
      return;
    }
    for (const { namespace, service } of reports) {
      for (const listener of this.#trafficListeners) listener(keyOf(namespace, service));
    }
  }

  #hello(session: Session, line: Extract<SessionUp, { type: "hello" }>): void {
    if (session.view !== undefined) {
      session.connection.end("bad-line");
      return;
    }
    session.helloTimer.cancel();
    const { resolver: id, node, addresses, ports } = line;
    this.#byResolver.get(id)?.connection.end("replaced");
    const { routes } = session;
    session.view = { id, node, addresses, ports: new Set(ports), routes, connectedAt: this.#clock.now() };
    session.helloAt = this.#clock.monotonic();
    this.#byResolver.set(id, session);
    this.#departed.delete(id);
    this.#logger.info({ resolver: id, node, ports: ports.length }, "session opened");
    session.connection.send({
      type: "welcome",
      operator: this.#options.operator,
      leader: this.#options.leader?.() ?? false,
    });
    this.#notify();
  }

  #end(session: Session, reason: string): void {
    this.#sessions.delete(session);
    session.helloTimer.cancel();
    this.#metrics.ends.inc({ reason });
    const id = session.view?.id;
    if (id === undefined || this.#byResolver.get(id) !== session) return;
    this.#byResolver.delete(id);
    this.#departed.add(id);
    for (const oldest of this.#departed) {
      if (this.#departed.size <= maxDeparted) break;
      this.#departed.delete(oldest);
      this.#ledger.forgetResolver(oldest);
    }
    this.#prover.gone(id, session.serial);
    this.#sealer.gone(id, session.serial);
    this.#logger.info({ resolver: id, reason }, "session ended");
    this.#notify();
  }

  #notify(ports?: ReadonlySet<number>): void {
    for (const listener of this.#changeListeners) listener(ports);
  }
}

/** Reasons that resolvers may give; anything else shares one label, so that labels stay few. */
const knownRefusals = new Set([
  ...["in-flight", "request-seen", "held", "unknown-epoch", "unknown-service"],
  ...["no-resolvers", "no-session", "session-lost", "timeout", "closed"],
]);
const sealLabel = (reason: string): string => (knownRefusals.has(reason) ? reason : "refused");
