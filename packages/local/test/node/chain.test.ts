import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { fileURLToPath } from "node:url";
import { type Deployment, type EndpointSlice, type KubeClient, type Pod, resources, type Service } from "@elasti/kube";
import { type LocalCluster, startLocalCluster } from "../../src/cluster.ts";

const app = fileURLToPath(new URL("../../sample-app/app.mjs", import.meta.url));
const signal = () => AbortSignal.timeout(10_000);

let cluster: LocalCluster;
let client: KubeClient;

before(async () => {
  cluster = await startLocalCluster({ nodes: 2, restart: { initialMs: 50, maxMs: 100 } });
  client = cluster.client();
});
after(() => cluster.close());

function deployment(name: string, replicas: number, env: Record<string, string> = {}): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "default" },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: {
        metadata: { labels: { app: name } },
        spec: {
          containers: [
            {
              name: "app",
              image: "local/app",
              command: ["node", app],
              ports: [{ name: "http", containerPort: 8080 }],
              env: [
                { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
                ...Object.entries(env).map(([key, value]) => ({ name: key, value })),
              ],
              readinessProbe: { httpGet: { path: "/healthz", port: "http" }, periodSeconds: 1 },
            },
          ],
        },
      },
    },
  };
}

async function expose(name: string): Promise<string> {
  const created = await client.create<Service>(resources.services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { selector: { app: name }, ports: [{ port: 8080, targetPort: "http" }] },
  });
  return `http://${created.spec.clusterIP}:8080`;
}

const scale = (name: string, replicas: number) =>
  client.patch(resources.deployments, "default", name, "merge", { spec: { replicas } }, { subresource: "scale" });

const routed = (name: string, count: number, node = 1) =>
  cluster.waitForBackends(node, `default/${name}`, (backends) => backends.length === count, signal());

const podsOf = async (name: string) =>
  (await client.list<Pod>(resources.pods, { namespace: "default", labelSelector: `app=${name}` })).items;

test("a Deployment becomes pods, slices and a Service that answers, and zero takes it all back", async () => {
  const url = await expose("web");
  await client.create(resources.deployments, deployment("web", 2));
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
    (object) => object?.status?.readyReplicas === 2 || undefined,
    signal(),
  );
  await scale("web", 0);
  await routed("web", 0);
  await assert.rejects(fetch(url));
  for (const { metadata } of pods) {
    await cluster.waitFor<Pod, true>(
      resources.pods,
      "default",
      metadata.name,
      (pod) => pod === undefined || undefined,
      signal(),
    );
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
  await client.create(resources.deployments, deployment("slow", 1, { START_MS: "60000" }));
  const [slice] = (
    await client.list<EndpointSlice>(resources.endpointSlices, { labelSelector: "kubernetes.io/service-name=slow" })
  ).items;
  const endpoint = await cluster.waitFor<EndpointSlice, EndpointSlice["endpoints"][number]>(
    resources.endpointSlices,
    "default",
    slice!.metadata.name,
    (object) => object?.endpoints?.[0],
    signal(),
  );
  assert.deepEqual(endpoint.conditions, { ready: false, serving: false, terminating: false });
  await assert.rejects(fetch(`http://${endpoint.addresses[0]}:8080`));
  await client.delete(resources.deployments, "default", "slow");
});
