import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it, type TestContext } from "node:test";
import { type Container, type Deployment, type KubeObject, type Resource, resources } from "@elasti/kube";
import { assertCannotWake, editContainer, firstContainer } from "../e2e/cannot-wake.ts";
import type { Answer } from "../e2e/client.ts";
import { Sleeper } from "../e2e/sleeper.ts";
import { startWorld, type World } from "../e2e/world.ts";

const resourceQuotas: Resource = {
  group: "",
  version: "v1",
  plural: "resourcequotas",
  kind: "ResourceQuota",
  namespaced: true,
};
const statefulSets: Resource = { ...resources.deployments, plural: "statefulsets", kind: "StatefulSet" };
/** The kubelet tries a pull again after 10 s and 20 s. */
const patience = { timeoutMs: 90_000 };
const unschedulableMs = 8_000;

/** A registry that has no image, and is asked by plain HTTP because it is on the node itself. */
async function emptyRegistry() {
  const server = createServer((request, response) => {
    const found = request.url === "/v2/";
    const errors = [{ code: "MANIFEST_UNKNOWN", message: "manifest unknown" }];
    response.writeHead(found ? 200 : 404, { "content-type": "application/json" });
    response.end(found ? "{}" : JSON.stringify({ errors }));
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  return server;
}

describe("a wake that cannot succeed on a real cluster", { concurrency: 4 }, () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operatorEnv: { ELASTI_UNSCHEDULABLE_TIMEOUT: `${unschedulableMs}ms` } });
  });
  after(() => world.close());

  /** A namespace that goes when the test has ended. */
  const namespace = async (name: string, labels: Record<string, string> = {}): Promise<AsyncDisposable> => {
    const metadata = { name, labels };
    await world.client.create(resources.namespaces, { apiVersion: "v1", kind: "Namespace", metadata });
    return {
      [Symbol.asyncDispose]: async () => {
        await world.client.delete(resources.namespaces, undefined, name);
        await world.until("gone", resources.namespaces, undefined, name, (one) => one === undefined, 60_000);
      },
    };
  };
  const noPods = async (name: string): Promise<void> => {
    const quota = { apiVersion: "v1", kind: "ResourceQuota", metadata: { name: "compute", namespace: name } };
    await world.client.create(resourceQuotas, { ...quota, spec: { hard: { pods: "0" } } } as KubeObject);
    type Quota = KubeObject & { status?: { hard?: object } };
    await world.until<Quota, true>("known", resourceQuotas, name, "compute", (one) => one?.status?.hard !== undefined);
  };
  /** Asks once, and shows how long that took. */
  const answerOf = async (t: TestContext, web: Sleeper): Promise<Answer> => {
    const answer = await web.ask("/", patience);
    t.diagnostic(`${answer.status} ${answer.headers["elasti-reason"] ?? ""} after ${Math.round(answer.tookMs)} ms`);
    return answer;
  };
  const reasonOf = async (web: Sleeper): Promise<string> =>
    (await web.condition("WakeFailed", ({ status }) => status === "True")).reason;
  const image = (name: string, imagePullPolicy: string) => (manifests: { deployment: Deployment }) => {
    const container = firstContainer(manifests) as Container & { imagePullPolicy?: string };
    container.image = name;
    container.imagePullPolicy = imagePullPolicy;
  };

  it("because a quota leaves no room for its pods is answered at once, until there is room", async (t) => {
    await using _ = await namespace("no-room");
    await noPods("no-room");
    const web = await world.sleeper({ name: "quota", namespace: "no-room" });
    const answer = await answerOf(t, web);
    assertCannotWake(
      answer,
      "ELASTI_WAKE_QUOTA",
      /exceeded quota: compute, requested: pods=1, used: pods=0, limited: pods=0/,
    );
    assert.equal(await reasonOf(web), "QuotaExceeded");
    await world.client.delete(resourceQuotas, "no-room", "compute");
    await web.reaches("Serving", patience);
    assert.equal((await web.ask()).status, 200);
  });

  it("because a quota leaves no room for a StatefulSet's pods is told by its Events", async (t) => {
    await using _ = await namespace("no-room-set");
    await noPods("no-room-set");
    const at = { namespace: "no-room-set", name: "set" };
    const service = await world.app({ ...at });
    const { spec } = await world.client.get<Deployment>(resources.deployments, at.namespace, at.name);
    await world.client.delete(resources.deployments, at.namespace, at.name);
    await world.client.create<Deployment>(statefulSets, {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: at,
      spec: { replicas: 0, selector: spec.selector, template: spec.template },
    });
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "StatefulSet", name: "set" };
    await world.elastiService("set", { service: "set", scaleTargetRef, cooldownPeriod: 900 }, at.namespace);
    const web = new Sleeper(world, service);
    await web.sleeps();
    await world.backends(web, (ports) => ports.length > 0);
    assertCannotWake(
      await answerOf(t, web),
      "ELASTI_WAKE_QUOTA",
      /Create Pod set-0 in StatefulSet set failed error: .* exceeded quota/,
    );
  });

  it("because admission refuses its pods is answered at once", async (t) => {
    await using _ = await namespace("restricted", { "pod-security.kubernetes.io/enforce": "restricted" });
    const web = await world.sleeper({ name: "refused", namespace: "restricted" });
    assertCannotWake(await answerOf(t, web), "ELASTI_WAKE_REFUSED", /violates PodSecurity "restricted:latest"/);
    assert.equal(await reasonOf(web), "PodRefused");
  });

  it("because its image does not exist is answered when the registry has said so, until it does", async (t) => {
    const registry = await emptyRegistry();
    try {
      const { port } = registry.address() as AddressInfo;
      let good: Container | undefined;
      const web = await world.sleeper({
        name: "no-image",
        edit: (manifests) => {
          good = structuredClone(world.ground.prepare(manifests.deployment).spec.template.spec.containers[0]);
          image(`127.0.0.1:${port}/web:9`, "Always")(manifests);
        },
      });
      assertCannotWake(
        await answerOf(t, web),
        "ELASTI_WAKE_IMAGE_NOT_FOUND",
        /code = NotFound desc = failed to pull and unpack image/,
      );
      assert.equal(await reasonOf(web), "ImageNotFound");
      await editContainer(web, (container) => void Object.assign(container, good));
      await web.reaches("Serving", patience);
      assert.equal((await web.ask()).status, 200);
    } finally {
      registry.close();
    }
  });

  it("because its image's name is none is answered at once", async (t) => {
    const web = await world.sleeper({ name: "bad-name", edit: image("Not/A:Valid:Name", "IfNotPresent") });
    assertCannotWake(await answerOf(t, web), "ELASTI_WAKE_IMAGE_NOT_FOUND", /./);
  });

  it("because no registry answers waits for the third time", async (t) => {
    // nobody listens on port 1
    const web = await world.sleeper({ name: "no-registry", edit: image("127.0.0.1:1/web:9", "Always") });
    const answer = await answerOf(t, web);
    assertCannotWake(answer, "ELASTI_WAKE_IMAGE_PULL", /connection refused/);
    assert.ok(answer.tookMs > 20_000, `answered after ${answer.tookMs} ms`);
  });

  it("because no node fits is answered when patience is over, and the deadline before it says so", async (t) => {
    const nowhere = ({ deployment }: { deployment: Deployment }): void => {
      Object.assign(deployment.spec.template.spec, { nodeSelector: { "elasti.test/nowhere": "true" } });
    };
    const [patient, brief] = await Promise.all([
      world.sleeper({ name: "nowhere", edit: nowhere }),
      world.sleeper({ name: "nowhere-brief", edit: nowhere, spec: { queue: { timeoutSeconds: 4 } } }),
    ]);
    const [answer, early] = await Promise.all([answerOf(t, patient), answerOf(t, brief)]);
    assertCannotWake(
      answer,
      "ELASTI_WAKE_UNSCHEDULABLE",
      /nodes are available: .* didn't match Pod's node affinity\/selector/,
    );
    assert.ok(answer.tookMs >= unschedulableMs - 1_500, `answered after ${answer.tookMs} ms`);
    assert.deepEqual([early.status, early.headers["elasti-reason"]], [504, "ELASTI_HOLD_TIMEOUT"]);
    assert.match(early.text, /Unschedulable: pod nowhere-brief-\S+: .*nodes are available: .* \(for \d+ s\)/);
  });

  it("because a Secret that it needs is not there yet holds, and goes on when it comes", async (t) => {
    const web = await world.sleeper({
      name: "secretless",
      edit: (manifests) => {
        const from = { name: "TOKEN", valueFrom: { secretKeyRef: { name: "late", key: "token" } } };
        firstContainer(manifests).env?.push(from as never);
      },
    });
    const answer = answerOf(t, web);
    const { status } = await web.reaches("Waking", {
      when: ({ status }) => status?.waking?.reason === "ContainerNotCreated",
    });
    assert.equal(status?.waking?.certain, false);
    const secrets: Resource = { ...resources.configMaps, plural: "secrets", kind: "Secret" };
    const metadata = { name: "late", namespace: "default" };
    await world.client.create(secrets, {
      apiVersion: "v1",
      kind: "Secret",
      metadata,
      stringData: { token: "x" },
    } as KubeObject);
    try {
      assert.equal((await answer).status, 200);
    } finally {
      await world.client.delete(secrets, "default", "late");
    }
  });
});
