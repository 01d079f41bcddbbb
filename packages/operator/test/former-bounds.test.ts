import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import {
  createKubeClient,
  type HorizontalPodAutoscaler,
  isNotFound,
  type KubeClient,
  kubeErrors,
  resources,
  type ScaledObject,
} from "@elasti/kube";
import { type ApiServer, looseDefinition, startApiServer } from "@elasti/local";
import {
  type AutoscalerObject,
  boundsKindOf,
  boundsStateOf,
  isTouched,
  nextBounds,
  PAUSED_REPLICAS,
  type WantedBounds,
  writeBounds,
} from "@elasti/scaling";
import { hasPolicyBounds, isToldOfSleep, restoreFormerBounds } from "../src/index.ts";

const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
const hpa: HorizontalPodAutoscaler = {
  apiVersion: "autoscaling/v2",
  kind: "HorizontalPodAutoscaler",
  metadata: { name: "web", namespace: "default", annotations: { team: "shop" } },
  spec: { scaleTargetRef, minReplicas: 2, maxReplicas: 4 },
};
const scaledObject: ScaledObject = {
  apiVersion: "keda.sh/v1alpha1",
  kind: "ScaledObject",
  metadata: { name: "web", namespace: "default" },
  spec: { scaleTargetRef: { name: "web" }, maxReplicaCount: 10 },
};

describe("what a policy has moved of an autoscaler, put back with no engine", () => {
  let api: ApiServer;
  let client: KubeClient;
  before(async () => {
    api = await startApiServer({ tokens: { secret: "admin" } });
    client = createKubeClient({ cluster: { server: api.url, token: async () => "secret" } });
    for (const resource of [resources.horizontalPodAutoscalers, resources.scaledObjects])
      await client.create(resources.customResourceDefinitions, looseDefinition(resource));
  });
  after(async () => {
    await client.close();
    await api.close();
  });

  /** An autoscaler anew, with what a policy moves. */
  async function moved<T extends AutoscalerObject>(object: T, wanted: WantedBounds): Promise<T> {
    const { resource } = boundsKindOf(object);
    const { namespace, name } = object.metadata;
    await client.delete(resource, namespace, name).catch(() => {});
    const made = await created(object);
    const change = nextBounds(boundsStateOf(made), wanted);
    assert.ok(change);
    return (await writeBounds(client, made, change)) as T;
  }
  /** As soon as its kind is served, and the former one of its name is gone. */
  async function created<T extends AutoscalerObject>(object: T): Promise<T> {
    const until = AbortSignal.timeout(8_000);
    for (;;) {
      try {
        return await client.create<T>(boundsKindOf(object).resource, object);
      } catch (error) {
        until.throwIfAborted();
        if (!isNotFound(error)) throw error;
      }
    }
  }
  const read = async <T extends AutoscalerObject>(object: T): Promise<T> =>
    await client.get<T>(boundsKindOf(object).resource, "default", object.metadata.name);

  it("gives an HPA its bounds, keeps what is not Elasti's, and then has nothing more to do", async () => {
    const object = await moved(hpa, { policy: "p", min: 3, max: 8 });
    assert.deepEqual([object.spec.minReplicas, object.spec.maxReplicas], [3, 8]);
    assert.deepEqual([hasPolicyBounds(object), isToldOfSleep(object)], [true, false]);
    await restoreFormerBounds(client, object);
    const back = await read(object);
    assert.deepEqual(back.spec, hpa.spec);
    assert.deepEqual(back.metadata.annotations, { team: "shop" });
    await restoreFormerBounds(client, back);
    await restoreFormerBounds(client, object);
    assert.equal((await read(object)).metadata.resourceVersion, back.metadata.resourceVersion);
  });

  it("takes fields off a ScaledObject that it did not have, and the pin", async () => {
    const object = await moved(scaledObject, { policy: "p", min: 3, max: 8, pinned: 5 });
    assert.equal(object.metadata.annotations?.[PAUSED_REPLICAS], "5");
    await restoreFormerBounds(client, object);
    const back = await read(object);
    assert.deepEqual(back.spec, scaledObject.spec);
    assert.deepEqual(back.metadata.annotations ?? {}, {});
  });

  it("writes nothing on what it has not seen: a person's change in between stands", async () => {
    const object = await moved(hpa, { policy: "p", min: 3, max: 8 });
    const { resource } = boundsKindOf(object);
    await client.patch(resource, "default", "web", "merge", { spec: { maxReplicas: 20 } });
    await restoreFormerBounds(client, object);
    const back = await read(object);
    assert.deepEqual([back.spec.minReplicas, back.spec.maxReplicas], [2, 20]);
    assert.equal(isTouched(back.metadata.annotations), false);
  });

  it("is done where the autoscaler is gone, and says what the API server says otherwise", async () => {
    const object = await moved(hpa, { policy: "p", min: 3, max: 8 });
    const refusing: Pick<KubeClient, "get" | "patch"> = {
      get: (...args: Parameters<KubeClient["get"]>) => client.get(...args),
      patch: async () => {
        throw kubeErrors.ELASTI_KUBE_FORBIDDEN("may not patch");
      },
    } as unknown as KubeClient;
    await assert.rejects(restoreFormerBounds(refusing, object), { code: "ELASTI_KUBE_FORBIDDEN" });
    await client.delete(boundsKindOf(object).resource, "default", "web");
    await restoreFormerBounds(client, object);
    await assert.rejects(read(object), isNotFound);
  });

  it("gives up on one that never keeps still, and leaves it as it is", async () => {
    const object = await moved(hpa, { policy: "p", min: 3, max: 8 });
    let times = 0;
    const racing = {
      get: (...args: Parameters<KubeClient["get"]>) => client.get(...args),
      patch: async (...args: Parameters<KubeClient["patch"]>) => {
        times += 1;
        const labels = { change: String(times) };
        await client.patch(boundsKindOf(object).resource, "default", "web", "merge", { metadata: { labels } });
        return await client.patch(...args);
      },
    } as unknown as KubeClient;
    await assert.rejects(restoreFormerBounds(racing, object), { code: "ELASTI_KUBE_CONFLICT" });
    assert.equal(times, 5);
    assert.equal(hasPolicyBounds(await read(object)), true);
  });
});
