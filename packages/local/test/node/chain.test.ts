import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Deployment, type EndpointSlice, type KubeClient, type Pod, resources } from "@elasti/kube";
import { type LocalCluster, startLocalCluster } from "../../src/cluster.ts";
import { appContainer, createService, deployment, signal, untilPod, untilSlices, when } from "./fixtures.ts";

let cluster: LocalCluster;
let client: KubeClient;

before(async () => {
  cluster = await startLocalCluster({ nodes: 2, restart: { initialMs: 50, maxMs: 100 } });
  client = cluster.client();
});
after(() => cluster.close());

const probed = (env: Record<string, string> = {}) => ({
  ...appContainer(env),
  readinessProbe: { httpGet: { path: "/healthz", port: "http" }, periodSeconds: 1 },
});

async function expose(name: string): Promise<string> {
  const { spec } = await createService(client, name, { ports: [{ port: 8080, targetPort: "http" }] });
  return `http://${spec.clusterIP}:8080`;
}

const scale = (name: string, replicas: number) =>
  client.patch(resources.deployments, "default", name, "merge", { spec: { replicas } }, { subresource: "scale" });

const routed = (name: string, count: number, node = 1) =>
  cluster.waitForBackends(node, `default/${name}`, (backends) => backends.length === count, signal());

const podsOf = async (name: string) =>
  (await client.list<Pod>(resources.pods, { namespace: "default", labelSelector: `app=${name}` })).items;

test("a Deployment becomes pods, slices and a Service that answers, and zero takes it all back", async () => {
  const url = await expose("web");
  await client.create(resources.deployments, deployment("web", 2, probed()));
  await routed("web", 2);
  const pods = await podsOf("web");
  assert.deepEqual(pods.map(({ spec }) => spec.nodeName).toSorted(), ["node-1", "node-2"]);

  const names = new Set<string>();
  for (let i = 0; i < 40 && names.size < 2; i++) {
    const response = await fetch(`${url}/`, { headers: { connection: "close" } });
    names.add(response.headers.get("x-pod")!);
    await response.text();
  }
  assert.deepEqual([...names].toSorted(), pods.map(({ metadata }) => metadata.name).toSorted());

  await cluster.waitFor<Deployment, true>(
    resources.deployments,
    "default",
    "web",
    (object) => when(object?.status?.readyReplicas === 2),
    signal(),
  );
  await scale("web", 0);
  await routed("web", 0);
  await assert.rejects(fetch(url));
  for (const { metadata } of pods) {
    await untilPod(cluster, metadata.name, (pod) => when(pod === undefined));
  }
  const slices = await client.list<EndpointSlice>(resources.endpointSlices, {
    namespace: "default",
    labelSelector: "kubernetes.io/service-name=web",
  });
  assert.deepEqual(
    slices.items.map(({ endpoints }) => endpoints ?? []),
    [[]],
  );
});

test("the address is in the slice, not ready, before the process listens", async () => {
  await expose("slow");
  await client.create(resources.deployments, deployment("slow", 1, probed({ START_MS: "60000" })));
  const endpoint = await untilSlices(client, "slow", ([slice]) => slice?.endpoints?.[0]);
  assert.deepEqual(endpoint.conditions, { ready: false, serving: false, terminating: false });
  await assert.rejects(fetch(`http://${endpoint.addresses[0]}:8080`));
  await client.delete(resources.deployments, "default", "slow");
});
