import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type ElastiService, type ElastiServiceSpec, PARK_KEY, type Phase } from "@elasti/api";
import { type KubeObject, resources } from "@elasti/kube";
import type { PrometheusProcess } from "@elasti/local";
import { request } from "./client.ts";
import { Exporter, loadTrigger, missingPrometheus } from "./exporter.ts";
import type { Sleeper } from "./sleeper.ts";
import { hostAddress, startWorld, type World } from "./world.ts";

describe("sleeping by Prometheus", { concurrency: 12, skip: missingPrometheus }, () => {
  let world: World;
  let exporter: Exporter;
  let prometheus: PrometheusProcess;
  let mortal: PrometheusProcess;
  before(async () => {
    exporter = await Exporter.start();
    [prometheus, mortal] = await Promise.all([exporter.prometheus(), exporter.prometheus()]);
    const operatorEnv = { ELASTI_PROMETHEUS_ALLOWED_SERVERS: hostAddress };
    world = await startWorld({ operators: 1, resolvers: 2, nodes: 2, prometheusUrl: prometheus.url, operatorEnv });
  });
  after(async () => {
    await world?.close();
    await prometheus?.close();
    await mortal?.close();
    await exporter?.close();
  });

  /** An app that is up, and busy by its load of 1. */
  async function busy(name: string, spec: Partial<ElastiServiceSpec> = {}): Promise<Sleeper> {
    exporter.set(name, 1);
    const triggers = [loadTrigger(name)];
    const routing = { graceSeconds: 0, ...spec.routing };
    const web = await world.sleeper({ name, replicas: 1, spec: { cooldownPeriod: 1, triggers, ...spec, routing } });
    await web.direct();
    return web;
  }

  /** The same, and from now on on its way to sleep. */
  async function idle(name: string, spec: Partial<ElastiServiceSpec> = {}): Promise<Sleeper> {
    const web = await busy(name, spec);
    exporter.set(name, 0);
    return web;
  }

  it("swaps the selector, sleeps, and leaves nothing but its slice behind; wakes, and is gone from the path", async () => {
    const web = await busy("swap");
    assert.ok(await world.isDirect(await web.ask("/", world.clientOptions)));
    exporter.set("swap", 0);
    const phases = await web.phasesUntil("Asleep");
    assert.deepEqual(phases, ["Serving", "Draining", "Sealed", "Asleep"]);
    await web.sleeps();
    await web.parked(false);
    assert.deepEqual((await web.publicService()).spec.selector, web.service.spec.selector);
    assert.equal(await web.replicas(), 0);
    // the last pod has left the slices; its object may be there a moment longer
    assert.ok((await web.appPods()).every(({ metadata }) => metadata.deletionTimestamp !== undefined));
    const { ours, others } = await web.slices();
    const resolvers = (await world.pods("elasti-resolver")).map(({ status }) => status?.podIP).sort();
    assert.deepEqual(ours?.endpoints.flatMap(({ addresses }) => addresses).sort(), resolvers);
    assert.deepEqual(ours?.metadata.labels?.["endpointslice.kubernetes.io/managed-by"], "elasti-operator");
    assert.deepEqual(
      ours?.metadata.ownerReferences?.map(({ kind, name }) => [kind, name]),
      [["Service", "swap"]],
    );
    assert.deepEqual(
      ours?.endpoints.map(({ conditions, targetRef }) => [conditions, targetRef]),
      resolvers.map(() => [{ ready: true, serving: true, terminating: false }, undefined]),
    );
    assert.deepEqual(
      others.flatMap(({ endpoints }) => endpoints ?? []),
      [],
    );
    assert.equal((await web.es()).status?.mode, "proxy");

    exporter.set("swap", 5);
    const cold = await web.ask();
    assert.deepEqual([cold.status, cold.headers["elasti-cold-start"] !== undefined], [200, true]);
    const { status } = await web.reaches("Serving", { when: (es) => es.status?.mode === "serve" });
    await web.direct();
    assert.equal(status?.lastWake?.toReplicas, 1);
    assert.ok(await world.isDirect(await web.ask("/", world.clientOptions)));
  });

  it("gives a sleep up for a request during the grace", async () => {
    const web = await idle("aborted", { routing: { graceSeconds: 4 } });
    const { status } = await web.reaches("Draining");
    await web.parked();
    await world.backends(web, (ports) => ports.every((port) => port !== 8080));
    const answer = await web.ask();
    assert.equal(answer.status, 200);
    await web.reaches("Serving", { after: status?.epoch ?? 0, timeoutMs: 2_000 });
    assert.equal(await web.replicas(), 1);
    await web.parked(false);
    await web.unrouted();
    // undone by activity, it may try again after the cooldown
    await web.reaches("Draining", { after: status?.epoch ?? 0 });
  });

  it("gives a sleep up when its Prometheus dies in the grace, and sleeps no more from then on", async () => {
    const triggers = [loadTrigger("mortal", { serverAddress: mortal.url })];
    const web = await idle("mortal", { triggers, routing: { graceSeconds: 4 } });
    const { status } = await web.reaches("Draining");
    process.kill(mortal.pid, "SIGKILL");
    const { status: undone } = await web.reaches("Serving", { after: status?.epoch ?? 0 });
    const condition = await web.condition("Idle", (one) => one.status === "Unknown");
    assert.match(`${condition.reason} ${condition.message}`, /PrometheusUnreachable/);
    await web.direct();
    assert.deepEqual([await web.replicas(), await web.epoch()], [1, undone?.epoch]);
  });

  it("wakes when the query rises while it is asleep", async () => {
    const web = await idle("risen");
    await web.sleeps();
    exporter.set("risen", 3);
    const { status } = await web.reaches("Serving", { when: (es) => es.status?.lastWake !== undefined });
    assert.equal(status?.lastWake?.reason, "trigger");
    assert.equal(await web.replicas(), 1);
  });

  it("stays up while one of several triggers is active", async () => {
    exporter.set("second", 1);
    exporter.set("both", 0);
    const triggers = [loadTrigger("both"), loadTrigger("second")];
    const spec = { cooldownPeriod: 1, routing: { graceSeconds: 0 }, triggers };
    const web = await world.sleeper({ name: "both", replicas: 1, spec });
    const condition = await web.condition("Idle", ({ message }) => /1 >= 1/.test(message));
    assert.deepEqual([condition.status, await web.replicas()], ["False", 1]);
    assert.match(condition.message, /triggers\[1\]/);
    exporter.set("second", 0);
    await web.sleeps();
  });

  it("sleeps in EndpointSlice mode without touching the Service", async () => {
    const web = await idle("slices", { routing: { mode: "EndpointSlice" } });
    const seen = new Set<string>();
    const watching = await web.watchService((service) => seen.add(JSON.stringify(service.spec.selector)));
    await web.sleeps();
    await watching.close();
    assert.deepEqual([...seen], [JSON.stringify(web.service.spec.selector)]);
    await web.held();
    assert.equal((await web.ask()).status, 200);
    await web.wokenBy("request");
  });

  it("goes on in EndpointSlice mode when somebody takes the park off", async () => {
    const web = await idle("reverted", { routing: { graceSeconds: 3 } });
    await web.reaches("Draining");
    await web.parked();
    await world.client.patch(resources.services, "default", "reverted", "merge", {
      spec: { selector: { [PARK_KEY]: null } },
    });
    const condition = await web.condition("SelectorReverted", ({ status }) => status === "True");
    assert.match(condition.message, /mode EndpointSlice/);
    const { status } = await web.sleeps();
    assert.equal(status?.routingMode, "EndpointSlice");
    await web.held();
    assert.equal((await web.ask()).status, 200);
  });

  it("keeps a target up, and wakes one, outside its enabledPeriod", async () => {
    // an hour that is half a day away
    const hour = (new Date().getUTCHours() + 12) % 24;
    const outside = { schedule: `0 ${hour} * * *`, duration: "1h" };
    const web = await idle("hours", { enabledPeriod: outside });
    const condition = await web.condition("Idle", ({ reason }) => reason === "OutsideEnabledPeriod");
    assert.equal(condition.status, "False");
    exporter.set("night", 0);
    const night = await world.sleeper({ name: "night", spec: { triggers: [loadTrigger("night")] } });
    const change = { spec: { enabledPeriod: outside } };
    await world.client.patch(resources.elastiServices, "default", "night", "merge", change);
    const { status } = await night.reaches("Serving", { when: (es) => es.status?.lastWake !== undefined });
    assert.deepEqual([status?.lastWake?.reason, await web.replicas()], ["schedule", 1]);
  });

  it("sleeps two Services of one target only when both may", async () => {
    exporter.set("pair-b", 1);
    const a = await busy("pair-a");
    const second = { ...a.service.spec };
    delete second.clusterIP;
    delete second.clusterIPs;
    await world.client.create(resources.services, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "pair-b", namespace: "default" },
      spec: second,
    } as KubeObject);
    await world.elastiService("pair-b", {
      service: "pair-b",
      scaleTargetRef: { apiVersion: "apps/v1", kind: "deployments", name: "pair-a" },
      cooldownPeriod: 1,
      routing: { graceSeconds: 0 },
      triggers: [loadTrigger("pair-b")],
    });
    const shared = await a.condition("SharedTarget", ({ status }) => status === "True");
    assert.match(shared.message, /pair-b/);
    exporter.set("pair-a", 0);
    const waits = await a.condition("Idle", ({ message }) => /1 >= 1/.test(message));
    assert.deepEqual([waits.status, await a.replicas()], ["False", 1]);
    exporter.set("pair-b", 0);
    await a.sleeps();
    const look = (es: ElastiService | undefined): Phase | false => es?.status?.phase === "Asleep" && "Asleep";
    await world.until("Asleep", resources.elastiServices, "default", "pair-b", look);
    const service = await world.client.get<typeof a.service>(resources.services, "default", "pair-b");
    const answer = await request({ host: service.spec.clusterIP ?? "", port: 8080 });
    assert.equal(answer.status, 200);
    await a.wokenBy("request");
  });
});
