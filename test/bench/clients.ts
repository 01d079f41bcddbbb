import { errorText } from "@elasti/core";
import { type Connection, type Reply, wallMs } from "./connection.ts";
import { type Stage, type Step, steps } from "./stage.ts";

/** Where a client sends from. */
export interface ClientPlace {
  readonly node: number;
  readonly address: string;
  open(host: string, port: number): Promise<Connection>;
}

/** A request that got anything but its own answer. */
export interface Failure {
  readonly service: string;
  readonly text: string;
}

export interface Counts {
  requests: number;
  insideTransition: number;
  /** Inside a transition, on a connection that had carried a request before. */
  onKept: number;
  readonly perStep: Record<Step, number>;
}

export const noCounts = (): Counts => ({
  requests: 0,
  insideTransition: 0,
  onKept: 0,
  perStep: Object.fromEntries(steps.map((step) => [step, 0])) as Record<Step, number>,
});

interface Kept {
  readonly connection: Connection;
  readonly end: "pod" | "resolver";
  readonly since: number;
}

/** Before the app (60 s) or the resolver (75 s) would close them for being idle. */
const IDLE_LIMIT_MS = { pod: 45_000, resolver: 60_000 } as const;
const KEPT_PER_SERVICE = 24;
let serial = 0;

/**
 * The clients of one service, on all nodes. Every request is sent once. Half of the clients keep their connections: those to
 * resolvers throughout, those to pods until the drain begins.
 */
export class Clients {
  readonly #stage: Stage;
  readonly #host: string;
  readonly #port: number;
  readonly #place: () => ClientPlace;
  readonly #isNode: (address: string) => boolean;
  readonly #counts: Counts;
  readonly #onFailure: (failure: Failure) => void;
  #kept: Kept[] = [];

  constructor(options: {
    stage: Stage;
    host: string;
    port: number;
    /** Where another client is. */
    place: () => ClientPlace;
    /** Whether this is a node's own address, from which connections come whose sender a Service hides. */
    isNode: (address: string) => boolean;
    counts: Counts;
    onFailure: (failure: Failure) => void;
  }) {
    this.#stage = options.stage;
    this.#host = options.host;
    this.#port = options.port;
    this.#place = options.place;
    this.#isNode = options.isNode;
    this.#counts = options.counts;
    this.#onFailure = options.onFailure;
  }

  /** Sends so many requests at once, every other one by a client that keeps its connection. Resolves when all are answered. */
  async burst(requests: number): Promise<void> {
    await Promise.all(Array.from({ length: requests }, (_, index) => this.send(index % 2 === 0)));
  }

  /** One request; never throws. @param keeps by a client that keeps its connection */
  async send(keeps: boolean): Promise<void> {
    serial += 1;
    const id = serial;
    const stage = this.#stage;
    const post = id % 3 !== 0;
    const begunAt = wallMs();
    const standing = () => `${stage.phase} epoch ${stage.epoch} step ${stage.step ?? "awake"}`;
    let sentIn = standing();
    let how = "new connection";
    try {
      const taken = keeps ? this.#take() : undefined;
      let connection: Connection;
      if (taken !== undefined) {
        how = `kept connection to a ${taken.end}`;
        connection = taken.connection;
      } else {
        const place = this.#place();
        how = `new connection from node ${place.node} (${place.address})`;
        this.#count(false);
        connection = await place.open(this.#host, this.#port);
      }
      if (taken !== undefined) this.#count(true);
      sentIn = standing();
      how += `, local port ${connection.localPort}`;
      const body = `request ${id}`;
      const reply = await connection.request(
        post ? { method: "POST", path: "/echo", body } : { method: "GET", path: `/?id=${id}` },
      );
      const wrong = post ? reply.body !== body : !reply.body.startsWith("hello from ");
      if (reply.status !== 200 || wrong) {
        throw new Error(
          `HTTP ${reply.status} ${JSON.stringify(Object.fromEntries(reply.headers))} ${reply.body.slice(0, 500)}`,
        );
      }
      if (keeps) this.#keep(connection, reply);
      else connection.close();
    } catch (error) {
      const text = [
        `request ${id} (${post ? "POST" : "GET"}) to ${stage.key}, ${how}: ${errorText(error)}`,
        `begun ${(begunAt / 1_000).toFixed(3)} in ${sentIn}`,
        `failed ${(wallMs() / 1_000).toFixed(3)} in ${standing()}`,
      ].join("; ");
      stage.note(`FAILED ${text}`);
      this.#onFailure({ service: stage.name, text });
    }
  }

  /** The drain has begun: what a client sends to a pod that ends is the application's from here. */
  leavePods(): void {
    this.#drop(({ end }) => end === "pod");
  }

  close(): void {
    this.#drop(() => true);
  }

  #count(kept: boolean): void {
    const { step } = this.#stage;
    this.#counts.requests += 1;
    if (step === undefined) return;
    this.#counts.insideTransition += 1;
    if (kept) this.#counts.onKept += 1;
    if (step !== "undo") this.#counts.perStep[step] += 1;
  }

  #take(): Kept | undefined {
    const now = wallMs();
    this.#drop(({ connection, end, since }) => !connection.idle || now - since > IDLE_LIMIT_MS[end]);
    // while it serves, resolvers tell their clients to go: those connections are kept for what comes after
    const end = this.#stage.phase === "Serving" && Math.random() < 0.9 ? "pod" : undefined;
    const at = this.#kept.findIndex((kept) => end === undefined || kept.end === end);
    return at < 0 ? undefined : this.#kept.splice(at, 1)[0];
  }

  #keep(connection: Connection, { headers, last }: Reply): void {
    // a pod that sees the client itself, or the node in its place, has no resolver before it
    const [peer = ""] = (headers.get("x-peer") ?? "").split(":");
    const end = peer === connection.localAddress || this.#isNode(peer) ? "pod" : "resolver";
    const { phase } = this.#stage;
    const podMayGo = phase === "Draining" || phase === "Sealed" || phase === "Asleep";
    if (last || !connection.idle || (end === "pod" && podMayGo) || this.#kept.length >= KEPT_PER_SERVICE) {
      connection.close();
      return;
    }
    this.#kept.push({ connection, end, since: wallMs() });
  }

  #drop(which: (kept: Kept) => boolean): void {
    const gone = this.#kept.filter(which);
    this.#kept = this.#kept.filter((kept) => !gone.includes(kept));
    for (const { connection } of gone) connection.close();
  }
}
