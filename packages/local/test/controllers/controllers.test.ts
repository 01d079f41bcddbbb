import assert from "node:assert/strict";
import { after, before, test } from "node:test";
import { type Deployment, type EndpointSlice, type KubeClient, type Pod, resources, type Service } from "@elasti/kube";
import { type LocalCluster, startLocalCluster } from "../../src/cluster.ts";
import { createService, deployment, shellContainer, signal, untilSlices, when } from "../node/fixtures.ts";

let cluster: LocalCluster;
let client: KubeClient;

before(async () => {
  cluster = await startLocalCluster();
  client = cluster.client();
});
after(() => cluster.close());

const sleeper = shellContainer("exec sleep 1000");
const podsOf = async (name: string) =>
  (await client.list<Pod>(resources.pods, { namespace: "default", labelSelector: `app=${name}` })).items;

const untilDeployment = (name: string, holds: (status: NonNullable<Deployment["status"]>) => boolean) =>
  cluster.waitFor<Deployment, true>(
    resources.deployments,
    "default",
    name,
    (object) => when(object?.status !== undefined && holds(object.status)),
    signal(),
  );

const patchService = (name: string, spec: unknown) =>
  client.patch<Service>(resources.services, "default", name, "merge", { spec });

test("makes exactly the wanted number of pods, however fast the number changes", async () => {
  await client.create(resources.deployments, deployment("scaled", 1, sleeper));
  const scale = (replicas: number) =>
    client.patch(resources.deployments, "default", "scaled", "merge", { spec: { replicas } }, { subresource: "scale" });
  await Promise.all([scale(4), scale(2), scale(3)]);
  await scale(5);
  await scale(3);
  const { metadata } = await client.get<Deployment>(resources.deployments, "default", "scaled");
  await untilDeployment(
    "scaled",
    (status) =>
      status.observedGeneration === metadata.generation && status.readyReplicas === 3 && status.replicas === 3,
  );
  const live = (await podsOf("scaled")).filter((pod) => pod.metadata.deletionTimestamp === undefined);
  assert.equal(live.length, 3);
  assert.equal(live[0]?.metadata.ownerReferences?.[0]?.kind, "Deployment");
  await scale(0);
  await untilDeployment("scaled", (status) => status.replicas === undefined);
});

test("a pod that is deleted is made anew, and a deleted Deployment takes its pods along", async () => {
  await client.create(resources.deployments, deployment("owner", 1, sleeper));
  await untilDeployment("owner", (status) => status.readyReplicas === 1);
  const [first] = await podsOf("owner");
  await client.delete(resources.pods, "default", first!.metadata.name, { gracePeriodSeconds: 0 });
  await untilDeployment("owner", (status) => status.readyReplicas !== 1);
  await untilDeployment("owner", (status) => status.readyReplicas === 1);
  const [second] = await podsOf("owner");
  assert.notEqual(second!.metadata.uid, first!.metadata.uid);
  await client.delete(resources.deployments, "default", "owner");
  await cluster.waitFor(resources.pods, "default", second!.metadata.name, (pod) => when(pod === undefined), signal());
});

test("a changed template is rolled out without ever having too few ready pods", async () => {
  await createService(client, "rolled");
  await client.create(resources.deployments, deployment("rolled", 2, sleeper));
  await cluster.waitForBackends(1, "default/rolled", (backends) => backends.length === 2, signal());
  let least = 2;
  const watching = new AbortController();
  const counting = cluster
    .waitForBackends(
      1,
      "default/rolled",
      (backends) => {
        least = Math.min(least, backends.length);
        return false;
      },
      watching.signal,
    )
    .catch(() => {});
  const before = new Set((await podsOf("rolled")).map(({ metadata }) => metadata.uid));
  const template = { metadata: { annotations: { restartedAt: "now" } } };
  const { metadata } = await client.patch<Deployment>(resources.deployments, "default", "rolled", "merge", {
    spec: { template },
  });
  await untilDeployment(
    "rolled",
    (status) =>
      status.observedGeneration === metadata.generation &&
      status.updatedReplicas === 2 &&
      status.readyReplicas === 2 &&
      status.replicas === 2,
  );
  watching.abort();
  await counting;
  assert.equal(least, 2);
  const live = (await podsOf("rolled")).filter((pod) => pod.metadata.deletionTimestamp === undefined);
  assert.ok(live.every((pod) => !before.has(pod.metadata.uid)));
});

test("a selector that matches nothing empties the slice, and its return fills the same slice", async () => {
  await createService(client, "parked");
  await client.create(resources.deployments, deployment("parked", 1, sleeper));
  const full = (slices: EndpointSlice[]) =>
    slices[0]?.endpoints?.[0]?.conditions?.ready === true ? slices[0] : undefined;
  const before = await untilSlices(client, "parked", full);
  assert.deepEqual(before.metadata.ownerReferences?.[0]?.kind, "Service");
  await patchService("parked", { selector: { "example.com/parked": "true" } });
  const empty = await untilSlices(client, "parked", ([slice]) =>
    slice?.endpoints?.[0] === undefined ? slice : undefined,
  );
  assert.equal(empty.metadata.name, before.metadata.name);
  await patchService("parked", { selector: { "example.com/parked": null } });
  const again = await untilSlices(client, "parked", full);
  assert.equal(again.metadata.name, before.metadata.name);
});

test("slices of others and of Services without a selector are left alone", async () => {
  const own: EndpointSlice = {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: "mine", namespace: "default", labels: { "kubernetes.io/service-name": "manual" } },
    addressType: "IPv4",
    endpoints: [{ addresses: ["127.50.0.9"] }],
    ports: [{ name: "", port: 8080, protocol: "TCP" }],
  };
  await client.create(resources.endpointSlices, own);
  await createService(client, "manual");
  const removed = await patchService("manual", { selector: null });
  assert.equal(removed.spec.selector, undefined);
  await cluster.waitForBackends(1, "default/manual", ([backend]) => backend?.ip === "127.50.0.9", signal());
  // a Service that is known to be dealt with after this one
  await createService(client, "later");
  await untilSlices(client, "later", ([slice]) => slice);
  const kept = await untilSlices(client, "manual", (slices) => slices.find(({ metadata }) => metadata.name === "mine"));
  assert.deepEqual(kept.endpoints[0]?.addresses, ["127.50.0.9"]);
});

test("the slices of a deleted Service go with it", async () => {
  await createService(client, "passing");
  await untilSlices(client, "passing", ([slice]) => slice);
  await client.delete(resources.services, "default", "passing");
  await untilSlices(client, "passing", (slices) => when(slices.length === 0));
});
