import type { BlockList, Socket } from "node:net";
import type { ElastiService, ServedRoute } from "@elasti/api";
import type { Clock, Logger, Metrics } from "@elasti/core";
import type {
  Activation,
  Forwarder,
  Pick,
  PodSource,
  ResolverView,
  SealAnswer,
  SilentReport,
  TrafficReport,
} from "./contracts.ts";
import { errors } from "./errors.ts";
import { HoldBudget } from "./gate/hold.ts";
import { HttpDoor } from "./listeners/http-door.ts";
import { PortListeners } from "./listeners/port-listener.ts";
import { ProtocolSniffer } from "./listeners/protocol-sniffer.ts";
import { ResolverMetrics } from "./metrics.ts";
import { RequestPath } from "./request-path.ts";
import { RouteTable } from "./routes.ts";
import { ManagedService } from "./service.ts";
import { TrafficLog } from "./traffic-log.ts";

export interface ResolverOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly pick: Pick;
  readonly forwarder: Forwarder;
  readonly activation: Activation;
  readonly createPods: (namespace: string, service: string) => PodSource;
  /** Told of every ElastiService that counts, before its requests are: who finds its pods has to know its phase. */
  readonly observe?: (object: ElastiService) => void;
  readonly bindAddress: string;
  /** The way in by host name; 0 for none. */
  readonly hostPort: number;
  readonly clusterDomain: string;
  readonly trustedProxies: BlockList;
  readonly maxHolds: number;
  readonly maxConnections: number;
  readonly maxParkedBytes: number;
  readonly keepAliveTimeoutMs: number;
  readonly firstByteTimeoutMs: number;
  readonly headTimeoutMs: number;
}

/** The data path of a resolver: everything between its ports and the pods. ElastiServices come in by `upsert` and `remove`. */
export class Resolver implements ResolverView {
  readonly #options: ResolverOptions;
  readonly #routes: RouteTable;
  readonly #listeners: PortListeners;
  readonly #sniffer: ProtocolSniffer;
  readonly #door: HttpDoor;
  readonly #traffic = new TrafficLog();
  readonly #portListeners = new Set<() => void>();
  readonly #budget: HoldBudget;
  #draining = false;
  #started = false;
  #opening: Promise<void> = Promise.resolve();

  constructor(options: ResolverOptions) {
    this.#options = options;
    const { clock, logger, metrics, activation, forwarder } = options;
    this.#budget = new HoldBudget(options.maxHolds);
    const observed = new ResolverMetrics(metrics, {
      holds: () => this.#budget.used,
      maxHolds: options.maxHolds,
      ports: () => this.#listeners.counts,
      duplicatePorts: () => this.#routes.duplicates,
      connections: () => this.#sniffer.counts,
      parkedBytes: () => this.#sniffer.counts.parkedBytes,
      services: () => this.#routes.size,
    });
    const service = {
      clock,
      logger,
      pick: options.pick,
      budget: this.#budget,
      activation,
      createPods: options.createPods,
      onHoldEnd: observed.holdEnded.bind(observed),
    };
    this.#routes = new RouteTable({
      clock,
      logger,
      clusterDomain: options.clusterDomain,
      createService: (namespace, name) =>
        new ManagedService(namespace, name, service, this.#traffic.eventsOf(namespace, name)),
      onPorts: () => {
        this.#openPorts();
        this.#tellPorts();
      },
      ...(options.observe === undefined ? {} : { observe: options.observe }),
    });
    this.#traffic.serviceOf = (namespace, name) => this.#routes.service(namespace, name);
    const path = new RequestPath({
      clock,
      logger,
      forwarder,
      activation,
      metrics: observed,
      routeOf: (port) => this.#routes.byPort(port),
      routeOfHost: (host) => this.#routes.byHost(host),
      hostPort: options.hostPort,
      trustedProxies: options.trustedProxies,
      draining: () => this.#draining,
    });
    this.#door = new HttpDoor({
      onRequest: path.request.bind(path),
      onUpgrade: path.upgrade.bind(path),
      onConnect: path.connect.bind(path),
      onClientError: path.clientError.bind(path),
      keepAliveTimeoutMs: options.keepAliveTimeoutMs,
      headTimeoutMs: options.headTimeoutMs,
    });
    this.#sniffer = new ProtocolSniffer({
      clock,
      routeOf: (port) => this.#routes.byPort(port),
      accept: (socket: Socket) => this.#door.accept(socket),
      firstByteTimeoutMs: options.firstByteTimeoutMs,
      headTimeoutMs: options.headTimeoutMs,
      maxConnections: options.maxConnections,
      maxParkedBytes: options.maxParkedBytes,
      onRefused: (protocol) => observed.rejected(protocol),
    });
    this.#listeners = new PortListeners({
      logger,
      bindAddress: options.bindAddress,
      onConnection: (socket, port) => this.#sniffer.take(socket, port),
      onListening: () => this.#tellPorts(),
    });
    activation.onFailure((namespace, name, failure) => this.#routes.service(namespace, name)?.wakeFailed(failure));
  }

  upsert(object: ElastiService): void {
    this.#routes.upsert(object);
  }

  remove(object: ElastiService): void {
    this.#routes.remove(object);
  }

  /** Opens the ports that are wanted so far; from here on they follow the routes. */
  async start(): Promise<void> {
    this.#door.start();
    this.#routes.open();
    this.#started = true;
    this.#openPorts();
    await this.opened();
  }

  /** Resolves when the ports that were wanted at the time of the call are open, or have failed. */
  opened(): Promise<void> {
    return this.#opening;
  }

  /** Why it should get no traffic now: ports that it could not open. */
  get failedPorts(): ReadonlyMap<number, string> {
    return this.#listeners.failed;
  }

  /** Client connections by state. */
  get connections(): ProtocolSniffer["counts"] {
    return this.#sniffer.counts;
  }

  get holds(): number {
    return this.#budget.used;
  }

  /** Forwarded and not finished, over all services: requests and upgraded connections. */
  get inFlight(): number {
    return this.#budget.inFlight;
  }

  /** Holds of one service; undefined for one that is not known. */
  heldOf(namespace: string, service: string): number | undefined {
    return this.#routes.service(namespace, service)?.gate.held;
  }

  /** From here on answers close their connections. Ports stay open: clients may not know yet. */
  beginDrain(): void {
    this.#draining = true;
  }

  /** Resolves when nothing is held and nothing is in flight. */
  whenIdle(): Promise<void> {
    return new Promise((resolve) => {
      const look = () => {
        if (this.holds > 0 || this.inFlight > 0) return;
        this.#traffic.onIdle = () => {};
        resolve();
      };
      this.#traffic.onIdle = look;
      look();
    });
  }

  /** Answers everything that is held: this process goes. */
  refuseHolds(): void {
    const error = errors.ELASTI_DRAINING("this resolver is shutting down; another one will take the request");
    for (const { gate } of this.#routes.services()) gate.failAll(error);
  }

  /** Accepts no more connections and closes those without a request. */
  stopAccepting(): void {
    this.#listeners.close();
    this.#sniffer.closeSilent();
    this.#door.closeIdle();
  }

  async close(): Promise<void> {
    this.#started = false;
    this.#draining = true;
    this.#listeners.close();
    this.#sniffer.closeUnstarted();
    this.#routes.close();
    // What the holds were answered is on its way out; connections that wait for nothing else end by themselves.
    await new Promise((resolve) => setImmediate(resolve));
    this.#door.close();
    await this.#listeners.closed();
  }

  routes(): ServedRoute[] {
    const served: ServedRoute[] = [];
    for (const resolverPort of this.#listeners.listening) {
      const route = this.#routes.byPort(resolverPort);
      if (route === undefined) continue;
      const { service, port, portName: name } = route;
      const where = { resolverPort, namespace: service.namespace, service: service.name, port };
      served.push(name === undefined ? where : { ...where, name });
    }
    return served;
  }

  onPorts(listener: () => void): () => void {
    this.#portListeners.add(listener);
    return () => this.#portListeners.delete(listener);
  }

  traffic(): TrafficReport[] {
    return this.#traffic.all(this.#routes.services());
  }

  takeChanged(): TrafficReport[] {
    return this.#traffic.takeChanged();
  }

  onUrgent(listener: (report: TrafficReport) => void): () => void {
    return this.#traffic.onUrgent(listener);
  }

  takeSilent(): SilentReport[] {
    return this.#traffic.takeSilent();
  }

  onSilent(listener: () => void): () => void {
    return this.#traffic.onSilent(listener);
  }

  seal(namespace: string, service: string, epoch: number, drainEpoch: number): SealAnswer {
    const managed = this.#routes.service(namespace, service);
    const answer = managed?.state.seal(epoch, drainEpoch) ?? ({ ok: false, reason: "unknown-service" } as const);
    const told = answer.ok ? { ok: true } : { ok: false, reason: answer.reason };
    this.#options.logger.info({ namespace, service, epoch, ...told }, "seal asked for");
    return answer;
  }

  #tellPorts(): void {
    for (const listener of this.#portListeners) listener();
  }

  #openPorts(): void {
    if (!this.#started || this.#draining) return;
    const { hostPort } = this.#options;
    const wanted = new Set(this.#routes.ports);
    if (hostPort !== 0) wanted.add(hostPort);
    const before = this.#opening;
    const update = this.#listeners.update(wanted);
    this.#opening = Promise.all([before, update]).then(() => {});
  }
}
