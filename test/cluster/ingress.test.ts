import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type ElastiService, type Phase, SERVICE_NAME_LABEL } from "@elasti/api";
import { silentLogger, systemClock } from "@elasti/core";
import { type EndpointSlice, Reflector, resources } from "@elasti/kube";
import { type Answer, request, Traffic } from "../e2e/client.ts";
import { loadTrigger } from "../e2e/exporter.ts";
import type { Sleeper } from "../e2e/sleeper.ts";
import { startWorld, type World } from "../e2e/world.ts";
import { Front, haproxy, type Kind, nginx, type Upstream } from "./front.ts";
import { PrometheusDouble } from "./prometheus-double.ts";
import { which } from "./requirements.ts";

/** One client that sends the next request when the last is answered, until it is stopped. */
class Steady {
  readonly answers: Answer[] = [];
  readonly failures: string[] = [];
  readonly #stop = new AbortController();
  readonly #running: Promise<void>;

  constructor(front: Front) {
    this.#running = this.#run(front);
  }

  async stop(): Promise<this> {
    this.#stop.abort();
    await this.#running;
    return this;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.stop();
  }

  /** Resolves when so many more were answered. */
  async more(count: number): Promise<void> {
    const wanted = this.answers.length + count;
    while (this.answers.length < wanted && this.failures.length === 0) await pause(10);
  }

  async #run(front: Front): Promise<void> {
    while (!this.#stop.signal.aborted) {
      try {
        const answer = await request(front);
        if (answer.status === 200) this.answers.push(answer);
        else this.failures.push(`${answer.status} ${answer.text}`);
      } catch (error) {
        this.failures.push(String(error));
      }
      await pause(15);
    }
  }
}

/** With CI=true the suite runs and fails. */
const missing =
  process.env.CI !== "true" && [nginx, haproxy].some(({ program }) => which(program) === undefined)
    ? "missing program: nginx or haproxy (Debian packages nginx-light, haproxy)"
    : false;

/** Reverse proxies of ingress controllers in front of a service that sleeps and wakes under a stream of requests. */
describe("behind an ingress", { concurrency: 4, skip: missing }, () => {
  let world: World;
  let prometheus: PrometheusDouble;
  before(async () => {
    prometheus = await PrometheusDouble.start();
    world = await startWorld({ operators: 1, resolvers: 2, prometheusUrl: prometheus.url });
  });
  after(async () => {
    await world?.close();
    await prometheus?.close();
  });

  /** An app that is up and busy, and reached without a resolver. */
  async function busy(name: string, graceSeconds: number): Promise<Sleeper> {
    prometheus.set(name, 1);
    const spec = { cooldownPeriod: 1, triggers: [loadTrigger(name)], routing: { graceSeconds } };
    const web = await world.sleeper({ name, replicas: 1, spec });
    await web.direct();
    return web;
  }

  /** All phases from now until it has slept and is awake again. */
  async function sleepsAndWakes(web: Sleeper, asleep: () => void): Promise<Phase[]> {
    const phases: Phase[] = [];
    await world.until<ElastiService, true>(
      "a sleep and a wake",
      resources.elastiServices,
      web.namespace,
      web.name,
      (es) => {
        const now = es?.status?.phase;
        if (now !== undefined && phases.at(-1) !== now) phases.push(now);
        if (now === "Asleep") asleep();
        return now === "Serving" && phases.includes("Asleep") ? true : undefined;
      },
    );
    return phases;
  }

  const report = async (front: Front, failures: readonly string[]): Promise<string> =>
    `${failures.join("\n")}\n${await front.complaints()}`;

  async function byService(name: string, kind: Kind): Promise<void> {
    const web = await busy(name, 0);
    const front = await Front.start(kind, [{ address: web.host, port: web.port }]);
    try {
      await using client = new Steady(front);
      await client.more(20);
      const peers = new Set(client.answers.map(({ headers }) => headers["x-peer"]));
      assert.equal(peers.size, 1, "one connection is kept to the pod");
      prometheus.set(name, 0);
      const phases = await sleepsAndWakes(web, () => prometheus.set(name, 1));
      assert.ok(phases.includes("Sealed"), phases.join());
      await web.direct();
      await client.more(20);
      const { answers, failures } = await client.stop();
      assert.deepEqual(failures, [], await report(front, failures));
      const cold = answers.filter(({ headers }) => headers["elasti-cold-start"] !== undefined);
      assert.equal(cold.length, 1);
      assert.equal(new Set(answers.map(({ pod }) => pod)).size, 2);
      // the connection that was kept to a resolver is given up for one to the pod
      assert.ok(await world.isDirect(answers.at(-1)!));
    } finally {
      await front.close();
    }
  }

  /** Starts a front with all ready endpoints of a Service, and tells it when they change, as a controller does. */
  async function following(
    web: Sleeper,
    kind: Kind,
  ): Promise<{ front: Front; seen: Upstream[][]; end(): Promise<void> }> {
    const slices = new Reflector<EndpointSlice>({
      client: world.client,
      resource: resources.endpointSlices,
      namespace: web.namespace,
      labelSelector: `${SERVICE_NAME_LABEL}=${web.name}`,
      logger: silentLogger,
      clock: systemClock,
    });
    await slices.start();
    const endpoints = () => slices.store.list().flatMap(upstreamsOf);
    const seen = [endpoints()];
    const front = await Front.start(kind, seen[0] ?? []);
    let telling = Promise.resolve();
    const tell = () => {
      const now = endpoints();
      if (JSON.stringify(now) === JSON.stringify(seen.at(-1))) return;
      seen.push(now);
      telling = telling.then(() => front.reload(now));
    };
    slices.store.on("change", tell);
    tell();
    const end = async () => {
      await slices.close();
      await telling;
      await front.close();
    };
    return { front, seen, end };
  }

  async function byEndpoints(name: string, kind: Kind): Promise<void> {
    // longer than a controller takes to follow
    const web = await busy(name, 3);
    const { front, seen, end } = await following(web, kind);
    try {
      const ask = () => request(front);
      const failures: string[] = [];
      const answers: Answer[] = [];
      const finish = async (traffic: Traffic) => {
        await traffic.stop();
        failures.push(...traffic.failures);
        answers.push(...traffic.answers);
      };
      {
        await using traffic = new Traffic(ask, 20);
        prometheus.set(name, 0);
        const { status } = await web.reaches("Draining");
        // what it is led to resolvers with shows that somebody needs the service
        await web.reaches("Serving", { after: status?.epoch ?? 0 });
        await finish(traffic);
      }
      await web.reaches("Asleep", { after: await web.epoch() });
      prometheus.set(name, 1);
      {
        await using traffic = new Traffic(ask, 20);
        await web.reaches("Serving", { after: await web.epoch() });
        await web.direct();
        await finish(traffic);
      }
      assert.deepEqual(failures, [], await report(front, failures));
      assert.ok(answers.some(({ headers }) => headers["elasti-cold-start"] !== undefined));
      const ports = seen.map((all) => all.map(({ port }) => (port === 8080 ? "pod" : "resolver")));
      assert.ok(
        ports.some((all) => all.length === 2 && !all.includes("pod")),
        JSON.stringify(ports),
      );
      assert.deepEqual(ports.at(-1), ["pod"]);
    } finally {
      await end();
    }
  }

  for (const [name, kind] of Object.entries({ nginx, haproxy })) {
    it(`${name} at the Service's address keeps its connection through a sleep and a wake, and loses nothing`, () =>
      byService(`${name}-service`, kind));
    it(`${name} at the endpoints of the slices follows a sleep and a wake, and loses nothing`, () =>
      byEndpoints(`${name}-endpoints`, kind));
  }
});

function upstreamsOf({ endpoints, ports }: EndpointSlice): Upstream[] {
  const ready = (endpoints ?? []).filter(({ conditions }) => conditions?.ready !== false);
  return ready.flatMap(({ addresses }) =>
    addresses.flatMap((address) =>
      (ports ?? []).flatMap(({ port }) => (port === undefined ? [] : [{ address, port }])),
    ),
  );
}
