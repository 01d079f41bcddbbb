import assert from "node:assert/strict";
import { type ConfigMap, type KubeObject, resources, type Service } from "@elasti/kube";
import { configMap, deployment, pod, secrets, service } from "./objects.ts";
import { type Any, type Contract, on } from "./server.ts";

const pathOf = (namespace: string, name: string) => `/api/v1/namespaces/${namespace}/configmaps/${name}`;
const merge = { type: "application/merge-patch+json" };

on(
  "both",
  "a create answers with uid, resourceVersion and time; the second says AlreadyExists",
  async ({ client, namespace }) => {
    const created = await client.create(resources.configMaps, configMap(namespace, "a", { key: "1" }));
    assert.match(created.metadata.uid ?? "", /^[0-9a-f-]{36}$/);
    assert.match(created.metadata.resourceVersion ?? "", /^[0-9]+$/);
    assert.match(created.metadata.creationTimestamp ?? "", /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ$/);
    assert.equal(created.metadata.generation, undefined);
    await assert.rejects(client.create(resources.configMaps, configMap(namespace, "a")), {
      code: "ELASTI_KUBE_ALREADY_EXISTS",
      message: /configmaps "a" already exists/,
    });
    await assert.rejects(client.get(resources.configMaps, namespace, "none"), {
      code: "ELASTI_KUBE_NOT_FOUND",
      message: /configmaps "none" not found/,
    });
  },
);

on("both", "generateName makes a name", async ({ send, namespace }) => {
  const body = { metadata: { generateName: "made-" } };
  const { code, body: made } = await send("POST", `/api/v1/namespaces/${namespace}/configmaps`, body);
  assert.equal(code, 201);
  assert.match(made.metadata.name, /^made-[a-z0-9]{5}$/);
});

on("both", "a PUT with an old resourceVersion is a conflict, one without any is not", async ({ client, namespace }) => {
  const first = await client.create<ConfigMap>(resources.configMaps, configMap(namespace, "a", { key: "1" }));
  const second = await client.replace<ConfigMap>(resources.configMaps, { ...first, data: { key: "2" } });
  assert.notEqual(second.metadata.resourceVersion, first.metadata.resourceVersion);
  await assert.rejects(client.replace(resources.configMaps, { ...first, data: { key: "3" } }), {
    code: "ELASTI_KUBE_CONFLICT",
    message: /Operation cannot be fulfilled on configmaps "a": the object has been modified/,
  });
  const third = await client.replace<ConfigMap>(resources.configMaps, configMap(namespace, "a", { key: "4" }));
  assert.deepEqual(third.data, { key: "4" });
  await assert.rejects(client.replace(resources.configMaps, configMap(namespace, "none")), {
    code: "ELASTI_KUBE_NOT_FOUND",
  });
});

on("both", "a merge patch takes the resourceVersion as its precondition; null takes a key away", async (contract) => {
  const { client, namespace } = contract;
  const first = await client.create<ConfigMap>(
    resources.configMaps,
    configMap(namespace, "a", { key: "1", other: "1" }),
  );
  const patch = (body: unknown) => client.patch<ConfigMap>(resources.configMaps, namespace, "a", "merge", body);
  const { resourceVersion } = first.metadata;
  const second = await patch({ metadata: { resourceVersion }, data: { key: "2", other: null } });
  assert.deepEqual(second.data, { key: "2" });
  await assert.rejects(patch({ metadata: { resourceVersion }, data: { key: "3" } }), { code: "ELASTI_KUBE_CONFLICT" });
  await assert.rejects(patch({ metadata: { uid: "00000000-0000-0000-0000-000000000000" }, data: { key: "3" } }), {
    code: /ELASTI_KUBE_(INVALID|CONFLICT)/,
  });
  const same = await patch({ data: { key: "2" } });
  assert.equal(same.metadata.resourceVersion, second.metadata.resourceVersion, "nothing changed, nothing moves");
});

on("both", "a json patch that tests and fails is refused, and writes nothing", async ({ client, namespace }) => {
  await client.create(resources.configMaps, configMap(namespace, "a", { key: "1" }));
  const patch = (value: string, now: string) =>
    client.patch<ConfigMap>(resources.configMaps, namespace, "a", "json", [
      { op: "test", path: "/data/key", value: now },
      { op: "replace", path: "/data/key", value },
    ]);
  assert.deepEqual((await patch("2", "1")).data, { key: "2" });
  await assert.rejects(patch("3", "1"), { code: "ELASTI_KUBE_INVALID" });
  assert.deepEqual((await client.get<ConfigMap>(resources.configMaps, namespace, "a")).data, { key: "2" });
});

on("both", "generation moves with the spec alone", async ({ client, namespace }) => {
  const { metadata } = await client.create(resources.deployments, deployment(namespace, "web", 0));
  assert.equal(metadata.generation, 1);
  const patch = (body: unknown) => client.patch(resources.deployments, namespace, "web", "merge", body);
  assert.equal((await patch({ metadata: { labels: { a: "b" } } })).metadata.generation, 1);
  assert.equal((await patch({ spec: { replicas: 1 } })).metadata.generation, 2);
});

on("both", "a status is written through its subresource, and only there", async ({ client, namespace }) => {
  await client.create(resources.pods, pod(namespace, "a", { app: "web" }));
  const patch = (body: unknown, subresource?: string) =>
    client.patch<Any>(resources.pods, namespace, "a", "merge", body, subresource === undefined ? {} : { subresource });
  const beside = await patch({ status: { podIP: "10.9.9.9" }, metadata: { labels: { seen: "yes" } } });
  assert.equal(beside.status.podIP, undefined);
  assert.equal(beside.metadata.labels?.seen, "yes");
  const status = await patch({ status: { podIP: "10.9.9.9" } }, "status");
  assert.equal(status.status.podIP, "10.9.9.9");
});

on("both", "a delete has preconditions", async ({ client, namespace }) => {
  const first = await client.create(resources.configMaps, configMap(namespace, "a", { key: "1" }));
  const other = "00000000-0000-0000-0000-000000000000";
  await client.patch(resources.configMaps, namespace, "a", "merge", { data: { key: "2" } });
  const stale = { resourceVersion: first.metadata.resourceVersion! };
  await assert.rejects(client.delete(resources.configMaps, namespace, "a", stale), { code: "ELASTI_KUBE_CONFLICT" });
  await assert.rejects(client.delete(resources.configMaps, namespace, "a", { uid: other }), {
    code: "ELASTI_KUBE_CONFLICT",
  });
  await client.delete(resources.configMaps, namespace, "a", { uid: first.metadata.uid! });
  await assert.rejects(client.get(resources.configMaps, namespace, "a"), { code: "ELASTI_KUBE_NOT_FOUND" });
});

on("both", "an object with a finalizer stays, marked, until the finalizer goes", async ({ client, namespace }) => {
  const object = configMap(namespace, "a");
  const finalizers = ["contract.example/hold"];
  const { metadata } = await client.create(resources.configMaps, {
    ...object,
    metadata: { ...object.metadata, finalizers },
  });
  await client.delete(resources.configMaps, namespace, "a");
  const marked = await client.get(resources.configMaps, namespace, "a");
  assert.notEqual(marked.metadata.deletionTimestamp, undefined);
  assert.notEqual(marked.metadata.resourceVersion, metadata.resourceVersion);
  const patch = (body: unknown) => client.patch(resources.configMaps, namespace, "a", "merge", body);
  // a second delete is no failure, and a new finalizer on what goes is one
  await client.delete(resources.configMaps, namespace, "a");
  await assert.rejects(patch({ metadata: { finalizers: [...finalizers, "contract.example/more"] } }), {
    code: "ELASTI_KUBE_INVALID",
    message: /no new finalizers can be added if the object is being deleted/,
  });
  await patch({ metadata: { finalizers: null } });
  await assert.rejects(client.get(resources.configMaps, namespace, "a"), { code: "ELASTI_KUBE_NOT_FOUND" });
});

const ownerOf = ({ apiVersion, kind, metadata }: KubeObject) => ({
  apiVersion,
  kind,
  name: metadata.name,
  uid: metadata.uid!,
});

on("both", "what an object owns goes with it, unless it is orphaned", async ({ client, namespace, until }) => {
  for (const policy of ["Background", "Orphan"] as const) {
    const owner = await client.create(resources.configMaps, configMap(namespace, `owner-${policy.toLowerCase()}`));
    const owned = configMap(namespace, `owned-${policy.toLowerCase()}`);
    const { metadata } = await client.create(resources.configMaps, {
      ...owned,
      metadata: { ...owned.metadata, ownerReferences: [ownerOf(owner)] },
    } as KubeObject);
    await client.delete(resources.configMaps, namespace, owner.metadata.name, { propagationPolicy: policy });
    await until(resources.configMaps, metadata.name, (object) => {
      if (policy === "Background") return object === undefined || undefined;
      return (object !== undefined && object.metadata.ownerReferences === undefined) || undefined;
    });
  }
});

on("both", "what is owned by an object that is gone, or by another of its name, goes too", async (contract) => {
  const { client, namespace, until } = contract;
  const owner = await client.create(resources.configMaps, configMap(namespace, "owner"));
  const owned = configMap(namespace, "owned");
  const ownerReferences = [{ ...ownerOf(owner), uid: "00000000-0000-4000-8000-000000000000" }];
  await client.create(resources.configMaps, {
    ...owned,
    metadata: { ...owned.metadata, ownerReferences },
  } as KubeObject);
  await until(resources.configMaps, "owned", (object) => object === undefined || undefined);
  await client.get(resources.configMaps, namespace, "owner");
});

on("both", "a namespace that ends takes what is in it, and nothing new", async ({ client, namespace, until }) => {
  const object = configMap(namespace, "held");
  const finalizers = ["contract.example/hold"];
  await client.create(resources.configMaps, { ...object, metadata: { ...object.metadata, finalizers } });
  await client.create(secrets, { apiVersion: "v1", kind: "Secret", metadata: { name: "free", namespace } });
  await client.delete(resources.namespaces, undefined, namespace);
  await until(secrets, "free", (one) => one === undefined || undefined);
  await until(resources.configMaps, "held", (one) => one?.metadata.deletionTimestamp);
  await assert.rejects(client.create(resources.configMaps, configMap(namespace, "late")), {
    code: "ELASTI_KUBE_FORBIDDEN",
    message: /because it is being terminated/,
  });
  await client.patch(resources.configMaps, namespace, "held", "merge", { metadata: { finalizers: null } });
});

on(
  "both",
  "a Service gets an address and defaults; selector and ports may change, the address may not",
  async (contract) => {
    const { client, namespace } = contract;
    const made = await client.create<Service>(resources.services, service(namespace, "web"));
    assert.match(made.spec.clusterIP ?? "", /^\d+\.\d+\.\d+\.\d+$/);
    assert.deepEqual(
      [made.spec.type, made.spec.internalTrafficPolicy, made.spec.ipFamilies],
      ["ClusterIP", "Cluster", ["IPv4"]],
    );
    const patch = (spec: object, metadata: object = {}) =>
      client.patch<Service>(resources.services, namespace, "web", "merge", { metadata, spec });
    const { resourceVersion } = made.metadata;
    const parked = await patch({ selector: { "elasti.truefoundry.com/parked": "true" } }, { resourceVersion });
    assert.deepEqual(parked.spec.selector, { app: "web", "elasti.truefoundry.com/parked": "true" });
    await assert.rejects(patch({ selector: { app: "other" } }, { resourceVersion }), { code: "ELASTI_KUBE_CONFLICT" });
    const unparked = await patch({ selector: { "elasti.truefoundry.com/parked": null } });
    assert.deepEqual(unparked.spec.selector, { app: "web" });
    await assert.rejects(patch({ clusterIP: "10.96.255.254", clusterIPs: ["10.96.255.254"] }), {
      code: "ELASTI_KUBE_INVALID",
      message: /spec\.clusterIPs\[0\]: Invalid value: .*may not change once set/,
    });
    const ports = [
      { name: "http", port: 80 },
      { name: "http", port: 81 },
    ];
    await assert.rejects(patch({ ports }), {
      code: "ELASTI_KUBE_INVALID",
      message: /spec\.ports\[1\]\.name: Duplicate value: "http"/,
    });
    const headless = await client.create<Service>(
      resources.services,
      service(namespace, "private", { clusterIP: "None" }),
    );
    assert.equal(headless.spec.clusterIP, "None");
  },
);

on("both", "dryRun=All answers as if, and writes nothing", async ({ send, client, namespace }) => {
  const { code } = await send(
    "POST",
    `/api/v1/namespaces/${namespace}/configmaps?dryRun=All`,
    configMap(namespace, "a"),
  );
  assert.equal(code, 201);
  await assert.rejects(client.get(resources.configMaps, namespace, "a"), { code: "ELASTI_KUBE_NOT_FOUND" });
});

on(
  "both",
  "what cannot be read is refused with the status that the client maps",
  async ({ send, namespace }: Contract) => {
    const path = pathOf(namespace, "a");
    await send("POST", `/api/v1/namespaces/${namespace}/configmaps`, configMap(namespace, "a"));
    assert.equal((await send("PATCH", path, "{", merge)).code, 400);
    assert.equal((await send("PATCH", path, { a: 1 }, { type: "application/nonsense" })).code, 415);
    assert.equal((await send("POST", path, {})).code, 405);
    assert.equal((await send("GET", "/apis/nothing.example/v1/things")).code, 404);
    assert.equal((await send("GET", path, undefined, { token: "wrong" })).code, 401);
  },
);
