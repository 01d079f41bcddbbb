import assert from "node:assert/strict";
import { PARK_KEY } from "@elasti/api";
import { type EndpointSlice, type KubeObject, type Pod, resources, type Service } from "@elasti/kube";
import { bareNode, pod, service } from "./objects.ts";
import { type Contract, isReal, on } from "./server.ts";

/** An address that no server refuses; nobody listens there. */
const addresses = ["10.9.0.1", "10.9.0.2"] as const;

/** Writes what a kubelet would: running, with an address, ready or not. */
async function report({ client, namespace }: Contract, name: string, address: string, ready: boolean): Promise<void> {
  const status = {
    phase: "Running",
    podIP: address,
    podIPs: [{ ip: address }],
    conditions: [{ type: "Ready", status: ready ? "True" : "False" }],
  };
  await client.patch<Pod>(resources.pods, namespace, name, "merge", { status }, { subresource: "status" });
}

const slicesOf = (slices: readonly EndpointSlice[], name: string) =>
  slices.filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === name);

const isOurs = ({ metadata }: EndpointSlice) =>
  metadata.labels?.["endpointslice.kubernetes.io/managed-by"] === "elasti-operator";

/** The endpoints of a Service's own slices: address, ready, serving, terminating. */
const endpointsOf = (slices: readonly EndpointSlice[], name: string): string[] =>
  slicesOf(slices, name)
    .filter((slice) => !isOurs(slice))
    .flatMap(({ endpoints }) => endpoints ?? [])
    .map(({ addresses: [address], conditions: { ready, serving, terminating } = {} }) =>
      [address, ready, serving, terminating].join(" "),
    )
    .sort();

/** Resolves when the Service's endpoints are these; shows the last ones when the time is over. */
async function becomes({ untilAll }: Contract, name: string, wanted: readonly string[]): Promise<void> {
  let last: string[] = [];
  await untilAll<EndpointSlice, true>(resources.endpointSlices, (slices) => {
    last = endpointsOf(slices, name);
    return (slicesOf(slices, name).length > 0 && last.join() === wanted.join()) || undefined;
  }).catch((error: unknown) => {
    assert.deepEqual(last, wanted, String(error));
    throw error;
  });
}

const park = ({ client, namespace }: Contract, value: "true" | null) =>
  client.patch<Service>(resources.services, namespace, "web", "merge", { spec: { selector: { [PARK_KEY]: value } } });

on("both", "a Service's slice follows its pods through start, ready, not ready and terminating", async (contract) => {
  const { client, namespace } = contract;
  await client.create(resources.services, service(namespace, "web"));
  await client.create(
    resources.services,
    service(namespace, "private", { clusterIP: "None", selector: { app: "web" } }),
  );
  await client.create(resources.pods, pod(namespace, "a", { app: "web" }, await bareNode(contract)));
  await report(contract, "a", addresses[0], false);
  // not ready, and published all the same: that is how resolvers find pods before Kubernetes calls them ready
  for (const name of ["web", "private"]) await becomes(contract, name, ["10.9.0.1 false false false"]);
  await report(contract, "a", addresses[0], true);
  for (const name of ["web", "private"]) await becomes(contract, name, ["10.9.0.1 true true false"]);
  await report(contract, "a", addresses[0], false);
  await becomes(contract, "web", ["10.9.0.1 false false false"]);
  await report(contract, "a", addresses[0], true);
  await client.delete(resources.pods, namespace, "a");
  await becomes(contract, "web", ["10.9.0.1 false true true"]);
  await report(contract, "a", addresses[0], false);
  await becomes(contract, "web", ["10.9.0.1 false false true"]);
  await client.delete(resources.pods, namespace, "a", { gracePeriodSeconds: 0 });
  await becomes(contract, "web", []);
});

on(
  "both",
  "a selector that gains a key that matches nothing empties the slice, and losing it fills it",
  async (contract) => {
    const { client, namespace, untilAll } = contract;
    await client.create(resources.services, service(namespace, "web"));
    const node = await bareNode(contract);
    for (const [index, name] of ["a", "b"].entries()) {
      await client.create(resources.pods, pod(namespace, name, { app: "web" }, node));
      await report(contract, name, addresses[index]!, true);
    }
    const both = ["10.9.0.1 true true false", "10.9.0.2 true true false"];
    await becomes(contract, "web", both);
    const before = await untilAll<EndpointSlice, string[]>(resources.endpointSlices, (slices) =>
      slicesOf(slices, "web").map(({ metadata }) => metadata.name),
    );
    await park(contract, "true");
    await becomes(contract, "web", []);
    const parked = await client.list<EndpointSlice>(resources.endpointSlices, { namespace });
    assert.deepEqual(
      slicesOf(parked.items, "web").map(({ metadata }) => metadata.name),
      before,
      "the slice stays, empty",
    );
    await park(contract, null);
    await becomes(contract, "web", both);
  },
);

on(
  "both",
  "a slice of our own stands beside Kubernetes' slices, untouched, and goes with the Service",
  async (contract) => {
    const { client, namespace, until } = contract;
    const web = await client.create<Service>(resources.services, service(namespace, "web"));
    await client.create(resources.pods, pod(namespace, "a", { app: "web" }, await bareNode(contract)));
    await report(contract, "a", addresses[0], true);
    const ours = resolverSlice(web, "10.9.1.1");
    const made = await client.create<EndpointSlice>(resources.endpointSlices, ours);
    assert.equal(made.metadata.generation, 1);
    await becomes(contract, "web", ["10.9.0.1 true true false"]);
    await park(contract, "true");
    await becomes(contract, "web", []);
    await park(contract, null);
    await becomes(contract, "web", ["10.9.0.1 true true false"]);
    const now = await client.get<EndpointSlice>(resources.endpointSlices, namespace, ours.metadata.name);
    assert.equal(now.metadata.resourceVersion, made.metadata.resourceVersion);
    const moved = { ...made, endpoints: [{ ...made.endpoints[0]!, addresses: ["10.9.1.2"] }] };
    const replaced = await client.replace<EndpointSlice>(resources.endpointSlices, moved);
    assert.deepEqual(replaced.endpoints[0]?.addresses, ["10.9.1.2"]);
    await assert.rejects(client.replace(resources.endpointSlices, moved), { code: "ELASTI_KUBE_CONFLICT" });
    await client.delete(resources.services, namespace, "web");
    await until(resources.endpointSlices, ours.metadata.name, (slice) => slice === undefined || undefined);
  },
);

on("both", "slices with wrong addresses or ports are refused with the field", async ({ client, namespace }) => {
  const web = await client.create<Service>(resources.services, service(namespace, "web"));
  const create = (slice: EndpointSlice) => client.create(resources.endpointSlices, slice as KubeObject);
  await assert.rejects(create(resolverSlice(web, "not an address")), {
    code: "ELASTI_KUBE_INVALID",
    message: /endpoints\[0\]\.addresses\[0\]: Invalid value/,
  });
  const { ports } = resolverSlice(web, "10.9.1.1");
  await assert.rejects(create({ ...resolverSlice(web, "10.9.1.1"), ports: [...ports, ...ports] }), {
    code: "ELASTI_KUBE_INVALID",
    message: /ports\[1\]\.name: Duplicate value/,
  });
  // the embedded cluster's pods live there
  const loopback = create(resolverSlice(web, "127.0.0.1"));
  if (isReal)
    await assert.rejects(loopback, { code: "ELASTI_KUBE_INVALID", message: /may not be in the loopback range/ });
  else await loopback;
});

on("both", "a Service without pods has an empty slice; an empty one lists no endpoints", async (contract) => {
  const { client, namespace } = contract;
  await client.create(resources.services, service(namespace, "web"));
  await becomes(contract, "web", []);
  const { text } = await contract.send("GET", `/apis/discovery.k8s.io/v1/namespaces/${namespace}/endpointslices`);
  assert.match(text, /"endpoints":null/);
});

function resolverSlice({ metadata: { name, namespace = "", uid = "" } }: Service, address: string): EndpointSlice {
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name: `elasti-${name}-to-resolver`,
      namespace,
      labels: {
        "kubernetes.io/service-name": name,
        "endpointslice.kubernetes.io/managed-by": "elasti-operator",
      },
      ownerReferences: [{ apiVersion: "v1", kind: "Service", name, uid }],
    },
    addressType: "IPv4",
    endpoints: [{ addresses: [address], conditions: { ready: true, serving: true, terminating: false } }],
    ports: [{ name: "http", port: 10_000, protocol: "TCP" }],
  };
}
