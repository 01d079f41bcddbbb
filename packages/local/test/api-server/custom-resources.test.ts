import assert from "node:assert/strict";
import { test } from "node:test";
import { elastiServiceCrd } from "@elasti/api";
import { type Api, startApi } from "./support.ts";

const definitions = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions";
const widgets = "/apis/example.com/v1/namespaces/default/widgets";

const spec = {
  type: "object",
  required: ["size"],
  properties: {
    size: { type: "integer", minimum: 1, maximum: 9 },
    color: { type: "string", enum: ["red", "blue"], default: "red" },
    label: { type: "string", maxLength: 4, minLength: 2, pattern: "^[a-z]+$" },
    port: { "x-kubernetes-int-or-string": true },
    tags: { type: "array", maxItems: 2, items: { type: "string" } },
    parts: {
      type: "array",
      items: {
        type: "object",
        required: ["name"],
        properties: { name: { type: "string" }, weight: { type: "number", default: 1.5 } },
      },
      "x-kubernetes-list-type": "map",
      "x-kubernetes-list-map-keys": ["name"],
    },
    free: { type: "object", "x-kubernetes-preserve-unknown-fields": true },
    headers: { type: "object", additionalProperties: { type: "string" } },
    note: { type: "string", nullable: true },
    either: { oneOf: [{ type: "string" }, { type: "integer" }] },
    replicas: { type: "integer" },
  },
  "x-kubernetes-validations": [{ rule: "false", message: "CEL is not evaluated here" }],
};

function definition(subresources: object = { status: {} }) {
  return {
    metadata: { name: "widgets.example.com" },
    spec: {
      group: "example.com",
      scope: "Namespaced",
      names: { plural: "widgets", kind: "Widget", shortNames: ["wd"] },
      versions: [
        {
          name: "v1",
          served: true,
          storage: true,
          subresources,
          schema: {
            openAPIV3Schema: {
              type: "object",
              properties: { spec, status: { type: "object", "x-kubernetes-preserve-unknown-fields": true } },
            },
          },
        },
      ],
    },
  };
}

const widget = (fields: object, name = "w") => ({
  apiVersion: "example.com/v1",
  kind: "Widget",
  metadata: { name },
  spec: { size: 1, ...fields },
});

async function withWidgets(api: Api, subresources?: object): Promise<void> {
  await api.ok("POST", definitions, definition(subresources));
}

test("a definition is established at once and its kind served", async (t) => {
  const api = await startApi(t);
  assert.equal((await api.get(widgets)).code, 404);
  const created = await api.ok("POST", definitions, definition());
  assert.deepEqual(
    (created.status.conditions as { type: string; status: string }[]).map(({ type, status }) => [type, status]),
    [
      ["NamesAccepted", "True"],
      ["Established", "True"],
    ],
  );
  assert.deepEqual(created.status.storedVersions, ["v1"]);
  const { body } = await api.get(widgets);
  assert.equal(body.kind, "WidgetList");
  assert.equal(body.apiVersion, "example.com/v1");
  const wrong = await api.send("POST", definitions, { ...definition(), metadata: { name: "other.example.com" } });
  assert.match(
    wrong.body.message ?? "",
    /metadata.name: Invalid value: "other.example.com": must be spec.names.plural/,
  );
});

test("defaults are set, unknown fields pruned and reported", async (t) => {
  const api = await startApi(t);
  await withWidgets(api);
  const sent = widget({ unknown: 1, parts: [{ name: "a", extra: true }], free: { any: [1] }, headers: { h: "v" } });
  const warned = await api.send("POST", widgets, sent);
  assert.equal(warned.code, 201);
  assert.deepEqual(warned.body.spec, {
    size: 1,
    color: "red",
    parts: [{ name: "a", weight: 1.5 }],
    free: { any: [1] },
    headers: { h: "v" },
  });
  assert.equal(
    warned.headers.warning,
    '299 - "unknown field \\"spec.parts[0].extra\\"", 299 - "unknown field \\"spec.unknown\\""',
  );
  const strict = await api.send("POST", `${widgets}?fieldValidation=Strict`, widget({ unknown: 1 }, "v"));
  assert.equal(strict.code, 400);
  assert.match(strict.body.message ?? "", /strict decoding error: unknown field "spec.unknown"/);
  const ignored = await api.send("POST", `${widgets}?fieldValidation=Ignore`, widget({ unknown: 1 }, "v"));
  assert.equal(ignored.headers.warning, undefined);
});

const refused: [object, string, string][] = [
  [{ size: undefined }, "spec.size", "Required value"],
  [{ size: "x" }, "spec.size", 'Invalid value: "string": spec.size in body must be of type integer: "string"'],
  [{ size: 1.5 }, "spec.size", 'Invalid value: "number": spec.size in body must be of type integer: "number"'],
  [{ size: 0 }, "spec.size", "Invalid value: 0: spec.size in body should be greater than or equal to 1"],
  [{ size: 10 }, "spec.size", "Invalid value: 10: spec.size in body should be less than or equal to 9"],
  [{ color: "x" }, "spec.color", 'Unsupported value: "x": supported values: "red", "blue"'],
  [{ label: "abcde" }, "spec.label", "Too long: may not be more than 4 bytes"],
  [{ label: "a" }, "spec.label", 'Invalid value: "a": spec.label in body should be at least 2 chars long'],
  [{ label: "A1" }, "spec.label", "Invalid value: \"A1\": spec.label in body should match '^[a-z]+$'"],
  [
    { port: true },
    "spec.port",
    'Invalid value: "boolean": spec.port in body must be of type integer,string: "boolean"',
  ],
  [{ tags: ["a", "b", "c"] }, "spec.tags", "Too many: 3: must have at most 2 items"],
  [
    { tags: ["a", 1] },
    "spec.tags[1]",
    'Invalid value: "integer": spec.tags[1] in body must be of type string: "integer"',
  ],
  [{ parts: [{ name: "a" }, { name: "a" }] }, "spec.parts[1]", 'Duplicate value: {"name":"a"}'],
  [{ parts: [{}] }, "spec.parts[0].name", "Required value"],
  [
    { headers: { h: 1 } },
    "spec.headers.h",
    'Invalid value: "integer": spec.headers.h in body must be of type string: "integer"',
  ],
  [
    { either: true },
    "spec.either",
    "Invalid value: true: spec.either in body must validate one and only one schema (oneOf)",
  ],
];

test("values are validated by the schema, in the words of the real server", async (t) => {
  const api = await startApi(t);
  await withWidgets(api);
  for (const [fields, field, message] of refused) {
    const { code, body } = await api.send("POST", widgets, widget(fields));
    assert.equal(code, 422, message);
    assert.deepEqual(
      body.details?.causes?.map((cause) => [cause.field, cause.message]),
      [[field, message]],
    );
    assert.equal(body.message, `Widget.example.com "w" is invalid: ${field}: ${message}`);
  }
  for (const fields of [
    { port: 1 },
    { port: "http" },
    { note: null },
    { either: 3 },
    { color: null },
    { label: null },
  ]) {
    assert.equal((await api.send("POST", `${widgets}?dryRun=All`, widget(fields))).code, 201, JSON.stringify(fields));
  }
});

test("status is a door of its own, generation moves with everything else", async (t) => {
  const api = await startApi(t);
  await withWidgets(api);
  const created = await api.ok("POST", widgets, { ...widget({}), status: { phase: "x" } });
  assert.equal(created.status, undefined);
  assert.equal(created.metadata.generation, 1);
  const path = `${widgets}/w`;
  const ignored = await api.merge(path, { status: { phase: "x" }, metadata: { labels: { a: "b" } } });
  assert.equal(ignored.body.status, undefined);
  assert.equal(ignored.body.metadata.generation, 1);
  const written = await api.merge(`${path}/status`, {
    status: { phase: "x" },
    spec: { size: 5 },
    metadata: { labels: { c: "d" } },
  });
  assert.deepEqual(written.body.status, { phase: "x" });
  assert.equal(written.body.spec.size, 1);
  assert.deepEqual(written.body.metadata.labels, { a: "b" });
  assert.equal((await api.merge(path, { spec: { size: 2 } })).body.metadata.generation, 2);
  const unversioned = await api.send("PUT", path, widget({}));
  assert.equal(unversioned.code, 422);
  assert.match(unversioned.body.message ?? "", /metadata.resourceVersion: Invalid value: 0: must be specified/);
});

test("the scale subresource follows the declared paths", async (t) => {
  const api = await startApi(t);
  await withWidgets(api, {
    status: {},
    scale: {
      specReplicasPath: ".spec.replicas",
      statusReplicasPath: ".status.replicas",
      labelSelectorPath: ".status.selector",
    },
  });
  await api.ok("POST", widgets, widget({}));
  const missing = await api.send("GET", `${widgets}/w/scale`);
  assert.equal(missing.code, 500);
  assert.match(missing.body.message ?? "", /the spec replicas field ".spec.replicas" does not exist/);
  await api.merge(`${widgets}/w`, { spec: { replicas: 2 } });
  await api.merge(`${widgets}/w/status`, { status: { replicas: 1, selector: "app=w" } });
  const { body } = await api.get(`${widgets}/w/scale`);
  assert.deepEqual([body.spec, body.status], [{ replicas: 2 }, { replicas: 1, selector: "app=w" }]);
  const { body: scaled } = await api.merge(`${widgets}/w/scale`, { spec: { replicas: 0 } });
  assert.deepEqual(scaled.spec, {});
  assert.equal((await api.get(`${widgets}/w`)).body.metadata.generation, 3);
  await api.merge(`${widgets}/w`, { spec: { replicas: 2 } });
  const type = "application/apply-patch+yaml";
  const fence = { apiVersion: "autoscaling/v1", kind: "Scale", spec: { replicas: 2 } };
  const moved = await api.send("PATCH", `${widgets}/w/scale?fieldManager=e1&force=true`, fence, { type });
  assert.notEqual(moved.body.metadata.resourceVersion, scaled.metadata.resourceVersion);
  const negative = await api.merge(`${widgets}/w`, { spec: { replicas: -1 } });
  assert.equal(negative.body.details?.causes?.[0]?.field, ".spec.replicas");
});

test("a changed definition is followed, a deleted one takes its objects with it", async (t) => {
  const api = await startApi(t);
  await withWidgets(api);
  await api.ok("POST", widgets, widget({}));
  const current = (await api.get(`${definitions}/widgets.example.com`)).body;
  const changed = structuredClone(definition());
  Object.assign(changed.spec.versions[0]!.schema.openAPIV3Schema.properties.spec.properties, {
    extra: { type: "string" },
  });
  await api.ok("PUT", `${definitions}/widgets.example.com`, { ...current, spec: changed.spec });
  assert.equal((await api.merge(`${widgets}/w`, { spec: { extra: "now known" } })).body.spec.extra, "now known");
  const watch = await api.watch(`${widgets}?watch=true`);
  const going = await api.ok("DELETE", `${definitions}/widgets.example.com`);
  assert.deepEqual(going.metadata.finalizers, ["customresourcecleanup.apiextensions.k8s.io"]);
  assert.deepEqual(await watch.summary(2), ["ADDED w", "DELETED w"]);
  watch.close();
  while ((await api.get(widgets)).code !== 404) await new Promise((resolve) => setImmediate(resolve));
  assert.equal((await api.get(`${definitions}/widgets.example.com`)).code, 404);
});

test("ElastiServices are served by their own definition", async (t) => {
  const api = await startApi(t);
  await api.ok("POST", definitions, elastiServiceCrd());
  const path = "/apis/elasti.truefoundry.com/v1alpha1/namespaces/default/elastiservices";
  const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
  const created = await api.ok("POST", path, { metadata: { name: "web" }, spec: { service: "web", scaleTargetRef } });
  assert.equal(created.spec.minTargetReplicas, 1);
  assert.equal(created.kind, "ElastiService");
  const wrong = await api.send("POST", path, {
    metadata: { name: "bad" },
    spec: { service: "web", scaleTargetRef, minTargetReplicas: "x", triggers: [{ type: "x" }] },
  });
  assert.deepEqual(
    wrong.body.details?.causes?.map(({ field }) => field),
    ["spec.minTargetReplicas", "spec.triggers[0].type"],
  );
});

test("gives the fields of custom resources in alphabetical order, as Go does", async (t) => {
  const api = await startApi(t);
  await withWidgets(api);
  const { body } = await api.send(
    "POST",
    widgets,
    widget({ size: 3, free: { b: 1, a: { d: 1, c: 2 } }, color: "blue" }),
  );
  const kept = JSON.stringify(body.spec);
  assert.equal(kept, '{"color":"blue","free":{"a":{"c":2,"d":1},"b":1},"size":3}');
});
