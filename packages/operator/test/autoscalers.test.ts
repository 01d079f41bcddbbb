import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { ElastiService } from "@elasti/api";
import {
  type HorizontalPodAutoscaler,
  isNotFound,
  type KubeObject,
  type Resource,
  resources,
  type Scale,
  type ScaledObject,
} from "@elasti/kube";
import { looseDefinition } from "@elasti/local";
import { FORCE_ACTIVATION, PAUSED, PAUSED_REPLICAS, RECORD } from "@elasti/scaling";
import { type Es, type OperatorWorld, startOperator } from "./kit/operator.ts";

describe("an operator beside autoscalers", () => {
  let world: OperatorWorld;
  beforeEach(async () => {
    world = await startOperator();
  });
  afterEach(async () => {
    await world.close();
  });

  const { customResourceDefinitions, scaledObjects, horizontalPodAutoscalers } = resources;
  const installKeda = (version = "2.21.0") =>
    world.client.create(
      customResourceDefinitions,
      looseDefinition(scaledObjects, { labels: { "app.kubernetes.io/version": version }, status: true }),
    );
  /** Creates an object as soon as its kind is served. */
  const create = async <T extends KubeObject>(resource: Resource, object: T): Promise<T> => {
    for (;;) {
      try {
        return await world.client.create<T>(resource, object);
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
    }
  };
  const scaledObject = (spec: Partial<ScaledObject["spec"]> = {}, name = "web") =>
    create<ScaledObject>(scaledObjects, {
      apiVersion: "keda.sh/v1alpha1",
      kind: "ScaledObject",
      metadata: { name, namespace: "default" },
      spec: { scaleTargetRef: { name: "web" }, ...spec },
    });
  const annotationsUntil = async (
    fits: (annotations: Record<string, string>) => boolean,
  ): Promise<Record<string, string>> => {
    for (;;) {
      const { metadata } = await world.client.get<ScaledObject>(scaledObjects, "default", "web");
      if (fits(metadata.annotations ?? {})) return metadata.annotations ?? {};
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  };
  const annotate = (annotations: Record<string, string | null>) =>
    world.client.patch(scaledObjects, "default", "web", "merge", { metadata: { annotations } });
  const condition = async (type: string, reason: string): Promise<string> => {
    const find = ({ status }: ElastiService) =>
      status?.conditions?.find((one) => one.type === type && one.reason === reason);
    return find(await world.until("web", (es: Es) => find(es) !== undefined))?.message ?? "";
  };
  const replicas = async () =>
    (await world.client.get<Scale>(resources.deployments, "default", "web", { subresource: "scale" })).spec.replicas ??
    0;
  const asleep = async (spec: Partial<ScaledObject["spec"]> = {}): Promise<void> => {
    await installKeda();
    await scaledObject(spec);
    await world.app("web", { replicas: 0 });
    await world.elastiService("web");
    await world.resolver();
    await annotationsUntil((now) => now[PAUSED] === "true" && now[PAUSED_REPLICAS] === "0");
  };

  it("tells KEDA of a wake before it scales, and asks for KEDA's minimum", async () => {
    await asleep({ minReplicaCount: 3 });
    world.writes.length = 0;
    assert.equal((await world.notify("web")).status, 200);
    const order = world.writes.filter((write) => /scaledobjects|scale /.test(write));
    assert.deepEqual(order.slice(0, 2), ["patch scaledobjects web", "patch deployments/scale web"]);
    assert.equal(await replicas(), 3);
    const now = await annotationsUntil((annotations) => annotations[PAUSED_REPLICAS] === undefined);
    // no pod is ready yet
    assert.equal(now[PAUSED], "true");
  });

  it("wakes without KEDA where it may not tell it, cannot, or has to wait for it", async () => {
    await asleep();
    const slow = world.faults.hold({ verb: "patch", resource: "scaledobjects" });
    const asked = world.notify("web");
    await slow.hit;
    assert.equal((await asked).status, 200);
    assert.equal(await replicas(), 1);
    assert.ok(slow.held > 0);
    slow.release();
    await annotationsUntil((now) => now[PAUSED_REPLICAS] === undefined);
  });

  it("asks for KEDA's objects only once there is a KEDA", async () => {
    const asked = world.faults.hold({ verb: "list", resource: "scaledobjects" });
    await world.app("web");
    await world.elastiService("web");
    await world.until("web", ({ status }) => status?.phase === "Serving");
    assert.equal(asked.held, 0);
    await installKeda();
    await asked.hit;
    asked.release();
    await scaledObject({ minReplicaCount: 0 });
    await annotationsUntil((now) => now[FORCE_ACTIVATION] === "true");
  });

  it("says why it cannot tell KEDA", async () => {
    await installKeda();
    await scaledObject();
    world.faults.fail({ verb: "patch", resource: "scaledobjects" }, 403, {
      reason: "Forbidden",
      message: "scaledobjects.keda.sh is forbidden",
    });
    await world.app("web");
    await world.elastiService("web");
    assert.match(await condition("Idle", "AutoscalerNotWritable"), /patch scaledobjects.keda.sh.*forbidden/);
    await condition("AutoscalerUnsupported", "AutoscalerNotWritable");
  });

  it("goes without what it cannot put back, and puts it back later", async () => {
    await installKeda();
    await scaledObject();
    await world.app("web");
    await world.elastiService("web");
    await annotationsUntil((now) => now[FORCE_ACTIVATION] === "true");
    const denied = world.faults.fail({ verb: "patch", resource: "scaledobjects" }, 503);
    await world.client.delete(resources.services, "default", "web");
    await world.client.delete(resources.elastiServices, "default", "web");
    await denied.hit;
    while (await exists()) await new Promise((resolve) => setTimeout(resolve, 10));
    denied.remove();
    assert.deepEqual(await annotationsUntil((now) => now[RECORD] === undefined), {});
  });

  const exists = async (): Promise<boolean> => {
    try {
      await world.client.get(resources.elastiServices, "default", "web");
      return true;
    } catch (error) {
      if (isNotFound(error)) return false;
      throw error;
    }
  };

  it("sleeps no target whose named autoscaler it may not see", async () => {
    world.faults.fail({ resource: "scaledobjects" }, 403, { reason: "Forbidden", message: "no" });
    await installKeda();
    await world.app("web");
    await world.elastiService("web", { autoscaler: { type: "keda", name: "web" } });
    assert.match(await condition("Idle", "AutoscalerUnreadable"), /get, list and watch on scaledobjects.keda.sh/);
  });

  it("leaves a KEDA alone that could take an awake target to zero, until it is a newer one", async () => {
    await installKeda("2.17.2");
    await scaledObject({ minReplicaCount: 0 });
    await world.app("web");
    await world.elastiService("web");
    assert.match(await condition("Idle", "AutoscalerUnsupported"), /KEDA 2.17 .*minReplicaCount.*KEDA 2.18/);
    assert.deepEqual(await annotationsUntil(() => true), {});
    await world.client.patch(customResourceDefinitions, undefined, "scaledobjects.keda.sh", "merge", {
      metadata: { labels: { "app.kubernetes.io/version": "2.18.0" } },
    });
    await annotationsUntil((now) => now[FORCE_ACTIVATION] === "true");
  });

  it("gives way to whoever takes its annotations off again and again", async () => {
    await installKeda();
    await scaledObject();
    await world.app("web");
    await world.elastiService("web");
    for (let times = 0; times < 3; times++) {
      await annotationsUntil((now) => now[FORCE_ACTIVATION] === "true");
      await annotate({ [FORCE_ACTIVATION]: null, [RECORD]: null });
    }
    assert.match(await condition("Idle", "AutoscalerReverted"), /ignore metadata.annotations/);
    assert.deepEqual(await annotationsUntil(() => true), {});
  });

  it("says when spec.autoscaler names what is not there, or what scales something else", async () => {
    await world.app("web");
    await world.elastiService("web", { autoscaler: { type: "keda", name: "api" } });
    assert.match(await condition("AutoscalerMissing", "AutoscalerMissing"), /ScaledObject api.*does not exist/);
    await installKeda();
    await scaledObject({ scaleTargetRef: { name: "other" } }, "api");
    assert.match(await condition("AutoscalerMissing", "AutoscalerMismatch"), /scales other and is left alone/);
  });

  it("asks for an HPA's minimum, and leaves a target awake that its HPA scales to zero", async () => {
    await world.client.create(customResourceDefinitions, looseDefinition(horizontalPodAutoscalers, { status: true }));
    await create<HorizontalPodAutoscaler>(horizontalPodAutoscalers, {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: { name: "web", namespace: "default" },
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        minReplicas: 0,
        maxReplicas: 5,
      },
    });
    // KEDA's own is KEDA's: at zero it goes with the pause
    await create<HorizontalPodAutoscaler>(horizontalPodAutoscalers, {
      apiVersion: "autoscaling/v2",
      kind: "HorizontalPodAutoscaler",
      metadata: {
        name: "keda-hpa-web",
        namespace: "default",
        ownerReferences: [{ apiVersion: "keda.sh/v1alpha1", kind: "ScaledObject", name: "web", uid: "1" }],
      },
      spec: {
        scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
        minReplicas: 0,
        maxReplicas: 5,
      },
    });
    await world.app("web", { replicas: 0 });
    await world.elastiService("web");
    await world.resolver();
    assert.match(await condition("AutoscalerUnsupported", "AutoscalerUnsupported"), /HPA web has minReplicas 0/);
    await world.client.patch(horizontalPodAutoscalers, "default", "web", "merge", { spec: { minReplicas: 4 } });
    await world.until("web", ({ status }) => !status?.conditions?.some(({ type }) => type === "AutoscalerUnsupported"));
    assert.equal((await world.notify("web")).status, 200);
    assert.equal(await replicas(), 4);
  });
});
