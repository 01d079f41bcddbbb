import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { setTimeout as sleep } from "node:timers/promises";
import { PARK_KEY, privateServiceName, SERVICE_EPOCH_ANNOTATION, SERVICE_NAME_LABEL } from "@elasti/api";
import {
  type ConfigMap,
  type Deployment,
  type EndpointSlice,
  type KubeObject,
  type Resource,
  resources,
  type Service,
} from "@elasti/kube";
import { type Es, type OperatorWorld, startOperator } from "./kit/operator.ts";

const rests = ({ status }: Es): boolean => status?.phase === "Serving" && status.conditions !== undefined;

describe("operator", () => {
  let world: OperatorWorld;
  beforeEach(async () => {
    world = await startOperator();
  });
  afterEach(async () => {
    await world.close();
  });

  /** Writes during three rounds of the triggers: that nothing comes cannot be awaited otherwise. */
  const writesAtRest = async (): Promise<string[]> => {
    const before = world.writes.length;
    await sleep(600);
    return world.writes.slice(before);
  };
  const setProbe = (probe: object) =>
    world.client.patch<Deployment>(resources.deployments, "default", "web", "merge", {
      spec: { template: { spec: { containers: [{ name: "web", image: "web", readinessProbe: probe }] } } },
    });

  it("makes each object once and comes to rest, though the API server sorts the keys of custom resources", async () => {
    await world.app("web");
    await world.elastiService("web");
    await world.resolver();
    await world.until("web", ({ status }) => status?.conditions?.some(({ reason }) => reason === "Always") === true);
    assert.deepEqual((await writesAtRest()).slice(1), []);
    assert.equal(world.writes.filter((write) => write.startsWith("create endpointslices")).length, 1);
  });

  it("says in status what keeps a pass from going on, and goes on when it can", async () => {
    const denied = world.faults.fail({ verb: "create", resource: "services" }, 403, {
      message: "services is forbidden",
    });
    await world.app("web");
    await world.elastiService("web");
    const failed = await world.until("web", ({ status }) =>
      (status?.conditions ?? []).some(({ reason }) => reason === "PermissionMissing"),
    );
    assert.match(failed.status?.conditions?.[0]?.message ?? "", /create services.*forbidden/);
    denied.remove();
    await world.until("web", rests);
  });

  it("does not fight whoever takes the park off in mode Always", async () => {
    await world.app("web");
    await world.elastiService("web");
    await world.resolver();
    const selector = async () => (await world.client.get<Service>(resources.services, "default", "web")).spec.selector;
    await world.until("web", ({ status }) => status?.conditions?.some(({ reason }) => reason === "Always") === true);
    assert.equal((await selector())?.[PARK_KEY], "true");
    await world.client.patch<Service>(
      resources.services,
      "default",
      "web",
      "merge",
      {
        spec: { selector: { [PARK_KEY]: null } },
      },
      { fieldManager: "flux" },
    );
    const { status } = await world.until("web", (es) =>
      (es.status?.conditions ?? []).some(({ type }) => type === "SelectorReverted"),
    );
    assert.equal(status?.routingMode, "EndpointSlice");
    assert.equal(status?.conditions?.find(({ type }) => type === "Idle")?.reason, "SelectorReverted");
    await writesAtRest();
    assert.deepEqual(await selector(), { app: "web" });
    const { status: rested } = await world.client.get<Es>(resources.elastiServices, "default", "web");
    assert.deepEqual(
      rested?.parkReverts?.map(({ manager, drainEpoch }) => [manager, drainEpoch]),
      [["flux", 0]],
    );
    const reverted = rested?.conditions?.find(({ type }) => type === "SelectorReverted");
    assert.match(reverted?.message ?? "", /^field manager flux took off the key .* Service web, .*EndpointSlice until/);
  });

  /** Somebody scales the target up from zero, as `kubectl edit` does. */
  async function raiseByHand(fieldManager: string): Promise<void> {
    const change = { spec: { replicas: 1 } };
    await world.client.patch(resources.deployments, "default", "web", "merge", change, { fieldManager });
    await world.until("web", ({ status }) => status?.phase === "Waking");
  }
  async function putToZero(): Promise<void> {
    const change = { spec: { replicas: 0 } };
    await world.client.patch(resources.deployments, "default", "web", "merge", change, { fieldManager: "test" });
    await world.until("web", ({ status }) => status?.phase === "Asleep" && status.podsGone === true);
  }

  it("leaves a target awake that somebody else raises from zero twice, and names him with the rule to add", async () => {
    await world.app("web", { replicas: 0 });
    await world.elastiService("web");
    await world.resolver();
    await world.until("web", ({ status }) => status?.phase === "Asleep" && status.podsGone === true);
    await raiseByHand("argocd-controller");
    const once = await world.client.get<Es>(resources.elastiServices, "default", "web");
    assert.equal(once.status?.raises?.length, 1);
    await putToZero();
    await raiseByHand("argocd-controller");
    const contested = await world.until("web", ({ status }) =>
      (status?.conditions ?? []).some(({ type }) => type === "Contested"),
    );
    const { conditions = [], raises = [] } = contested.status ?? {};
    assert.deepEqual(
      raises.map(({ manager }) => manager),
      [undefined, "argocd-controller"],
    );
    const condition = conditions.find(({ type }) => type === "Contested");
    assert.match(
      condition?.message ?? "",
      /^field manager argocd-controller raised Deployment web from zero twice .* ignoreDifferences: \[\{group: apps, kind: Deployment, name: web, jsonPointers: \[\/spec\/replicas\]\}\]/,
    );
    assert.equal(conditions.find(({ type }) => type === "Idle")?.reason, "Contested");

    // whoever edits the ElastiService begins anew
    const edit = { spec: { cooldownPeriod: 60 } };
    await world.client.patch<Es>(resources.elastiServices, "default", "web", "merge", edit);
    await world.until("web", ({ status }) => status?.conditions?.every(({ type }) => type !== "Contested") === true);
  });

  it("leaves the selector alone where an Argo Rollout names the Service", async () => {
    const rollouts = {
      group: "argoproj.io",
      version: "v1alpha1",
      plural: "rollouts",
      kind: "Rollout",
      namespaced: true,
    };
    const open = { type: "object", "x-kubernetes-preserve-unknown-fields": true };
    await world.client.create(resources.customResourceDefinitions, {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: "rollouts.argoproj.io" },
      spec: {
        group: rollouts.group,
        scope: "Namespaced",
        names: { plural: "rollouts", singular: "rollout", kind: "Rollout", listKind: "RolloutList" },
        versions: [
          {
            name: rollouts.version,
            served: true,
            storage: true,
            schema: { openAPIV3Schema: { type: "object", properties: { spec: open, status: open } } },
            subresources: {
              status: {},
              scale: { specReplicasPath: ".spec.replicas", statusReplicasPath: ".status.replicas" },
            },
          },
        ],
      },
    } as KubeObject);
    await world.app("web");
    await world.client.create(rollouts, {
      apiVersion: "argoproj.io/v1alpha1",
      kind: "Rollout",
      metadata: { name: "web", namespace: "default" },
      spec: { replicas: 1, strategy: { blueGreen: { activeService: "web", previewService: "web-next" } } },
    } as KubeObject);
    await world.resolver();
    const scaleTargetRef = { apiVersion: "argoproj.io/v1alpha1", kind: "Rollout", name: "web" };
    await world.elastiService("web", { scaleTargetRef });
    const { status } = await world.until("web", (es) =>
      (es.status?.conditions ?? []).some(({ type }) => type === "RolloutService"),
    );
    const condition = status?.conditions?.find(({ type }) => type === "RolloutService");
    assert.match(condition?.message ?? "", /the Rollout names web: it is led by EndpointSlices alone/);
    assert.equal(status?.routingMode, "EndpointSlice");
    assert.equal(status?.conditions?.find(({ type }) => type === "Idle")?.reason, "RolloutService");
    const { spec } = await world.client.get<Service>(resources.services, "default", "web");
    assert.deepEqual(spec.selector, { app: "web" });
  });

  it("does not count a wake of its own as a raise by others", async () => {
    await world.app("web", { replicas: 0 });
    await world.elastiService("web");
    await world.resolver();
    await world.until("web", ({ status }) => status?.phase === "Asleep" && status.podsGone === true);
    assert.equal((await world.notify("web")).status, 200);
    const { status } = await world.until("web", (es) => es.status?.phase === "Waking");
    assert.deepEqual([status?.raises, status?.lastWake?.reason], [undefined, "request"]);
  });

  it("does not count a wake for one of two Services of a target as a raise by others for the second", async () => {
    await world.app("web", { replicas: 0 });
    await world.client.create<Service>(resources.services, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "admin", namespace: "default" },
      spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
    });
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
    await world.elastiService("web");
    await world.elastiService("admin", { scaleTargetRef });
    await world.resolver();
    for (const name of ["web", "admin"])
      await world.until(name, ({ status }) => status?.phase === "Asleep" && status.podsGone === true);
    assert.equal((await world.notify("admin")).status, 200);
    await world.until("admin", (es) => es.status?.phase === "Waking");
    const { status } = await world.until("web", (es) => es.status?.phase === "Waking");
    assert.equal(status?.raises, undefined);
  });

  it("does not take a wake by another replica for one that was taken back, when its watch on the target is behind", async () => {
    await world.app("web", { replicas: 0 });
    await world.elastiService("web");
    await world.resolver();
    const asleep = await world.until("web", ({ status }) => status?.phase === "Asleep" && status.podsGone === true);
    await writesAtRest();
    const behind = world.faults.hold({ kind: "watch", resource: "deployments" });
    world.faults.dropWatches({ resource: "deployments" });
    await behind.hit;
    await world.client.patch<Deployment>(resources.deployments, "default", "web", "merge", { spec: { replicas: 1 } });
    const epoch = (asleep.status?.epoch ?? 0) + 1;
    const woken = { status: { phase: "Waking", epoch, podsGone: true, phaseTime: new Date().toISOString() } };
    await world.client.patch<Es>(resources.elastiServices, "default", "web", "merge", woken, { subresource: "status" });
    await writesAtRest();
    const { status } = await world.client.get<Es>(resources.elastiServices, "default", "web");
    assert.deepEqual([status?.phase, status?.epoch, status?.podsGone], ["Waking", epoch, true]);
    await behind.release();
  });

  it("begins the sleep that a dead leader left behind again as soon as it is idle", async () => {
    await world.app("web");
    await world.elastiService("web", { cooldownPeriod: 1, routing: { graceSeconds: 0 } });
    await world.resolver();
    const serving = await world.until("web", rests);
    const left = (serving.status?.epoch ?? 0) + 1;
    const status = { phase: "Draining", epoch: left, drainEpoch: left, phaseTime: new Date().toISOString() };
    await world.client.patch<Es>(
      resources.elastiServices,
      "default",
      "web",
      "merge",
      { status },
      { subresource: "status" },
    );
    await world.until("web", (es) => es.status?.phase === "Serving" && (es.status.epoch ?? 0) > left);
    await world.until("web", (es) => es.status?.phase === "Draining" && (es.status.epoch ?? 0) > left);
  });

  it("lets a deleted ElastiService go by one write", async () => {
    await world.app("web");
    await world.elastiService("web", { routing: { graceSeconds: 0 } });
    await world.until("web", rests);
    const before = world.writes.length;
    await world.client.delete(resources.elastiServices, "default", "web");
    await writesAtRest();
    assert.deepEqual(
      world.writes.slice(before).filter((write) => write === "patch elastiservices web"),
      ["patch elastiservices web"],
    );
  });

  it("wakes the target of a deleted ElastiService though its kind cannot be read at that moment", async () => {
    await world.app("web", { replicas: 0 });
    const statefulSets: Resource = { ...resources.deployments, plural: "statefulsets", kind: "StatefulSet" };
    const labels = { app: "web" };
    await world.client.create(statefulSets, {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "db", namespace: "default" },
      spec: {
        replicas: 0,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: "db", image: "db" }] } },
      },
    } as KubeObject);
    // as a new leader finds it whose first look at the API does not succeed
    const failing = world.faults.fail(({ path }) => path === "/apis/apps/v1", 500);
    const asked = world.faults.hold(({ path }) => path === "/apis/apps/v1");
    await world.elastiService("web", { scaleTargetRef: { apiVersion: "apps/v1", kind: "StatefulSet", name: "db" } });
    await world.until("web", ({ metadata }) => (metadata.finalizers ?? []).length > 0);
    const status = { phase: "Asleep", epoch: 3, podsGone: true, phaseTime: new Date().toISOString() };
    const body = { status };
    await world.client.patch<Es>(resources.elastiServices, "default", "web", "merge", body, { subresource: "status" });
    await world.client.delete(resources.elastiServices, "default", "web");
    await world.until("web", ({ metadata }) => metadata.deletionTimestamp !== undefined);
    asked.release();
    await failing.hit;
    await writesAtRest();
    failing.remove();
    await world.until("web", (es) => es.status?.phase === "Waking");
    const { spec } = await world.client.get<Deployment>(statefulSets, "default", "db");
    assert.equal(spec.replicas, 1);
  });

  /** Nothing of ours is at the Service any more. */
  const cleanOf = async (name: string): Promise<void> => {
    const { metadata, spec } = await world.client.get<Service>(resources.services, "default", name);
    assert.deepEqual(spec.selector, { app: name });
    assert.equal(metadata.annotations?.[SERVICE_EPOCH_ANNOTATION], undefined);
    const { items } = await world.client.list<EndpointSlice>(resources.endpointSlices, { namespace: "default" });
    assert.deepEqual(
      items.filter(({ metadata: { labels } }) => labels?.[SERVICE_NAME_LABEL] === name),
      [],
    );
    const services = await world.client.list<Service>(resources.services, { namespace: "default" });
    assert.ok(!services.items.some(({ metadata: { name: other } }) => other === privateServiceName(name)));
  };
  const isParkedAtRest = ({ spec, status }: Es, service: string): boolean =>
    spec.service === service && status?.conditions?.some(({ reason }) => reason === "Always") === true;

  it("leaves nothing at the Service that an ElastiService named before", async () => {
    await world.app("web");
    await world.app("other");
    await world.elastiService("web");
    await world.resolver();
    await world.until("web", (es) => isParkedAtRest(es, "web"));
    await world.client.patch<Es>(resources.elastiServices, "default", "web", "merge", { spec: { service: "other" } });
    await world.until("web", (es) => isParkedAtRest(es, "other"));
    await writesAtRest();
    await cleanOf("web");
  });

  it("leaves nothing there either where clients were never led to resolvers, and gives its port up", async () => {
    await world.app("web");
    await world.app("other");
    await world.elastiService("web");
    await world.until("web", rests);
    await world.client.patch<Es>(resources.elastiServices, "default", "web", "merge", { spec: { service: "other" } });
    await world.until("web", ({ status }) => status?.routes?.[0]?.resolverPort === 10_001);
    await writesAtRest();
    await cleanOf("web");
    const { data = {} } = await world.client.get<ConfigMap>(resources.configMaps, "elasti", "elasti-ports-0");
    const released = Object.values(data).map((row) => (JSON.parse(row) as { releasedAt?: number }).releasedAt);
    assert.deepEqual(
      released.map((at) => at !== undefined),
      [true, false],
    );
  });

  it("leaves nothing when the finalizer is taken off by force", async () => {
    await world.app("web");
    await world.elastiService("web");
    await world.resolver();
    await world.until("web", (es) => isParkedAtRest(es, "web"));
    const held = world.faults.hold({ resource: "services" });
    await world.client.delete(resources.elastiServices, "default", "web");
    await world.client.patch<Es>(resources.elastiServices, "default", "web", "merge", {
      metadata: { finalizers: null },
    });
    await held.release();
    await writesAtRest();
    await cleanOf("web");
  });

  it("knows other Services on the same pods by their selectors", async () => {
    await world.app("web");
    await world.client.create<Service>(resources.services, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "aside", namespace: "default" },
      spec: { selector: { app: "web" }, ports: [{ port: 80 }] },
    });
    await world.elastiService("web");
    const { status } = await world.until("web", rests);
    assert.match(
      status?.conditions?.find(({ type }) => type === "UnmanagedServices")?.message ?? "",
      /^Service aside leads/,
    );
  });

  it("replaces the probe in status as a whole", async () => {
    await world.app("web");
    await setProbe({ httpGet: { path: "/ready", port: 8080 } });
    await world.elastiService("web");
    await world.until("web", (es) => rests(es) && es.status?.probe?.readiness?.path === "/ready");
    await setProbe({ exec: { command: ["true"] } });
    const { status } = await world.until("web", ({ status }) => status?.probe?.wait === "Ready");
    assert.deepEqual(status?.probe, { wait: "Ready" });
    assert.deepEqual((await writesAtRest()).slice(1), []);
  });
});

describe("operator with ELASTI_KUBE_TIMEOUT", () => {
  it("gives up a write to /scale after it, too", async () => {
    const world = await startOperator({ ELASTI_KUBE_TIMEOUT: "300ms" });
    try {
      await world.app("web", { replicas: 0 });
      await world.elastiService("web");
      const resolver = await world.resolver();
      await world.until("web", ({ status }) => status?.phase === "Asleep" && status.podsGone === true);
      const held = world.faults.hold({ resource: "deployments", subresource: "scale", verb: "patch" });
      const traffic = { namespace: "default", service: "web", requests: 1, inFlight: 0, held: 1, idleMs: 0 };
      resolver.send({ type: "traffic", services: [{ ...traffic, answeredEpoch: 0 }] });
      await held.hit;
      const began = performance.now();
      await world.until("web", ({ status }) => status?.conditions?.[0]?.reason === "ReconcileFailed");
      assert.ok(performance.now() - began < 3_000);
      held.release();
    } finally {
      await world.close();
    }
  });
});

describe("operator with WATCH_NAMESPACES", () => {
  it("touches nothing in other namespaces", async () => {
    const world = await startOperator({ WATCH_NAMESPACES: "shop,blog" });
    try {
      await world.client.create(resources.namespaces, {
        apiVersion: "v1",
        kind: "Namespace",
        metadata: { name: "shop" },
      });
      await world.app("mine");
      await world.elastiService("mine");
      await world.app("web", { namespace: "shop" });
      await world.elastiService("web", {}, "shop");
      await world.until("web", rests, "shop");
      assert.deepEqual(
        world.writes.filter((write) => write.includes("mine")),
        [],
      );
    } finally {
      await world.close();
    }
  });
});
