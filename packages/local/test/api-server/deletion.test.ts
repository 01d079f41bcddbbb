import assert from "node:assert/strict";
import { test } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { type Any, configMap, configMaps, deployment, deployments, pod, pods, startApi } from "./support.ts";

test("delete answers with a Status, or with the object that stays", async (t) => {
  const api = await startApi(t);
  const created = await api.ok("POST", configMaps, configMap("a"));
  const gone = await api.send("DELETE", `${configMaps}/a`);
  assert.equal(gone.code, 200);
  assert.equal(gone.body.status as unknown, "Success");
  assert.deepEqual(gone.body.details, { name: "a", kind: "configmaps", uid: created.metadata.uid });
  assert.equal((await api.send("DELETE", `${configMaps}/a`)).code, 404);
});

test("preconditions", async (t) => {
  const api = await startApi(t);
  const created = await api.ok("POST", configMaps, configMap("a"));
  const { uid, resourceVersion } = created.metadata;
  const remove = (preconditions: object) => api.send("DELETE", `${configMaps}/a`, { preconditions });
  const wrongUid = await remove({ uid: "other" });
  assert.equal(wrongUid.code, 409);
  assert.match(wrongUid.body.message ?? "", /the UID in the precondition \(other\) does not match the UID in record/);
  await api.merge(`${configMaps}/a`, { data: { k: "v" } });
  assert.equal((await remove({ uid, resourceVersion })).code, 409);
  assert.equal((await remove({ uid })).code, 200);
});

test("finalizers keep an object until the last one is removed", async (t) => {
  const api = await startApi(t);
  await api.ok("POST", deployments, {
    ...deployment("web"),
    metadata: { name: "web", finalizers: ["a.b/c", "a.b/d"] },
  });
  const path = `${deployments}/web`;
  const watch = await api.watch(`${deployments}?watch=true&resourceVersion=${api.server.store.revision}`);
  const deleted = await api.ok("DELETE", path);
  assert.match(deleted.metadata.deletionTimestamp ?? "", /Z$/);
  assert.equal(deleted.metadata.deletionGracePeriodSeconds, 0);
  assert.equal(deleted.metadata.generation, 2);
  const before = api.server.store.revision;
  await api.ok("DELETE", path);
  assert.equal(api.server.store.revision, before);
  const added = await api.merge(path, { metadata: { finalizers: ["a.b/c", "a.b/d", "a.b/e"] } });
  assert.equal(added.code, 422);
  assert.match(added.body.message ?? "", /no new finalizers can be added if the object is being deleted/);
  await api.merge(path, { metadata: { deletionTimestamp: null, finalizers: ["a.b/c"] } });
  assert.equal((await api.get(path)).body.metadata.deletionTimestamp, deleted.metadata.deletionTimestamp);
  assert.equal((await api.merge(path, { metadata: { finalizers: [] } })).code, 200);
  assert.equal((await api.get(path)).code, 404);
  assert.deepEqual(await watch.summary(3), ["MODIFIED web", "MODIFIED web", "DELETED web"]);
  watch.close();
});

test("pods go when their grace period is set to zero", async (t) => {
  const clock = new ManualClock(Date.UTC(2026, 0, 1));
  const api = await startApi(t, { clock });
  await api.ok("POST", pods, pod("a"));
  const first = await api.ok("DELETE", `${pods}/a`);
  assert.equal(first.metadata.deletionTimestamp, "2026-01-01T00:00:30Z");
  assert.equal(first.metadata.deletionGracePeriodSeconds, 30);
  const longer = await api.ok("DELETE", `${pods}/a`, { gracePeriodSeconds: 60 });
  assert.equal(longer.metadata.deletionGracePeriodSeconds, 30);
  const shorter = await api.ok("DELETE", `${pods}/a`, { gracePeriodSeconds: 5 });
  assert.equal(shorter.metadata.deletionTimestamp, "2026-01-01T00:00:05Z");
  await api.ok("DELETE", `${pods}/a?gracePeriodSeconds=0`);
  assert.equal((await api.get(`${pods}/a`)).code, 404);
  await api.ok("POST", pods, pod("unscheduled", { nodeName: undefined }));
  await api.ok("DELETE", `${pods}/unscheduled`);
  assert.equal((await api.get(`${pods}/unscheduled`)).code, 404);
});

test("deletecollection takes selectors", async (t) => {
  const api = await startApi(t);
  for (const name of ["a", "b", "c"]) await api.ok("POST", configMaps, configMap(name, {}, { labels: { name } }));
  const answer = await api.ok("DELETE", `${configMaps}?labelSelector=name!=b`);
  assert.deepEqual(
    (answer.items as Any[]).map(({ metadata }) => metadata.name),
    ["a", "c"],
  );
  const left = await api.get<{ items: Any[] }>(configMaps);
  assert.deepEqual(
    left.body.items.map(({ metadata }) => metadata.name),
    ["b"],
  );
});

const ownedBy = (owner: Any, extra: object = {}) => ({
  ownerReferences: [
    { apiVersion: owner.apiVersion, kind: owner.kind, name: owner.metadata.name, uid: owner.metadata.uid, ...extra },
  ],
});

test("what has lost its last owner is deleted in the background", async (t) => {
  const api = await startApi(t);
  const owner = await api.ok("POST", configMaps, configMap("owner"));
  const other = await api.ok("POST", configMaps, configMap("other"));
  await api.ok("POST", configMaps, configMap("child", {}, ownedBy(owner)));
  const both = [...ownedBy(owner).ownerReferences, ...ownedBy(other).ownerReferences];
  await api.ok("POST", configMaps, configMap("shared", {}, { ownerReferences: both }));
  const watch = await api.watch(`${configMaps}?watch=true&resourceVersion=${api.server.store.revision}`);
  await api.ok("DELETE", `${configMaps}/owner`);
  assert.deepEqual((await watch.summary(3)).sort(), ["DELETED child", "DELETED owner", "MODIFIED shared"]);
  const shared = (await api.get(`${configMaps}/shared`)).body;
  assert.deepEqual(
    shared.metadata.ownerReferences?.map(({ name }) => name),
    ["other"],
  );
  await api.ok("POST", configMaps, configMap("late", {}, ownedBy(owner)));
  assert.deepEqual(await watch.summary(2), ["ADDED late", "DELETED late"]);
  watch.close();
});

test("foreground deletion waits for dependents, orphaning frees them", async (t) => {
  const api = await startApi(t);
  const owner = await api.ok("POST", configMaps, configMap("owner"));
  const block = ownedBy(owner, { blockOwnerDeletion: true });
  await api.ok("POST", configMaps, configMap("child", {}, { ...block, finalizers: ["a.b/c"] }));
  const watch = await api.watch(`${configMaps}?watch=true&resourceVersion=${api.server.store.revision}`);
  const waiting = await api.ok("DELETE", `${configMaps}/owner`, { propagationPolicy: "Foreground" });
  assert.deepEqual(waiting.metadata.finalizers, ["foregroundDeletion"]);
  assert.deepEqual(await watch.summary(2), ["MODIFIED owner", "MODIFIED child"]);
  await api.merge(`${configMaps}/child`, { metadata: { finalizers: null } });
  // the child of a foreground deletion is itself deleted in the foreground
  const rest = await watch.summary(2);
  assert.equal(rest.includes("DELETED child") || rest.includes("MODIFIED child"), true);
  while ((await api.get(`${configMaps}/owner`)).code !== 404) await new Promise((resolve) => setImmediate(resolve));
  const parent = await api.ok("POST", configMaps, configMap("parent"));
  await api.ok("POST", configMaps, configMap("orphan", {}, ownedBy(parent)));
  await api.send("DELETE", `${configMaps}/parent?propagationPolicy=Orphan`);
  while ((await api.get(`${configMaps}/parent`)).code !== 404) await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await api.get(`${configMaps}/orphan`)).body.metadata.ownerReferences, undefined);
  watch.close();
});

test("a namespace empties itself before it goes, and takes nothing new", async (t) => {
  const api = await startApi(t);
  const created = await api.ok("POST", "/api/v1/namespaces", { metadata: { name: "shop" } });
  assert.deepEqual(created.spec, { finalizers: ["kubernetes"] });
  assert.deepEqual(created.metadata.labels, { "kubernetes.io/metadata.name": "shop" });
  const inside = "/api/v1/namespaces/shop/configmaps";
  await api.ok("POST", inside, configMap("a"));
  await api.ok("POST", inside, configMap("held", {}, { finalizers: ["a.b/c"] }));
  const watch = await api.watch(`/api/v1/namespaces?watch=true&resourceVersion=${api.server.store.revision}`);
  const terminating = await api.ok("DELETE", "/api/v1/namespaces/shop");
  assert.deepEqual(terminating.status, { phase: "Terminating" });
  const refused = await api.send("POST", inside, configMap("b"));
  assert.equal(refused.code, 403);
  assert.match(
    refused.body.message ?? "",
    /unable to create new content in namespace shop because it is being terminated/,
  );
  assert.equal(refused.body.details?.causes?.[0]?.reason, "NamespaceTerminating");
  assert.deepEqual(await watch.summary(1), ["MODIFIED shop"]);
  await api.merge(`${inside}/held`, { metadata: { finalizers: null } });
  assert.deepEqual(await watch.summary(1), ["DELETED shop"]);
  watch.close();
});
