import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { type KubeClient, RestMapper, resources, reviewAccess, reviewToken, ScaleClient } from "../src/index.ts";
import { answer, ScriptedServer, status } from "./scripted-server.ts";

let server: ScriptedServer;
let client: KubeClient;

beforeEach(async () => {
  server = await new ScriptedServer().start();
  client = server.client();
});

afterEach(async () => {
  await client.close();
  await server.close();
});

const web = { resource: resources.deployments, namespace: "default", name: "web" };
const path = "/apis/apps/v1/namespaces/default/deployments/web/scale";

function scale(replicas: number, resourceVersion: string): unknown {
  return {
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name: "web", namespace: "default", uid: "u", resourceVersion },
    spec: replicas === 0 ? {} : { replicas },
    status: { replicas: 2, selector: "app=web" },
  };
}

test("reads a scale, at zero too, where the API server leaves the field out", async () => {
  server.script = (_asked, response) => answer(response, 200, scale(0, "7"));
  assert.deepEqual(await new ScaleClient(client).getScale(web), {
    replicas: 0,
    currentReplicas: 2,
    resourceVersion: "7",
    uid: "u",
    selector: "app=web",
  });
  assert.equal(server.asked[0]!.url.pathname, path);
});

test("sets a scale in one conditional merge patch", async () => {
  server.script = (_asked, response) => answer(response, 200, scale(3, "8"));
  const after = await new ScaleClient(client).setScale({ ...web, replicas: 3, resourceVersion: "7" });
  assert.deepEqual([after.replicas, after.resourceVersion], [3, "8"]);
  const [asked] = server.asked;
  assert.deepEqual([server.asked.length, asked!.method, asked!.url.pathname], [1, "PATCH", path]);
  assert.equal(asked!.headers["content-type"], "application/merge-patch+json");
  assert.deepEqual(asked!.body, { metadata: { resourceVersion: "7" }, spec: { replicas: 3 } });

  server.script = (_asked, response) => answer(response, 409, status(409, "Conflict", "modified"));
  await assert.rejects(new ScaleClient(client).setScale({ ...web, replicas: 0, resourceVersion: "7" }), {
    code: "ELASTI_KUBE_CONFLICT",
  });
});

test("fences a scale by a conditional apply under a manager named by the epoch", async () => {
  server.script = (_asked, response) => answer(response, 200, scale(1, "9"));
  const fence = { ...web, replicas: 1, epoch: 12, resourceVersion: "8" };
  const after = await new ScaleClient(client).fenceScale(fence);
  assert.equal(after.resourceVersion, "9");
  const [asked] = server.asked;
  assert.equal(asked!.url.pathname + asked!.url.search, `${path}?fieldManager=elasti-epoch-4&force=true`);
  assert.equal(asked!.headers["content-type"], "application/apply-patch+yaml");
  assert.deepEqual(asked!.body, {
    apiVersion: "autoscaling/v1",
    kind: "Scale",
    metadata: { name: "web", namespace: "default", resourceVersion: "8" },
    spec: { replicas: 1 },
  });
  await new ScaleClient(client).fenceScale({ ...fence, again: true });
  assert.equal(server.asked[1]!.url.searchParams.get("fieldManager"), "elasti-epoch-again-4");
});

const appsV1 = {
  resources: [
    { name: "deployments", singularName: "deployment", kind: "Deployment", namespaced: true },
    { name: "deployments/scale", kind: "Scale", group: "autoscaling", version: "v1", namespaced: true },
    { name: "deployments/status", kind: "Deployment", namespaced: true },
    { name: "daemonsets", singularName: "daemonset", kind: "DaemonSet", namespaced: true },
  ],
};

test("finds a kind by its name or its plural, and asks once", async () => {
  server.script = (_asked, response) => answer(response, 200, appsV1);
  const mapper = new RestMapper({ client, clock: new ManualClock() });
  const found = await Promise.all(
    ["Deployment", "deployments", "deployment"].map((kind) => mapper.mapScalable({ apiVersion: "apps/v1", kind })),
  );
  for (const resource of found) assert.deepEqual(resource, resources.deployments);
  assert.deepEqual(
    server.asked.map(({ url }) => url.pathname),
    ["/apis/apps/v1"],
  );
  await assert.rejects(mapper.mapScalable({ apiVersion: "apps/v1", kind: "DaemonSet" }), {
    code: "ELASTI_KUBE_NO_SCALE",
    message: /DaemonSet has no scale subresource/,
  });
});

test("picks up a kind that is installed later, asking for it only now and then", async () => {
  const clock = new ManualClock();
  const mapper = new RestMapper({ client, clock, missIntervalMs: 3_000 });
  const rollouts = { apiVersion: "argoproj.io/v1alpha1", kind: "rollouts" };
  for (let i = 0; i < 5; i++) {
    await assert.rejects(mapper.map(rollouts), { code: "ELASTI_KUBE_NO_KIND", message: /CustomResourceDefinition/ });
  }
  assert.equal(server.asked.length, 1);
  const list = { resources: [{ name: "rollouts", kind: "Rollout", namespaced: true }] };
  server.script = (_asked, response) => answer(response, 200, list);
  await clock.advance(3_000);
  assert.equal((await mapper.map(rollouts)).resource.kind, "Rollout");
  await assert.rejects(mapper.mapScalable(rollouts), { code: "ELASTI_KUBE_NO_SCALE" });
  list.resources.push({ name: "rollouts/scale", kind: "Scale", namespaced: true });
  await clock.advance(3_000);
  assert.equal((await mapper.mapScalable(rollouts)).plural, "rollouts");
  await assert.rejects(mapper.map({ apiVersion: "../../v1", kind: "x" }), { code: "ELASTI_KUBE_NO_KIND" });
});

test("reports what discovery failed with, and remembers no failure", async () => {
  const mapper = new RestMapper({ client, clock: new ManualClock() });
  server.script = (_asked, response) => answer(response, 503, status(503, "ServiceUnavailable", "later"));
  await assert.rejects(mapper.map({ apiVersion: "apps/v1", kind: "Deployment" }), { code: "ELASTI_KUBE_UNAVAILABLE" });
  server.script = (_asked, response) => answer(response, 200, appsV1);
  assert.equal((await mapper.map({ apiVersion: "apps/v1", kind: "Deployment" })).scale, true);
});

test("reviews a token for an audience", async () => {
  const user = { username: "system:serviceaccount:elasti:resolver", groups: ["system:serviceaccounts"] };
  const review = (reviewed: unknown) => {
    server.script = (_asked, response) =>
      answer(response, 201, { kind: "TokenReview", metadata: {}, status: reviewed });
    return reviewToken(client, "abc", ["elasti-operator"]);
  };
  const good = await review({ authenticated: true, user, audiences: ["elasti-operator"] });
  assert.deepEqual([good.authenticated, good.username], [true, user.username]);
  assert.deepEqual(server.asked[0]!.body, {
    apiVersion: "authentication.k8s.io/v1",
    kind: "TokenReview",
    spec: { token: "abc", audiences: ["elasti-operator"] },
  });
  const bad = await review({ error: "expired" });
  assert.deepEqual([bad.authenticated, bad.username, bad.error], [false, undefined, "expired"]);
  const other = await review({ authenticated: true, user });
  assert.deepEqual([other.authenticated, other.username], [false, undefined]);
  assert.match(other.error!, /another audience/);
});

test("asks what somebody may do, and believes a denial above an allowance", async () => {
  const ann = { username: "ann", groups: ["shop"], extra: { scopes: ["read"] } };
  const question = { verb: "get", group: "elasti.truefoundry.com", resource: "scalingpolicies", namespace: "shop" };
  const review = (reviewed: unknown, options?: { local: boolean }) => {
    server.script = (_asked, response) => answer(response, 201, { kind: "SubjectAccessReview", status: reviewed });
    return reviewAccess(client, ann, question, options);
  };
  assert.deepEqual(await review({ allowed: true, reason: "" }), { allowed: true, reason: undefined });
  assert.deepEqual(server.asked[0]!.body, {
    apiVersion: "authorization.k8s.io/v1",
    kind: "SubjectAccessReview",
    spec: { user: "ann", groups: ["shop"], extra: { scopes: ["read"] }, resourceAttributes: question },
  });
  assert.equal((await review({ allowed: true, denied: true })).allowed, false);
  assert.equal((await review({})).allowed, false);
  const before = server.asked.length;
  assert.equal((await review({ allowed: true }, { local: true })).allowed, true);
  const { url, body } = server.asked[before]!;
  assert.equal(url.pathname, "/apis/authorization.k8s.io/v1/namespaces/shop/localsubjectaccessreviews");
  assert.deepEqual((body as { metadata?: unknown }).metadata, { namespace: "shop" });
  const everywhere = { verb: "list", group: "", resource: "pods" };
  assert.equal((await reviewAccess(client, ann, everywhere, { local: true })).allowed, false);
  assert.equal(server.asked.length, before + 1);
});
