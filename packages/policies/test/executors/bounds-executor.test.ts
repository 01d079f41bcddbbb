import assert from "node:assert/strict";
import { after, before, beforeEach, describe, it } from "node:test";
import { createKubeClient, isNotFound, type KubeClient, resources, type ScaledObject } from "@elasti/kube";
import { type ApiServer, looseDefinition, startApiServer } from "@elasti/local";
import { isTouched, PAUSED_REPLICAS } from "@elasti/scaling";
import { type Applied, BoundsExecutor, type FoundTarget, type Wanted } from "../../src/index.ts";
import { Cluster } from "../engine/world.ts";

const { scaledObjects } = resources;
const { group, version, kind } = scaledObjects;
const workload = { namespace: "default", name: "web", apiVersion: "apps/v1", kind: "Deployment" };

describe("the pin of an override, before an API server", () => {
  let api: ApiServer;
  let client: KubeClient;
  let executor: BoundsExecutor;
  let wrote: unknown[];
  before(async () => {
    api = await startApiServer({ tokens: { secret: "operator" } });
    client = createKubeClient({ cluster: { server: api.url, token: async () => "secret" } });
    await client.create(resources.customResourceDefinitions, looseDefinition(scaledObjects));
  });
  after(async () => {
    await client.close();
    await api.close();
  });
  beforeEach(() => {
    const cluster = new Cluster();
    cluster.workloads.set("default/web", { replicas: 2, version: 1 });
    wrote = [];
    executor = new BoundsExecutor({ client, sources: cluster, wrote: (object) => wrote.push(object) });
  });

  /** As soon as its kind is served. */
  async function create(name: string, annotations: Record<string, string> = {}): Promise<ScaledObject> {
    const until = AbortSignal.timeout(8_000);
    for (;;) {
      try {
        return await client.create<ScaledObject>(scaledObjects, {
          apiVersion: `${group}/${version}`,
          kind,
          metadata: { name, namespace: "default", annotations },
          spec: { scaleTargetRef: { name: "web" }, minReplicaCount: 1, maxReplicaCount: 10 },
        });
      } catch (error) {
        until.throwIfAborted();
        if (!isNotFound(error)) throw error;
      }
    }
  }
  const read = (name: string) => client.get<ScaledObject>(scaledObjects, "default", name);
  const apply = (object: ScaledObject, wanted: Partial<Wanted>): Promise<Applied> => {
    const target: FoundTarget = { kind: "found", workload, writer: { kind: "keda", object }, elastiServices: [] };
    const resourceVersion = object.metadata.resourceVersion ?? "";
    const bounds = { min: 1, max: 10 };
    return executor.apply(target, { policy: "p", resourceVersion, replicas: 5, bounds, ...wanted });
  };

  it("pauses KEDA at the number, once, and lets it go with everything as it was", async () => {
    const object = await create("pinned");
    assert.deepEqual(await apply(object, { bounds: { min: 5, max: 10 }, pinned: 5 }), { kind: "done" });
    const pinned = await read("pinned");
    assert.equal(pinned.metadata.annotations?.[PAUSED_REPLICAS], "5");
    assert.equal(pinned.spec.minReplicaCount, 5);
    assert.deepEqual(wrote, [pinned]);
    assert.deepEqual(await apply(pinned, { bounds: { min: 5, max: 10 }, pinned: 5 }), { kind: "unchanged" });

    // the override has ended: the policy goes on without the pin
    assert.deepEqual(await apply(pinned, { bounds: { min: 2, max: 10 } }), { kind: "done" });
    const unpinned = await read("pinned");
    assert.equal(unpinned.metadata.annotations?.[PAUSED_REPLICAS], undefined);
    assert.equal(unpinned.spec.minReplicaCount, 2);

    assert.deepEqual(await executor.release(unpinned), { kind: "done" });
    const released = await read("pinned");
    assert.deepEqual(released.spec, object.spec);
    assert.equal(isTouched(released.metadata.annotations), false);
    assert.deepEqual(await executor.release(released), { kind: "unchanged" });
  });

  it("gives a person's own pin back when it goes", async () => {
    const object = await create("own", { [PAUSED_REPLICAS]: "7" });
    await apply(object, { pinned: 5 });
    const pinned = await read("own");
    assert.equal(pinned.metadata.annotations?.[PAUSED_REPLICAS], "5");
    assert.deepEqual(await executor.release(pinned), { kind: "done" });
    assert.deepEqual((await read("own")).metadata.annotations, { [PAUSED_REPLICAS]: "7" });
  });

  it("leaves a pin that a person has put over it", async () => {
    const object = await create("over");
    await apply(object, { pinned: 5 });
    await client.patch(scaledObjects, "default", "over", "merge", {
      metadata: { annotations: { [PAUSED_REPLICAS]: "9" } },
    });
    assert.deepEqual(await executor.release(await read("over")), { kind: "done" });
    assert.deepEqual((await read("over")).metadata.annotations, { [PAUSED_REPLICAS]: "9" });
  });

  it("writes nothing on what it has not seen", async () => {
    const object = await create("raced");
    const seen = await client.patch<ScaledObject>(scaledObjects, "default", "raced", "merge", {
      spec: { maxReplicaCount: 20 },
    });
    assert.deepEqual(await apply(object, { pinned: 5 }), { kind: "conflict" });
    assert.deepEqual(await apply(seen, { resourceVersion: object.metadata.resourceVersion ?? "", pinned: 5 }), {
      kind: "conflict",
    });
    const raced = await read("raced");
    assert.deepEqual([raced.metadata.resourceVersion, wrote], [seen.metadata.resourceVersion, []]);
  });
});
