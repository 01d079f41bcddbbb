import assert from "node:assert/strict";
import { test } from "node:test";
import { type Api, deployment, deployments, startApi } from "./support.ts";

const path = `${deployments}/web`;
const scale = `${path}/scale`;
const apply = (api: Api, replicas: number, manager: string, force = true) =>
  api.send(
    "PATCH",
    `${scale}?fieldManager=${manager}${force ? "&force=true" : ""}`,
    { apiVersion: "autoscaling/v1", kind: "Scale", metadata: { name: "web" }, spec: { replicas } },
    { type: "application/apply-patch+yaml" },
  );

test("a Scale shows the object's identity, replicas and selector; zero is left out", async (t) => {
  const api = await startApi(t);
  const created = await api.ok("POST", deployments, deployment("web", { replicas: 2 }));
  await api.merge(`${path}/status`, { status: { replicas: 1 } });
  const { body } = await api.get(scale);
  const current = (await api.get(path)).body;
  assert.equal(body.kind, "Scale");
  assert.equal(body.apiVersion, "autoscaling/v1");
  assert.equal(body.metadata.uid, created.metadata.uid);
  assert.equal(body.metadata.resourceVersion, current.metadata.resourceVersion);
  assert.deepEqual(body.spec, { replicas: 2 });
  assert.deepEqual(body.status, { replicas: 1, selector: "app=web" });
  assert.deepEqual((await api.merge(scale, { spec: { replicas: 0 } })).body.spec, {});
  assert.equal((await api.get(path)).body.spec.replicas, 0);
});

test("a Scale is written by PUT, merge patch and json patch, with the resourceVersion as precondition", async (t) => {
  const api = await startApi(t);
  await api.ok("POST", deployments, deployment("web"));
  const first = (await api.get(scale)).body;
  const put = await api.ok("PUT", scale, { ...first, spec: { replicas: 3 } });
  assert.deepEqual(put.spec, { replicas: 3 });
  assert.equal((await api.get(path)).body.metadata.generation, 2);
  const stale = await api.send("PUT", scale, { ...first, spec: { replicas: 4 } });
  assert.equal(stale.code, 409);
  assert.match(stale.body.message ?? "", /on deployments.apps "web": the object has been modified/);
  const { resourceVersion } = first.metadata;
  assert.equal((await api.merge(scale, { metadata: { resourceVersion }, spec: { replicas: 0 } })).code, 409);
  const json = await api.send("PATCH", scale, [{ op: "replace", path: "/spec/replicas", value: 5 }], {
    type: "application/json-patch+json",
  });
  assert.deepEqual(json.body.spec, { replicas: 5 });
  const same = await api.merge(scale, { spec: { replicas: 5 } });
  assert.equal(same.body.metadata.resourceVersion, json.body.metadata.resourceVersion);
});

test("bad scales are refused with the field", async (t) => {
  const api = await startApi(t);
  await api.ok("POST", deployments, deployment("web"));
  const negative = await api.merge(scale, { spec: { replicas: -1 } });
  assert.equal(negative.code, 422);
  assert.equal(negative.body.details?.causes?.[0]?.field, "spec.replicas");
  assert.equal((await api.merge(scale, { spec: { replicas: "2" } })).code, 400);
  assert.equal((await api.merge(`${deployments}/none/scale`, { spec: { replicas: 1 } })).code, 404);
  assert.equal((await api.send("DELETE", scale)).code, 405);
});

test("server-side apply under a new manager moves the resourceVersion, under the same one it does not", async (t) => {
  const api = await startApi(t);
  const created = await api.ok("POST", deployments, deployment("web", { replicas: 1 }));
  const first = await apply(api, 1, "elasti-epoch-1");
  assert.notEqual(first.body.metadata.resourceVersion, created.metadata.resourceVersion);
  const again = await apply(api, 1, "elasti-epoch-1");
  assert.equal(again.body.metadata.resourceVersion, first.body.metadata.resourceVersion);
  const second = await apply(api, 1, "elasti-epoch-2");
  assert.notEqual(second.body.metadata.resourceVersion, first.body.metadata.resourceVersion);
  assert.equal((await api.get(path)).body.metadata.generation, 1);
  const stale = await api.merge(scale, {
    metadata: { resourceVersion: first.body.metadata.resourceVersion },
    spec: { replicas: 0 },
  });
  assert.equal(stale.code, 409);
  const entries = (await api.get(path)).body.metadata.managedFields ?? [];
  assert.deepEqual(
    entries.map(({ manager, operation, subresource }) => [manager, operation, subresource]),
    [
      ["test", "Update", undefined],
      ["elasti-epoch-1", "Apply", "scale"],
      ["elasti-epoch-2", "Apply", "scale"],
    ],
  );
});

test("an apply of another value conflicts unless it is forced, and then takes the field", async (t) => {
  const api = await startApi(t);
  await api.ok("POST", deployments, deployment("web"));
  await api.merge(scale, { spec: { replicas: 3 } }, { agent: "hand/1" });
  const refused = await apply(api, 2, "elasti", false);
  assert.equal(refused.code, 409);
  assert.equal(refused.body.details?.causes?.[0]?.reason, "FieldManagerConflict");
  assert.match(refused.body.message ?? "", /Apply failed with 1 conflict: conflict with "hand".*: .spec.replicas/);
  const forced = await apply(api, 2, "elasti");
  assert.deepEqual(forced.body.spec, { replicas: 2 });
  const managers = (await api.get(path)).body.metadata.managedFields?.map(({ manager }) => manager);
  assert.deepEqual(managers, ["test", "elasti"]);
  const without = await api.send("PATCH", scale, { spec: { replicas: 1 } }, { type: "application/apply-patch+yaml" });
  assert.equal(without.code, 400);
});
