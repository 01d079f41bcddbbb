import assert from "node:assert/strict";
import { test } from "node:test";
import { elastiServiceCrd } from "@elasti/api";
import { createKubeClient, resources } from "@elasti/kube";
import { startApi, token } from "./support.ts";

interface ResourceList {
  groupVersion: string;
  resources: {
    name: string;
    singularName: string;
    namespaced: boolean;
    kind: string;
    group?: string;
    version?: string;
    verbs: string[];
    shortNames?: string[];
  }[];
}

test("discovery names groups, kinds, short names and subresources", async (t) => {
  const api = await startApi(t);
  assert.deepEqual((await api.get<{ versions: string[] }>("/api")).body.versions, ["v1"]);
  await api.ok("POST", "/apis/apiextensions.k8s.io/v1/customresourcedefinitions", elastiServiceCrd());
  const { groups } = (await api.get<{ groups: { name: string }[] }>("/apis")).body;
  assert.deepEqual(groups.map(({ name }) => name).sort(), [
    "apiextensions.k8s.io",
    "apps",
    "coordination.k8s.io",
    "discovery.k8s.io",
    "elasti.truefoundry.com",
  ]);
  const apps = (await api.get<ResourceList>("/apis/apps/v1")).body;
  assert.equal(apps.groupVersion, "apps/v1");
  const scale = apps.resources.find(({ name }) => name === "deployments/scale");
  assert.deepEqual([scale?.group, scale?.version, scale?.kind], ["autoscaling", "v1", "Scale"]);
  assert.deepEqual(apps.resources.find(({ name }) => name === "deployments")?.shortNames, ["deploy"]);
  const elasti = (await api.get<ResourceList>("/apis/elasti.truefoundry.com/v1alpha1")).body.resources;
  assert.deepEqual(
    elasti.map(({ name }) => name),
    ["elastiservices", "elastiservices/status"],
  );
  assert.deepEqual(elasti[0]?.shortNames, ["es"]);
  assert.equal(elasti[0]?.singularName, "elastiservice");
  assert.equal((await api.get("/apis/none")).code, 404);
  assert.equal((await api.get("/apis/apps/v9")).code, 404);
  assert.equal((await api.get<{ gitVersion: string }>("/version")).body.gitVersion.startsWith("v1."), true);
});

test("OpenAPI says that the server validates fields itself", async (t) => {
  const api = await startApi(t);
  const { paths } = (await api.get<{ paths: Record<string, { serverRelativeURL: string }> }>("/openapi/v3")).body;
  const document = await api.send<string>("GET", paths["apis/apps/v1"]!.serverRelativeURL);
  assert.match(JSON.stringify(document.body), /fieldValidation/);
  const accept = "application/com.github.proto-openapi.spec.v2@v1.0+protobuf";
  assert.equal((await api.send<string>("GET", "/openapi/v2", undefined, { accept })).body, "");
});

test("the kubeconfig leads a client here", async (t) => {
  const api = await startApi(t);
  const config = JSON.parse(api.server.kubeconfig(token)) as {
    clusters: { cluster: { server: string } }[];
    users: { user: { token: string } }[];
  };
  const user = config.users[0]!.user.token;
  assert.equal(user, token);
  const client = createKubeClient({ cluster: { server: config.clusters[0]!.cluster.server, token: async () => user } });
  t.after(() => client.close());
  const namespaces = await client.list(resources.namespaces);
  assert.equal(
    namespaces.items.some(({ metadata }) => metadata.name === "default"),
    true,
  );
});
