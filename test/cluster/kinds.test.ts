import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Deployment, type KubeObject, type Pod, type Resource, resources, type Service } from "@elasti/kube";
import { request, Traffic } from "../e2e/client.ts";
import type { Sleeper } from "../e2e/sleeper.ts";
import { startWorld, type World } from "../e2e/world.ts";

const statefulSets: Resource = {
  group: "apps",
  version: "v1",
  plural: "statefulsets",
  kind: "StatefulSet",
  namespaced: true,
};
const widgets: Resource = { group: "elasti.test", version: "v1", plural: "widgets", kind: "Widget", namespaced: true };

/** A kind with a scale subresource and no controller: the test itself makes its pods. */
const widgetKind = {
  apiVersion: "apiextensions.k8s.io/v1",
  kind: "CustomResourceDefinition",
  metadata: { name: "widgets.elasti.test" },
  spec: {
    group: "elasti.test",
    scope: "Namespaced",
    names: { kind: "Widget", listKind: "WidgetList", plural: "widgets", singular: "widget" },
    versions: [
      {
        name: "v1",
        served: true,
        storage: true,
        subresources: {
          scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
          status: {},
        },
        schema: { openAPIV3Schema: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
      },
    ],
  },
};

const spec = { routing: { graceSeconds: 1 }, cooldownPeriod: 900 };

describe("targets that are no Deployments", { concurrency: 3 }, () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 1, resolvers: 2 });
  });
  after(() => world.close());

  async function asleep(name: string): Promise<Service> {
    const look = (es: KubeObject | undefined) => JSON.stringify(es ?? {}).includes('"podsGone":true') || undefined;
    await world.until("asleep", resources.elastiServices, "default", name, look);
    await world.backends(
      { namespace: "default", name },
      (ports) => ports.length > 0 && ports.every((port) => port >= 10_000),
    );
    return await world.client.get<Service>(resources.services, "default", name);
  }

  it("wakes a StatefulSet, and lets it sleep again", async () => {
    // the manifests of the sample app, its Deployment made a StatefulSet
    let template: Deployment["spec"] | undefined;
    const service = await world.app({ name: "stateful", edit: ({ deployment }) => (template = deployment.spec) });
    await world.client.delete(resources.deployments, "default", "stateful");
    const prepared = world.ground.prepare({ spec: template } as Deployment).spec;
    await world.client.create(statefulSets, {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "stateful", namespace: "default" },
      spec: { ...prepared, serviceName: "stateful", replicas: 0 },
    } as KubeObject);
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "StatefulSet", name: "stateful" };
    await world.elastiService("stateful", { service: "stateful", scaleTargetRef, ...spec, cooldownPeriod: 1 });
    await asleep("stateful");
    const host = service.spec.clusterIP ?? "";
    const answer = await request({ host, port: 8080 });
    assert.deepEqual([answer.status, answer.pod], [200, "stateful-0"]);
    const sleeping = (es: KubeObject | undefined) =>
      /"phase":"Asleep".*"podsGone":true|"podsGone":true.*"phase":"Asleep"/.test(JSON.stringify(es ?? {})) || undefined;
    await world.until("asleep again", resources.elastiServices, "default", "stateful", sleeping, 40_000);
    const { spec: now } = await world.client.get<KubeObject & { spec: { replicas: number } }>(
      statefulSets,
      "default",
      "stateful",
    );
    assert.equal(now.replicas, 0);
    assert.equal((await request({ host, port: 8080 })).pod, "stateful-0");
  });

  it("wakes a custom resource through its scale subresource", async () => {
    await world.client.create(resources.customResourceDefinitions, widgetKind as unknown as KubeObject).catch(() => {});
    let pod: Deployment["spec"] | undefined;
    const service = await world.app({ name: "widget", edit: ({ deployment }) => (pod = deployment.spec) });
    await world.client.delete(resources.deployments, "default", "widget");
    const make = () =>
      world.client.create(widgets, {
        apiVersion: "elasti.test/v1",
        kind: "Widget",
        metadata: { name: "widget", namespace: "default" },
        spec: { replicas: 0 },
      } as KubeObject);
    await world.served(widgets);
    await make();
    const scaleTargetRef = { apiVersion: "elasti.test/v1", kind: "Widget", name: "widget" };
    await world.elastiService("widget", { service: "widget", scaleTargetRef, ...spec });
    await asleep("widget");
    const asked = request({ host: service.spec.clusterIP ?? "", port: 8080, timeoutMs: 40_000 });
    await world.until(
      "scaled",
      widgets,
      "default",
      "widget",
      (one) => JSON.stringify(one ?? {}).includes('"replicas":1') || undefined,
    );
    const { template } = world.ground.prepare({ spec: pod } as Deployment).spec;
    await world.client.create<Pod>(resources.pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name: "widget-0", namespace: "default", labels: { app: "widget" } },
      spec: template.spec,
    } as unknown as Pod);
    assert.deepEqual([(await asked).status, (await asked).pod], [200, "widget-0"]);
    const { items } = await world.client.list<KubeObject>(widgets, { namespace: "default" });
    assert.match(JSON.stringify(items[0]), /"replicas":1/);
    await world.client.delete(resources.pods, "default", "widget-0");
  });
});

describe("many at once", () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 2, resolvers: 2 });
  });
  after(() => world.close());

  it("writes once to /scale for 200 first requests, as the audit log has it", async () => {
    const web = await world.sleeper({ name: "crowd", startMs: 300, spec });
    const answers = await Promise.all(Array.from({ length: 200 }, () => web.ask("/", { timeoutMs: 40_000 })));
    assert.deepEqual(
      answers.filter(({ status }) => status !== 200),
      [],
    );
    const writes = (await world.real!.audit()).filter(
      ({ verb, resource, name }) => verb === "patch" && resource === "deployments/scale" && name === "crowd",
    );
    const codes = writes.map(({ code }) => code);
    assert.deepEqual(
      codes.filter((code) => code !== 409),
      [200],
    );
    // the other replica may have been asked at the same moment: its write, on the same version, is refused
    assert.ok(codes.length <= 2, `${codes}`);
  });

  for (const count of [25, 100]) {
    it(`wakes ${count} services at once`, { timeout: 280_000 }, async () => {
      const names = Array.from({ length: count }, (_, index) => `many-${count}-${index}`);
      const services: Sleeper[] = [];
      const wanted = { ...spec, queue: { timeoutSeconds: 240 } };
      for (let from = 0; from < count; from += 10) {
        const some = names.slice(from, from + 10).map((name) => world.sleeper({ name, spec: wanted }));
        services.push(...(await Promise.all(some)));
      }
      const answers = await Promise.all(services.map((web) => web.ask("/", { timeoutMs: 240_000 })));
      assert.deepEqual(
        answers.filter(({ status }) => status !== 200).map(({ text }) => text),
        [],
      );
      await Promise.all(services.map((web) => web.scaleByHand(0)));
    });
  }
});

describe("an API server that stands still", () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 2, resolvers: 2 });
  });
  after(() => world.close());

  it("loses no request that is held while it does so for 30 s, and serves what is awake meanwhile", {
    timeout: 150_000,
  }, async () => {
    const [web, awake] = await Promise.all([
      world.sleeper({ name: "still", startMs: 200, spec }),
      world.sleeper({ name: "awake", replicas: 1, spec }),
    ]);
    const stopped = world.real!.pauseApiServer();
    const held = Array.from({ length: 20 }, () => web.ask("/", { timeoutMs: 120_000 }));
    await using traffic = new Traffic(() => awake.ask("/"), 200);
    await new Promise((resolve) => setTimeout(resolve, 30_000));
    stopped.continue();
    for (const { status } of await Promise.all(held)) assert.equal(status, 200);
    assert.deepEqual((await traffic.stop()).failures, []);
  });
});
