import assert from "node:assert/strict";
import { test } from "node:test";
import { configMap, configMaps, deployment, deployments, startApi } from "./support.ts";

test("create fills in metadata and answers 201", async (t) => {
  const api = await startApi(t);
  const { code, body } = await api.send("POST", configMaps, configMap("a", { k: "v" }));
  assert.equal(code, 201);
  assert.match(body.metadata.uid ?? "", /^[0-9a-f-]{36}$/);
  assert.match(body.metadata.creationTimestamp ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
  assert.equal(body.metadata.namespace, "default");
  assert.equal(body.metadata.generation, undefined);
  assert.equal((await api.send("POST", configMaps, configMap("a"))).body.reason, "AlreadyExists");
});

test("generateName appends five characters", async (t) => {
  const api = await startApi(t);
  const body = await api.ok("POST", configMaps, { metadata: { generateName: "x-" } });
  assert.match(body.metadata.name, /^x-[a-z0-9]{5}$/);
  assert.equal(body.kind, "ConfigMap");
});

const refused: [string, string, string, unknown, number, string, RegExp][] = [
  [
    "no namespace",
    "POST",
    "/api/v1/namespaces/none/configmaps",
    configMap("a"),
    404,
    "NotFound",
    /namespaces "none" not found/,
  ],
  ["missing object", "GET", `${configMaps}/none`, undefined, 404, "NotFound", /^configmaps "none" not found$/],
  [
    "missing in a group",
    "GET",
    `${deployments}/none`,
    undefined,
    404,
    "NotFound",
    /^deployments.apps "none" not found$/,
  ],
  [
    "bad name",
    "POST",
    configMaps,
    configMap("A_b"),
    422,
    "Invalid",
    /metadata.name: Invalid value: "A_b": a lowercase RFC 1123/,
  ],
  ["no name", "POST", configMaps, { metadata: {} }, 422, "Invalid", /name or generateName is required/],
  ["broken JSON", "POST", configMaps, "{", 400, "BadRequest", /error decoding/],
  ["another kind", "POST", configMaps, { kind: "Pod" }, 400, "BadRequest", /cannot be handled as a ConfigMap/],
  [
    "another version",
    "POST",
    configMaps,
    { apiVersion: "v2" },
    400,
    "BadRequest",
    /does not match the expected API version/,
  ],
  [
    "another namespace",
    "POST",
    configMaps,
    configMap("a", {}, { namespace: "other" }),
    400,
    "BadRequest",
    /does not match the namespace sent/,
  ],
  [
    "labels of a wrong type",
    "POST",
    configMaps,
    configMap("a", {}, { labels: { a: 1 } }),
    400,
    "BadRequest",
    /metadata.labels/,
  ],
  [
    "bad label",
    "POST",
    configMaps,
    configMap("a", {}, { labels: { a: "-" } }),
    422,
    "Invalid",
    /metadata.labels: Invalid value: "-"/,
  ],
  [
    "a set resourceVersion",
    "POST",
    configMaps,
    configMap("a", {}, { resourceVersion: "7" }),
    500,
    "",
    /should not be set/,
  ],
  ["method of a collection", "PUT", configMaps, configMap("a"), 405, "MethodNotAllowed", /does not allow this method/],
  [
    "method of an object",
    "POST",
    `${configMaps}/a`,
    configMap("a"),
    405,
    "MethodNotAllowed",
    /does not allow this method/,
  ],
];

test("refusals are metav1 Status documents", async (t) => {
  const api = await startApi(t);
  for (const [what, method, path, sent, code, reason, message] of refused) {
    const { code: actual, body } = await api.send(method, path, sent);
    assert.equal(actual, code, what);
    assert.equal(body.kind, "Status", what);
    assert.equal(body.code, code, what);
    assert.equal(body.reason, reason, what);
    assert.match(body.message ?? "", message, what);
  }
});

test("unknown paths are a plain 404, unknown media types 415 and 406", async (t) => {
  const api = await startApi(t);
  for (const path of ["/nothing", "/api/v1/nothing", "/apis/none/v1/things", `${configMaps}/a/scale`]) {
    const answer = await api.send<string>("GET", path);
    assert.equal(answer.code, 404, path);
    assert.equal(answer.body, "404 page not found\n", path);
  }
  assert.equal((await api.send("POST", configMaps, "a: b", { type: "application/yaml" })).code, 415);
  await api.ok("POST", configMaps, configMap("a"));
  const strategic = await api.send("PATCH", `${configMaps}/a`, {}, { type: "application/strategic-merge-patch+json" });
  assert.equal(strategic.code, 415);
  assert.equal(strategic.body.reason, "UnsupportedMediaType");
  assert.equal(
    (await api.send("GET", configMaps, undefined, { accept: "application/vnd.kubernetes.protobuf" })).code,
    406,
  );
});

test("only known tokens get an answer, health is open", async (t) => {
  const api = await startApi(t);
  for (const wrong of [null, "other"]) {
    const { code, body } = await api.send("GET", configMaps, undefined, { token: wrong });
    assert.equal(code, 401);
    assert.equal(body.reason, "Unauthorized");
  }
  for (const path of ["/healthz", "/readyz", "/livez"]) {
    assert.equal((await api.send<string>("GET", path, undefined, { token: null })).body, "ok");
  }
  assert.equal((await api.send("GET", `/token/test-token${configMaps}`, undefined, { token: null })).code, 200);
});

test("a body over the limit is 413", async (t) => {
  const api = await startApi(t, { maxBodyBytes: 100 });
  const { code, body } = await api.send("POST", configMaps, configMap("a", { k: "x".repeat(200) }));
  assert.equal(code, 413);
  assert.match(body.message ?? "", /limit is 100/);
});

test("a stale resourceVersion is a conflict, for PUT and for patches that carry it", async (t) => {
  const api = await startApi(t);
  const first = await api.ok("POST", configMaps, configMap("a", { n: "1" }));
  const second = await api.ok("PUT", `${configMaps}/a`, { ...first, data: { n: "2" } });
  assert.equal(Number(second.metadata.resourceVersion), Number(first.metadata.resourceVersion) + 1);
  const put = await api.send("PUT", `${configMaps}/a`, { ...first, data: { n: "3" } });
  assert.equal(put.code, 409);
  assert.equal(put.body.reason, "Conflict");
  assert.equal(
    put.body.message,
    'Operation cannot be fulfilled on configmaps "a": the object has been modified; please apply your changes to the latest version and try again',
  );
  const { resourceVersion } = first.metadata;
  assert.equal((await api.merge(`${configMaps}/a`, { metadata: { resourceVersion }, data: { n: "3" } })).code, 409);
  assert.equal((await api.merge(`${configMaps}/a`, { data: { n: "3" } })).code, 200);
  // without a resourceVersion a PUT of this kind is unconditional
  assert.equal((await api.send("PUT", `${configMaps}/a`, configMap("a", { n: "4" }))).code, 200);
  const otherUid = await api.send("PUT", `${configMaps}/a`, configMap("a", {}, { uid: "other" }));
  assert.match(otherUid.body.message ?? "", /Precondition failed: UID in precondition: other/);
  const otherName = await api.send("PUT", `${configMaps}/a`, configMap("b"));
  assert.match(otherName.body.message ?? "", /the name of the object \(b\) does not match the name on the URL \(a\)/);
});

test("a write that changes nothing moves nothing", async (t) => {
  const api = await startApi(t);
  const first = await api.ok("POST", configMaps, configMap("a", { n: "1" }));
  const path = `${configMaps}/a`;
  const answers = [
    await api.ok("PUT", path, first),
    await api.ok("PUT", path, configMap("a", { n: "1" })),
    await api.ok("PATCH", path, { data: { n: "1" } }, { type: "application/merge-patch+json", agent: "other/1" }),
    await api.ok("PATCH", path, [], { type: "application/json-patch+json" }),
  ];
  for (const answer of answers) assert.equal(answer.metadata.resourceVersion, first.metadata.resourceVersion);
});

test("json patches: add, remove, test, and their refusals", async (t) => {
  const api = await startApi(t);
  await api.ok("POST", configMaps, configMap("a", { n: "1" }));
  const patch = (operations: unknown) =>
    api.send("PATCH", `${configMaps}/a`, operations, { type: "application/json-patch+json" });
  const added = await patch([
    { op: "test", path: "/data/n", value: "1" },
    { op: "add", path: "/data/m", value: "2" },
    { op: "remove", path: "/data/n" },
  ]);
  assert.deepEqual(added.body.data, { m: "2" });
  const failed = await patch([{ op: "test", path: "/data/m", value: "9" }]);
  assert.equal(failed.code, 422);
  assert.equal(failed.body.reason, "Invalid");
  assert.equal((await patch([{ op: "remove", path: "/data/none" }])).code, 422);
  assert.equal((await patch({ op: "remove" })).code, 400);
});

test("merge patches: null removes, maps merge, lists replace", async (t) => {
  const api = await startApi(t);
  await api.ok("POST", configMaps, configMap("a", { x: "1", y: "2" }, { labels: { l: "1" }, finalizers: ["a.b/c"] }));
  const { body } = await api.merge(`${configMaps}/a`, {
    data: { x: null, z: "3" },
    metadata: { labels: { m: "2" }, finalizers: null },
  });
  assert.deepEqual(body.data, { y: "2", z: "3" });
  assert.deepEqual(body.metadata.labels, { l: "1", m: "2" });
  assert.equal(body.metadata.finalizers, undefined);
});

test("a dry run answers and stores nothing", async (t) => {
  const api = await startApi(t);
  const before = api.server.store.revision;
  assert.equal((await api.send("POST", `${configMaps}?dryRun=All`, configMap("a"))).code, 201);
  assert.equal(api.server.store.revision, before);
  assert.equal((await api.get(`${configMaps}/a`)).code, 404);
});

test("generation of a Deployment moves with spec and annotations only; status has its own door", async (t) => {
  const api = await startApi(t);
  const path = `${deployments}/web`;
  const created = await api.ok("POST", deployments, { ...deployment("web"), status: { replicas: 9 } });
  assert.equal(created.metadata.generation, 1);
  assert.deepEqual(created.status, {});
  assert.equal(created.spec.replicas, 1);
  const generationAfter = async (patch: object, sub = "") =>
    (await api.merge(path + sub, patch)).body.metadata.generation;
  assert.equal(await generationAfter({ metadata: { labels: { a: "b" } } }), 1);
  assert.equal(await generationAfter({ metadata: { annotations: { a: "b" } } }), 2);
  assert.equal(await generationAfter({ spec: { replicas: 3 } }), 3);
  assert.equal(await generationAfter({ status: { replicas: 1 } }), 3);
  assert.deepEqual((await api.get(path)).body.status, {});
  assert.equal(await generationAfter({ status: { replicas: 1 }, spec: { replicas: 7 } }, "/status"), 3);
  const { body } = await api.get(path);
  assert.deepEqual(body.status, { replicas: 1 });
  assert.equal(body.spec.replicas, 3);
});

test("Deployments are validated with field paths", async (t) => {
  const api = await startApi(t);
  const { code, body } = await api.send("POST", deployments, {
    metadata: { name: "web" },
    spec: {
      replicas: -1,
      selector: { matchLabels: { app: "a" } },
      template: { metadata: { labels: { app: "b" } }, spec: {} },
    },
  });
  assert.equal(code, 422);
  assert.deepEqual(
    body.details?.causes?.map(({ reason, field }) => [reason, field]),
    [
      ["FieldValueInvalid", "spec.replicas"],
      ["FieldValueInvalid", "spec.template.metadata.labels"],
      ["FieldValueRequired", "spec.template.spec.containers"],
    ],
  );
  assert.match(body.message ?? "", /^Deployment.apps "web" is invalid: \[spec.replicas: Invalid value: -1: must be/);
  await api.ok("POST", deployments, deployment("web"));
  const changed = deployment("web", { selector: { matchLabels: { app: "web", b: "c" } } });
  Object.assign(changed.spec.template.metadata.labels, { b: "c" });
  const moved = await api.send("PUT", `${deployments}/web`, changed);
  assert.match(moved.body.message ?? "", /spec.selector: Invalid value: .*: field is immutable/);
});

test("managedFields tell who changed what", async (t) => {
  const api = await startApi(t);
  await api.ok("POST", deployments, deployment("web"), { agent: "creator/1" });
  await api.merge(`${deployments}/web`, { spec: { replicas: 5 } }, { agent: "hand/2 (linux)" });
  const entries = (await api.get(`${deployments}/web`)).body.metadata.managedFields ?? [];
  assert.deepEqual(
    entries.map(({ manager, operation }) => [manager, operation]),
    [
      ["creator", "Update"],
      ["hand", "Update"],
    ],
  );
  assert.deepEqual(entries[1]?.fieldsV1, { "f:spec": { "f:replicas": {} } });
  assert.equal(JSON.stringify(entries[0]?.fieldsV1).includes("f:replicas"), false);
  const dropped = await api.merge(`${deployments}/web`, { metadata: { managedFields: [{}] } });
  assert.equal(dropped.body.metadata.managedFields, undefined);
});

test("Leases need a resourceVersion on PUT, are created by PUT, and have micro times", async (t) => {
  const api = await startApi(t);
  const path = "/apis/coordination.k8s.io/v1/namespaces/default/leases/l";
  const lease = { metadata: { name: "l" }, spec: { holderIdentity: "a", renewTime: "2026-01-01T00:00:00.000000Z" } };
  const created = await api.send("PUT", path, lease);
  assert.equal(created.code, 201);
  const unversioned = await api.send("PUT", path, lease);
  assert.equal(unversioned.code, 422);
  assert.match(
    unversioned.body.message ?? "",
    /metadata.resourceVersion: Invalid value: 0: must be specified for an update/,
  );
  const milli = { ...created.body, spec: { ...created.body.spec, renewTime: "2026-01-01T00:00:00.000Z" } };
  const refusedTime = await api.send("PUT", path, milli);
  assert.equal(refusedTime.code, 400);
  assert.match(refusedTime.body.message ?? "", /cannot parse ".000Z" as ".000000"/);
});
