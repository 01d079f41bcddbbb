import { once } from "node:events";
import {
  createServer,
  request as httpRequest,
  type IncomingMessage,
  type RequestListener,
  type Server,
  type ServerResponse,
} from "node:http";
import { type AddressInfo, connect, createServer as createNetServer, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import type { ElastiService, ElastiServiceSpec, ElastiServiceStatus } from "@elasti/api";
import { type Clock, Metrics, silentLogger, systemClock } from "@elasti/core";
import { addressSet } from "../../src/config.ts";
import type {
  Activation,
  Forwarder,
  ForwardOptions,
  ForwardOutcome,
  PodSource,
  PodTarget,
  WakeFailure,
} from "../../src/contracts.ts";
import { Resolver } from "../../src/resolver.ts";

/** Pods that a test sets. */
export class FakePods implements PodSource {
  pods: PodTarget[] = [];
  demand = false;
  failures: PodTarget[] = [];
  readonly #listeners = new Set<() => void>();

  set(...pods: PodTarget[]): void {
    this.pods = pods;
    for (const listener of this.#listeners) listener();
  }

  usable(): readonly PodTarget[] {
    return this.pods;
  }

  onChange(listener: () => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  setDemand(waiting: boolean): void {
    this.demand = waiting;
  }

  reportFailure(pod: PodTarget): void {
    this.failures.push(pod);
    this.set(...this.pods.filter((other) => other.uid !== pod.uid));
  }

  close(): void {
    this.#listeners.clear();
  }
}

/** Remembers who was to be woken. */
export class FakeActivation implements Activation {
  readonly requests: string[] = [];
  readonly wanting = new Map<string, () => number>();
  failure: WakeFailure | undefined;
  readonly #listeners = new Set<(namespace: string, service: string, failure: WakeFailure) => void>();
  readonly #waiters: (() => void)[] = [];

  request(namespace: string, service: string, held: () => number): void {
    this.requests.push(`${namespace}/${service}`);
    this.wanting.set(`${namespace}/${service}`, held);
    for (const waiter of this.#waiters.splice(0)) waiter();
  }

  stop(namespace: string, service: string): void {
    this.wanting.delete(`${namespace}/${service}`);
  }

  lastFailure(): WakeFailure | undefined {
    return this.failure;
  }

  onFailure(listener: (namespace: string, service: string, failure: WakeFailure) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  fail(namespace: string, service: string, failure: WakeFailure): void {
    this.failure = failure;
    for (const listener of this.#listeners) listener(namespace, service, failure);
  }

  /** Resolves at the next wake that is asked for. */
  next(): Promise<void> {
    return new Promise((resolve) => this.#waiters.push(resolve));
  }
}

/** Just enough of a forwarder to carry requests of tests. */
export class FakeForwarder implements Forwarder {
  readonly sent: { url: string | undefined; pod: string; options: ForwardOptions }[] = [];

  http(
    request: IncomingMessage,
    response: ServerResponse,
    pod: PodTarget,
    options: ForwardOptions,
  ): Promise<ForwardOutcome> {
    return new Promise((resolve) => {
      const { expect: _, upgrade: _u, connection: _c, ...headers } = request.headers;
      const out = httpRequest({
        host: pod.address,
        port: pod.port,
        method: request.method,
        path: request.url,
        headers,
        agent: false,
      });
      let connected = false;
      out.on("socket", (socket) =>
        socket.on("connect", () => {
          connected = true;
          this.sent.push({ url: request.url, pod: pod.name, options });
          if (request.headers.expect !== undefined) response.writeContinue();
          request.pipe(out);
        }),
      );
      out.on("response", (answer) => {
        const { connection: _c, "keep-alive": _k, ...kept } = answer.headers;
        response.writeHead(answer.statusCode ?? 502, {
          ...kept,
          ...(options.serverTiming === undefined ? {} : { "server-timing": options.serverTiming }),
          ...(options.coldStartMs === undefined ? {} : { "elasti-cold-start": String(options.coldStartMs) }),
          ...(options.closeConnection ? { connection: "close" } : {}),
        });
        answer.pipe(response);
        answer.on("end", () => resolve({ kind: "answered", status: answer.statusCode ?? 0 }));
      });
      response.on("close", () => {
        if (response.writableFinished) return;
        out.destroy();
        resolve({ kind: "client-left" });
      });
      out.on("error", (error) => {
        if (!connected) resolve({ kind: "not-sent", error });
        else response.destroy();
      });
    });
  }

  upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, pod: PodTarget): Promise<ForwardOutcome> {
    return new Promise((resolve) => {
      const out = connect(pod.port, pod.address, () => {
        out.write(
          `GET ${request.url} HTTP/1.1\r\nhost: x\r\nconnection: upgrade\r\nupgrade: ${request.headers.upgrade}\r\n\r\n`,
        );
        out.write(head);
        out.pipe(socket);
        socket.pipe(out);
      });
      out.on("error", (error) => resolve({ kind: "not-sent", error }));
      out.on("close", () => resolve({ kind: "answered", status: 101 }));
      socket.on("close", () => out.destroy());
    });
  }

  async close(): Promise<void> {}
}

export interface World {
  readonly resolver: Resolver;
  readonly port: number;
  readonly hostPort: number;
  readonly pods: FakePods;
  readonly activation: FakeActivation;
  readonly forwarder: FakeForwarder;
  readonly metrics: Metrics;
  /** Moves the service to a phase; the epoch rises by one. */
  phase(status: Partial<ElastiServiceStatus>, spec?: Partial<ElastiServiceSpec>): void;
  epoch(): number;
  close(): Promise<void>;
}

/** A resolver with one service, `default/web`, asleep, on a free port of loopback. */
export async function startWorld(
  options: {
    spec?: Partial<ElastiServiceSpec>;
    clock?: Clock;
    maxHolds?: number;
    hostPort?: boolean;
    trusted?: string;
    /** What status says when the resolver starts; asleep where left out. */
    status?: Partial<ElastiServiceStatus>;
    /** Forwards in place of the fake. */
    carrier?: Forwarder;
  } = {},
): Promise<World> {
  const pods = new FakePods();
  const activation = new FakeActivation();
  const forwarder = new FakeForwarder();
  const metrics = new Metrics({ cacheMs: 0 });
  const port = await freePort();
  const hostPort = options.hostPort === true ? await freePort() : 0;
  const resolver = new Resolver({
    clock: options.clock ?? systemClock,
    logger: silentLogger,
    metrics,
    pick: (candidates, inFlightOf) => [...candidates].sort((a, b) => inFlightOf(a) - inFlightOf(b))[0],
    forwarder: options.carrier ?? forwarder,
    activation,
    createPods: () => pods,
    bindAddress: "127.0.0.1",
    hostPort,
    clusterDomain: "cluster.local",
    trustedProxies: addressSet(options.trusted === undefined ? [] : [options.trusted]),
    maxHolds: options.maxHolds ?? 20_000,
    maxConnections: 10_000,
    maxParkedBytes: 64 * 1024 * 1024,
    keepAliveTimeoutMs: 5_000,
    firstByteTimeoutMs: 10_000,
    headTimeoutMs: 5_000,
  });
  let epoch = 0;
  let generation = 0;
  let spec: Partial<ElastiServiceSpec> = options.spec ?? {};
  const phase = (status: Partial<ElastiServiceStatus>, change?: Partial<ElastiServiceSpec>) => {
    epoch += 1;
    if (change !== undefined || generation === 0) generation += 1;
    spec = { ...spec, ...change };
    resolver.upsert(webService({ spec, generation, status: { epoch, routes: [route(port)], ...status } }));
  };
  phase(options.status ?? { phase: "Asleep", podsGone: true });
  await resolver.start();
  return {
    resolver,
    port,
    hostPort,
    pods,
    activation,
    forwarder,
    metrics,
    phase,
    epoch: () => epoch,
    close: () => resolver.close(),
  };
}

export const route = (resolverPort: number, port = 80) => ({ name: "http", port, resolverPort, protocol: "TCP" });

export function webService(parts: {
  name?: string;
  uid?: string;
  created?: string;
  generation?: number;
  spec?: Partial<ElastiServiceSpec>;
  status?: ElastiServiceStatus;
}): ElastiService {
  const name = parts.name ?? "web";
  return {
    apiVersion: "elasti.truefoundry.com/v1alpha1",
    kind: "ElastiService",
    metadata: {
      name,
      namespace: "default",
      uid: parts.uid ?? `uid-${name}`,
      creationTimestamp: parts.created ?? "2026-01-01T00:00:00Z",
      generation: parts.generation ?? 1,
    },
    spec: {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
      service: name,
      triggers: [{ type: "prometheus" }],
      ...parts.spec,
    },
    ...(parts.status === undefined ? {} : { status: parts.status }),
  };
}

export async function freePort(): Promise<number> {
  const server = createNetServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  server.close();
  await once(server, "close");
  return port;
}

/** An HTTP server that plays a pod. */
export async function startPod(
  name: string,
  handler: RequestListener,
): Promise<{ target: PodTarget; server: Server; close(): Promise<void> }> {
  const server = createServer(handler).listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as AddressInfo;
  return {
    target: { uid: `uid-${name}`, name, address: "127.0.0.1", port },
    server,
    close: async () => {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    },
  };
}

/** A client that says exactly what a test wants it to say. */
export class RawClient {
  readonly socket: Socket;
  #text = "";
  #ended = false;
  readonly #waiting: { matches: (text: string) => boolean; done: () => void }[] = [];

  constructor(port: number) {
    this.socket = connect(port, "127.0.0.1");
    this.socket.on("error", () => {});
    this.socket.on("data", (chunk) => {
      this.#text += chunk.toString("latin1");
      this.#look();
    });
    this.socket.on("close", () => {
      this.#ended = true;
      this.#look();
    });
  }

  get text(): string {
    return this.#text;
  }

  send(text: string | Buffer): this {
    this.socket.write(text);
    return this;
  }

  get(path: string, headers = ""): this {
    return this.send(`GET ${path} HTTP/1.1\r\nhost: web\r\n${headers}\r\n`);
  }

  /** Resolves with everything received so far once it contains `part`; also when the connection has ended. */
  async receives(part: string | RegExp): Promise<string> {
    const matches = (text: string) => (typeof part === "string" ? text.includes(part) : part.test(text));
    if (!this.#ended && !matches(this.#text)) {
      await new Promise<void>((done) => this.#waiting.push({ matches, done }));
    }
    return this.#text;
  }

  async ends(): Promise<string> {
    return await this.receives(/$^never/);
  }

  #look(): void {
    for (const entry of [...this.#waiting]) {
      if (!this.#ended && !entry.matches(this.#text)) continue;
      this.#waiting.splice(this.#waiting.indexOf(entry), 1);
      entry.done();
    }
  }
}

/** Resolves when `holds` is true, looking at each turn of the loop; for what has no event of its own. */
export async function until(holds: () => boolean): Promise<void> {
  for (let turn = 0; !holds(); turn++) {
    if (turn > 100_000) throw new Error("it never came true");
    await new Promise((resolve) => setImmediate(resolve));
  }
}
