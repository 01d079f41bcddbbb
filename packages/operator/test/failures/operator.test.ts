import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type Phase, privateServiceName, SERVICE_NAME_LABEL, type Waking } from "@elasti/api";
import {
  type ContainerStatus,
  type Deployment,
  type EndpointSlice,
  type KubeObject,
  type Pod,
  type Resource,
  resources,
} from "@elasti/kube";
import { type Es, type OperatorWorld, startOperator } from "../kit/operator.ts";
import { ended, waiting } from "./kit.ts";

const quota =
  'pods "web-7d4b9c-x2x7k" is forbidden: exceeded quota: compute, requested: pods=1, used: pods=4, limited: pods=4';
const watchOfPods = "pods default app=web";
const statefulSets: Resource = {
  group: "apps",
  version: "v1",
  plural: "statefulsets",
  kind: "StatefulSet",
  namespaced: true,
};

describe("a target that is scaled up and has no ready pod", () => {
  let world: OperatorWorld;
  beforeEach(async () => {
    world = await startOperator({}, { lookAfterMs: 50, progressAfterMs: 400 });
  });
  afterEach(async () => {
    await world.close();
  });

  const until = (fits: (waking: Waking | undefined, es: Es) => boolean, phase: Phase = "Waking"): Promise<Es> =>
    world.until("web", (es) => es.status?.phase === phase && fits(es.status.waking, es));
  const condition = ({ status }: Es) => status?.conditions?.find(({ type }) => type === "WakeFailed");
  const scale = (replicas: number) =>
    world.client.patch<Deployment>(resources.deployments, "default", "web", "merge", { spec: { replicas } });
  const woken = async (): Promise<void> => {
    await world.app("web", { replicas: 0 });
    await world.elastiService("web");
    await world.resolver();
    await world.until("web", ({ status }) => status?.phase === "Asleep" && status.podsGone === true);
    await scale(1);
  };
  /** What the Deployment controller says of its pods. */
  const created = async (message: string | undefined): Promise<void> => {
    const { metadata } = await world.client.get<Deployment>(resources.deployments, "default", "web");
    const failed = { type: "ReplicaFailure", status: "True", reason: "FailedCreate", message };
    const status = { observedGeneration: metadata.generation, conditions: message === undefined ? [] : [failed] };
    await world.client.patch(resources.deployments, "default", "web", "merge", { status }, { subresource: "status" });
  };
  const pod = async (name: string, status: Pod["status"]): Promise<void> => {
    await world.client.create<Pod>(resources.pods, {
      apiVersion: "v1",
      kind: "Pod",
      metadata: { name, namespace: "default", labels: { app: "web" } },
      spec: { nodeName: "node-1", containers: [{ name: "app", image: "web" }] },
    });
    await setStatus(name, status);
  };
  const setStatus = async (name: string, status: Pod["status"]): Promise<void> => {
    await world.client.patch(resources.pods, "default", name, "merge", { status }, { subresource: "status" });
  };
  const runs = (name: string, ...containerStatuses: ContainerStatus[]) =>
    setStatus(name, { phase: "Running", containerStatuses });
  /** What the endpoint slice controller writes for a pod that is ready, at the private and at the public Service. */
  const publish = async (): Promise<void> => {
    for (const service of [privateServiceName("web"), "web"])
      await world.client.create<EndpointSlice>(resources.endpointSlices, {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: { name: `${service}-x`, namespace: "default", labels: { [SERVICE_NAME_LABEL]: service } },
        addressType: "IPv4",
        endpoints: [{ addresses: ["10.1.0.1"], conditions: { ready: true } }],
        ports: [{ name: "", port: 80, protocol: "TCP" }],
      });
  };

  it("is out of quota as soon as its conditions say so, and is not when they no longer do", async () => {
    await woken();
    await created(quota);
    const es = await until((waking) => waking?.certain === true);
    assert.equal(es.status?.waking?.reason, "QuotaExceeded");
    assert.match(es.status.waking.message, /exceeded quota: compute/);
    const { items } = await world.client.list<KubeObject & { reason: string; message: string }>(resources.events, {
      namespace: "default",
      fieldSelector: "reason=WakeFailed",
    });
    assert.match(items[0]?.message ?? "", /^QuotaExceeded: no pod can be made/);
    assert.equal(condition(await until((_, seen) => condition(seen) !== undefined))?.reason, "QuotaExceeded");

    await created(undefined);
    await until((waking, seen) => waking?.certain !== true && condition(seen) === undefined);
  });

  it("is told from its pods: a container that ends three times, until one is ready", async () => {
    await woken();
    await pod("web-1", { phase: "Pending", containerStatuses: [waiting("ContainerCreating")] });
    await until((waking) => waking?.reason === "ContainerStarting" && !waking.certain);
    assert.ok(world.watches.has(watchOfPods));
    const backOff = (exits: number) =>
      waiting("CrashLoopBackOff", "back-off 10s restarting failed container", {
        restartCount: exits - 1,
        lastState: { terminated: ended(1, Date.now()) },
      });
    await runs("web-1", backOff(2));
    const first = await until((waking) => waking?.reason === "CrashLoop" && !waking.certain);
    await runs("web-1", backOff(3));
    const { status } = await until((waking) => waking?.certain === true);
    assert.equal(status?.waking?.message, "pod web-1, container app ended 3 times: exit code 1 (Error)");
    assert.equal(status.waking.since, first.status?.waking?.since);

    await publish();
    // what it waited for goes with the phase, in one write
    const served = await world.until("web", (es) => es.status?.phase === "Serving");
    assert.equal(served.status?.waking, undefined);
    const healthy = await until((_, es) => condition(es) === undefined, "Serving");
    assert.equal(healthy.status?.waking, undefined);
    assert.ok(!world.watches.has(watchOfPods));
  });

  it("is hoped for again when a new pod is made", async () => {
    await woken();
    const message =
      "rpc error: code = NotFound desc = failed to pull and unpack image: docker.io/library/web:9: not found";
    await pod("web-1", { phase: "Pending", containerStatuses: [waiting("ErrImagePull", message)] });
    await until((waking) => waking?.reason === "ImageNotFound" && waking.certain);
    await pod("web-2", { phase: "Pending", containerStatuses: [waiting("ContainerCreating")] });
    await until((waking) => waking?.certain !== true);
  });

  it("is looked at no more when it is scaled back to zero", async () => {
    await woken();
    await pod("web-1", { phase: "Pending", containerStatuses: [waiting("ErrImageNeverPull", "not present")] });
    await until((waking) => waking?.certain === true);
    await scale(0);
    const { status } = await world.until("web", (es) => es.status?.phase === "Asleep");
    assert.equal(status?.waking, undefined);
    await until((_, es) => condition(es) === undefined && !world.watches.has(watchOfPods), "Asleep");
  });

  it("stays as the leader before has found it, though the failed pulls that one has counted are not known", async () => {
    await woken();
    const pulling = (message: string): Pod["status"] => ({
      phase: "Pending",
      containerStatuses: [waiting("ImagePullBackOff", message)],
    });
    await pod("web-1", pulling("no such host"));
    await until((waking) => waking?.reason === "ImagePullFailed" && !waking.certain);
    const since = new Date(0).toISOString();
    const waking: Waking = { reason: "ImagePullFailed", message: "third time", since, certain: true };
    const body = { status: { waking } };
    await world.client.patch<Es>(resources.elastiServices, "default", "web", "merge", body, { subresource: "status" });
    await setStatus("web-1", pulling("no route to host"));
    const es = await until((now) => now !== undefined && now.message !== waking.message);
    assert.deepEqual(
      [es.status?.waking?.certain, es.status?.waking?.reason, es.status?.waking?.since],
      [true, "ImagePullFailed", since],
    );
  });

  it("is found out though it counts as awake, once requests wait for it", async () => {
    await world.app("web");
    await pod("web-1", {
      phase: "Pending",
      containerStatuses: [waiting("InvalidImageName", "invalid reference format")],
    });
    await world.elastiService("web");
    const resolver = await world.resolver();
    await until((waking, { status }) => waking === undefined && status?.conditions !== undefined, "Serving");
    assert.ok(!world.watches.has(watchOfPods));
    const report = { namespace: "default", service: "web", requests: 1, inFlight: 0, idleMs: 0, answeredEpoch: 0 };
    resolver.send({ type: "traffic", services: [{ ...report, held: 1 }] });
    await until((waking) => waking?.reason === "ImageNotFound" && waking.certain, "Serving");
    // what was held has been answered
    resolver.send({ type: "traffic", services: [{ ...report, held: 0 }] });
    await publish();
    await until((waking) => waking === undefined, "Serving");
    assert.ok(!world.watches.has(watchOfPods));
  });

  it("of a kind without such conditions is told from Events, if they are of this wake", async () => {
    const labels = { app: "web" };
    const set = await world.client.create<Deployment>(statefulSets, {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name: "web", namespace: "default" },
      spec: {
        replicas: 0,
        selector: { matchLabels: labels },
        template: { metadata: { labels }, spec: { containers: [{ name: "app", image: "web" }] } },
      },
    });
    const event = async (name: string, agoMs: number): Promise<void> => {
      const at = new Date(Date.now() - agoMs).toISOString();
      const { uid, resourceVersion = "" } = set.metadata;
      await world.client.create<KubeObject>(resources.events, {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name, namespace: "default" },
        involvedObject: {
          apiVersion: "apps/v1",
          kind: "StatefulSet",
          name: "web",
          namespace: "default",
          uid,
          resourceVersion,
        },
        type: "Warning",
        reason: "FailedCreate",
        message: `Create Pod web-0 in StatefulSet web failed error: ${quota}`,
        firstTimestamp: at,
        lastTimestamp: at,
        count: 1,
        source: { component: "statefulset-controller" },
      } as KubeObject);
    };
    await event("web.1", 600_000);
    await world.client.create(resources.services, {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "web", namespace: "default" },
      spec: { selector: labels, ports: [{ port: 80 }] },
    } as KubeObject);
    await world.elastiService("web", {
      scaleTargetRef: { apiVersion: "apps/v1", kind: "StatefulSet", name: "web" },
    });
    await world.resolver();
    await world.until("web", ({ status }) => status?.phase === "Asleep" && status.podsGone === true);
    await world.client.patch(statefulSets, "default", "web", "merge", { spec: { replicas: 1 } });
    await until((waking) => waking?.reason === "PodMissing" && !waking.certain);
    await event("web.2", 0);
    await until((waking) => waking?.reason === "QuotaExceeded" && waking.certain);
  });
});

describe("a node that is coming", () => {
  it("is waited for anew", async () => {
    const world = await startOperator({ ELASTI_UNSCHEDULABLE_TIMEOUT: "3s" }, { lookAfterMs: 20, progressAfterMs: 20 });
    try {
      await world.app("web", { replicas: 0 });
      await world.elastiService("web");
      await world.resolver();
      await world.until("web", ({ status }) => status?.phase === "Asleep" && status.podsGone === true);
      await world.client.patch(resources.deployments, "default", "web", "merge", { spec: { replicas: 1 } });
      const { metadata } = await world.client.create<Pod>(resources.pods, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: "web-1", namespace: "default", labels: { app: "web" } },
        spec: { containers: [{ name: "app", image: "web" }] },
      });
      const now = new Date().toISOString();
      await world.client.create(resources.events, {
        apiVersion: "v1",
        kind: "Event",
        metadata: { name: "web-1.1", namespace: "default" },
        involvedObject: { apiVersion: "v1", kind: "Pod", name: "web-1", namespace: "default", uid: metadata.uid },
        type: "Normal",
        reason: "TriggeredScaleUp",
        message: "pod triggered scale-up: [{workers 1->2 (max: 3)}]",
        firstTimestamp: now,
        lastTimestamp: now,
        count: 1,
        source: { component: "cluster-autoscaler" },
      } as KubeObject);
      const message = "0/1 nodes are available: 1 Insufficient cpu.";
      const lastTransitionTime = new Date(Date.now() - 60_000).toISOString();
      const conditions = [
        { type: "PodScheduled", status: "False", reason: "Unschedulable", message, lastTransitionTime },
      ];
      const status = { phase: "Pending", conditions };
      await world.client.patch(resources.pods, "default", "web-1", "merge", { status }, { subresource: "status" });
      const waking = async (certain: boolean) =>
        (
          await world.until(
            "web",
            (es) => es.status?.waking?.reason === "Unschedulable" && es.status.waking.certain === certain,
          )
        ).status?.waking;
      assert.match((await waking(false))?.message ?? "", /a node was being made for it/);
      // by time alone: the patience with the node that did not come is over
      assert.equal((await waking(true))?.certain, true);
    } finally {
      await world.close();
    }
  });
});
