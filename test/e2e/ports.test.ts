import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import {
  API_VERSION,
  type ElastiService,
  KIND,
  PORT_TABLE_LABEL,
  privateServiceName,
  resolverSliceName,
  SERVICE_LABEL,
} from "@elasti/api";
import { type ConfigMap, type EndpointSlice, resources } from "@elasti/kube";
import { request, Traffic } from "./client.ts";
import type { Sleeper } from "./sleeper.ts";
import { OPERATOR, RESOLVER, startWorld, type World } from "./world.ts";

const route = (resolverPort: number) => ({ name: "http", port: 80, resolverPort, protocol: "TCP" });

/** Where the only route of a service leads. */
const portOf = async (web: Sleeper): Promise<number> => (await web.es()).status?.routes?.[0]?.resolverPort ?? 0;

async function claim(world: World, namespace: string, name: string, resolverPort: number): Promise<void> {
  const status = { routes: [route(resolverPort)] };
  await world.client.patch(resources.elastiServices, namespace, name, "merge", { status }, { subresource: "status" });
}

/** Every request was answered, and by pods of this app. */
function onlyOf(name: string, { answers, failures }: Traffic): void {
  const others = answers.filter(({ text }) => !text.startsWith(`hello from ${name}-`));
  assert.deepEqual([others.map(({ text }) => text), failures], [[], []]);
}

describe("a resolver port that another installation has given out, too", () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 1, resolvers: 2, operatorEnv: { WATCH_NAMESPACES: "default" } });
  });
  after(async () => {
    await world.client.delete(resources.namespaces, undefined, "elsewhere");
    await world.close();
  });

  /** A service that resolvers serve and this operator does not look after: what it should have done is done by hand. */
  async function foreign(name: string, namespace: string, resolverPort: number): Promise<void> {
    const service = await world.app({ name, namespace, replicas: 1 });
    await world.client.create(resources.services, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: privateServiceName(name), namespace, labels: { [SERVICE_LABEL]: name } },
      spec: { ...(service.spec.ports && { ports: service.spec.ports }), selector: { app: name }, clusterIP: "None" },
    });
    await world.client.create<ElastiService>(resources.elastiServices, {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata: { name, namespace },
      spec: {
        service: name,
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
        routing: { graceSeconds: 0 },
      },
    });
    await claim(world, namespace, name, resolverPort);
    for (const { status } of await world.pods(RESOLVER)) {
      const answered = async () => {
        try {
          return (await request({ host: status?.podIP ?? "", port: resolverPort, timeoutMs: 1_000 })).text;
        } catch {
          return "";
        }
      };
      while (!(await answered()).startsWith(`hello from ${name}-`));
    }
  }

  it("never leads the clients of one service to the other, and goes over when the first gives it up", async () => {
    const elsewhere = await world.namespace("elsewhere");
    // what a port table that knows nothing gives first
    await foreign("first", elsewhere, 10_000);
    const web = await world.sleeper({
      name: "second",
      replicas: 1,
      spec: { cooldownPeriod: 1, routing: { graceSeconds: 0 } },
    });
    assert.equal(await portOf(web), 10_000);
    await using before = new Traffic(() => web.ask(), 25);
    // in the path of resolvers, if they can be
    await web.condition("RoutingSupported", () => true);
    while (before.answers.length + before.failures.length < 40) await pause(25);
    onlyOf("second", await before.stop());
    const { message } = await web.condition("ResolverPortTaken", ({ status }) => status === "True");
    assert.match(message, /port 10000 of \S+ leads to elsewhere\/first/);
    assert.equal((await web.slices()).ours, undefined);
    assert.deepEqual([await web.phase(), await web.replicas()], ["Serving", 1]);

    await using traffic = new Traffic(() => web.ask(), 25);
    await world.client.delete(resources.elastiServices, elsewhere, "first");
    await web.parked();
    await world.until<ElastiService, true>("at peace", resources.elastiServices, "default", "second", (es) =>
      es?.status?.conditions?.every(({ type }) => type !== "ResolverPortTaken"),
    );
    onlyOf("second", await traffic.stop());
    const { status: asleep } = await web.sleeps();
    const woken = await web.ask();
    assert.match(woken.text, /^hello from second-/);
    assert.equal(asleep?.routes?.[0]?.resolverPort, 10_000);
  });
});

describe("a port table that is lost", () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 1, resolvers: 2 });
  });
  after(() => world.close());

  const lose = async () => {
    const of = { namespace: world.system, labelSelector: PORT_TABLE_LABEL };
    const { items } = await world.client.list<ConfigMap>(resources.configMaps, of);
    assert.ok(items.length > 0);
    for (const { metadata } of items) await world.client.delete(resources.configMaps, world.system, metadata.name);
  };
  it("moves no service that sleeps, unless another has its port by its status, and never mixes them up", async () => {
    const spec = { cooldownPeriod: 900, routing: { graceSeconds: 20 } };
    const gone = await world.sleeper({ name: "gone", spec: { ...spec, routing: { graceSeconds: 0 } } });
    const old = await world.sleeper({ name: "old", spec });
    await gone.delete();
    await gone.isRestored();
    const young = await world.sleeper({ name: "young", spec });
    const before = [await portOf(old), await portOf(young)];
    assert.deepEqual(before, [10_001, 10_002]);

    await world.scale(OPERATOR, 0);
    await lose();
    // as a table without memory would have it
    await claim(world, "default", "young", 10_001);
    await world.scale(OPERATOR, 1, { wait: false });
    const asked = [old.ask(), young.ask()] as const;
    const [fromOld, fromYoung] = await Promise.all(asked);
    assert.match(fromOld.text, /^hello from old-/);
    assert.match(fromYoung.text, /^hello from young-/);
    const moved = await world.until<ElastiService, number>(
      "another port",
      resources.elastiServices,
      "default",
      "young",
      (es) => es?.status?.routes?.map(({ resolverPort }) => resolverPort).find((port) => port !== 10_001),
    );
    await world.until<EndpointSlice, true>(
      "led there",
      resources.endpointSlices,
      "default",
      resolverSliceName("young"),
      (slice) => slice?.ports?.[0]?.port === moved && (slice.endpoints ?? []).length === 2,
    );
    assert.equal(await portOf(old), 10_001);
    assert.match((await old.ask()).text, /^hello from old-/);
    assert.match((await young.ask()).text, /^hello from young-/);
  });
});
