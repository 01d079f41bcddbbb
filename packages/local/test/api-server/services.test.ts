import assert from "node:assert/strict";
import { test } from "node:test";
import { type Any, pod, pods, service, services, startApi } from "./support.ts";

test("a Service gets an address of the range and the defaults of the real server", async (t) => {
  const api = await startApi(t, { serviceCidr: "127.77.0.0/24" });
  const { spec, status } = await api.ok("POST", services, service("web"));
  assert.deepEqual(spec, {
    clusterIP: "127.77.0.2",
    clusterIPs: ["127.77.0.2"],
    internalTrafficPolicy: "Cluster",
    ipFamilies: ["IPv4"],
    ipFamilyPolicy: "SingleStack",
    ports: [{ port: 80, protocol: "TCP", targetPort: 80 }],
    selector: { app: "web" },
    sessionAffinity: "None",
    type: "ClusterIP",
  });
  assert.deepEqual(status, { loadBalancer: {} });
  const headless = await api.ok("POST", services, service("headless", { clusterIP: "None", ports: [] }));
  assert.equal(headless.spec.clusterIP, "None");
  assert.deepEqual(headless.spec.clusterIPs, ["None"]);
  const chosen = await api.ok("POST", services, service("chosen", { clusterIP: "127.77.0.200" }));
  assert.equal(chosen.spec.clusterIP, "127.77.0.200");
});

const refused: [string, object, RegExp, string][] = [
  ["no ports", { ports: [] }, /spec.ports: Required value/, "spec.ports"],
  ["unnamed ports", { ports: [{ port: 1 }, { port: 2, name: "b" }] }, /Required value/, "spec.ports[0].name"],
  [
    "same name",
    {
      ports: [
        { port: 1, name: "a" },
        { port: 2, name: "a" },
      ],
    },
    /Duplicate value: "a"/,
    "spec.ports[1].name",
  ],
  ["port range", { ports: [{ port: 70000 }] }, /must be between 1 and 65535, inclusive/, "spec.ports[0].port"],
  [
    "protocol",
    { ports: [{ port: 1, protocol: "X" }] },
    /supported values: "SCTP", "TCP", "UDP"/,
    "spec.ports[0].protocol",
  ],
  ["type", { type: "Other" }, /Unsupported value: "Other"/, "spec.type"],
  ["external name", { type: "ExternalName" }, /Required value/, "spec.externalName"],
  ["address outside", { clusterIP: "10.0.0.9" }, /is not in the valid range/, "spec.clusterIPs"],
  ["address taken", { clusterIP: "127.250.0.50" }, /provided IP is already allocated/, "spec.clusterIPs"],
];

test("Services are validated with field paths", async (t) => {
  const api = await startApi(t);
  await api.ok("POST", services, service("first", { clusterIP: "127.250.0.50" }));
  for (const [what, spec, message, field] of refused) {
    const { code, body } = await api.send("POST", services, service("web", spec));
    assert.equal(code, 422, what);
    assert.match(body.message ?? "", message, what);
    assert.equal(body.details?.causes?.[0]?.field, field, what);
  }
  assert.match((await api.send("POST", services, service("9web"))).body.message ?? "", /a DNS-1035 label must consist/);
});

test("the address stays: an update that leaves it out keeps it, one that changes it is refused", async (t) => {
  const api = await startApi(t);
  const created = await api.ok("POST", services, service("web"));
  const kept = await api.ok("PUT", `${services}/web`, service("web", { selector: { app: "other" } }));
  assert.equal(kept.spec.clusterIP, created.spec.clusterIP);
  assert.deepEqual(kept.spec.selector, { app: "other" });
  const { code, body } = await api.merge(`${services}/web`, { spec: { clusterIP: "127.250.0.99" } });
  assert.equal(code, 422);
  assert.match(body.message ?? "", /spec.clusterIPs\[0\]: Invalid value: \["127.250.0.99"\]: may not change once set/);
  await api.ok("DELETE", `${services}/web`);
  const again = await api.ok("POST", services, service("web", { clusterIP: created.spec.clusterIP }));
  assert.equal(again.spec.clusterIP, created.spec.clusterIP);
});

test("the selector of a Service is owned whole", async (t) => {
  const api = await startApi(t);
  await api.ok("POST", services, service("web"), { agent: "user/1" });
  await api.merge(`${services}/web`, { spec: { selector: { parked: "x" } } }, { agent: "elasti/1" });
  const entries = (await api.get(`${services}/web`)).body.metadata.managedFields ?? [];
  assert.deepEqual(entries.find(({ manager }) => manager === "elasti")?.fieldsV1, { "f:spec": { "f:selector": {} } });
  assert.equal(
    JSON.stringify(entries.find(({ manager }) => manager === "user")?.fieldsV1).includes("f:selector"),
    false,
  );
});

const slices = "/apis/discovery.k8s.io/v1/namespaces/default/endpointslices";
const slice = (fields: object) => ({
  metadata: { name: "s" },
  addressType: "IPv4",
  endpoints: [],
  ports: [],
  ...fields,
});

const refusedSlices: [object, string, RegExp][] = [
  [{ addressType: undefined }, "addressType", /Required value/],
  [{ addressType: "IPv5" }, "addressType", /supported values: "FQDN", "IPv4", "IPv6"/],
  [{ endpoints: [{ addresses: [] }] }, "endpoints[0].addresses", /must contain at least 1 address/],
  [{ endpoints: [{ addresses: ["::1"] }] }, "endpoints[0].addresses[0]", /must be an IPv4 address/],
  [{ ports: [{ port: 1 }, { port: 2 }] }, "ports[1].name", /Duplicate value: ""/],
  [{ ports: [{ port: 70000 }] }, "ports[0].port", /must be between 1 and 65535/],
];

test("EndpointSlices are validated, and have a generation", async (t) => {
  const api = await startApi(t);
  for (const [fields, field, message] of refusedSlices) {
    const { code, body } = await api.send("POST", slices, slice(fields));
    assert.equal(code, 422, field);
    assert.equal(body.details?.causes?.[0]?.field, field);
    assert.match(body.message ?? "", message);
  }
  const created = await api.ok(
    "POST",
    slices,
    slice({ endpoints: [{ addresses: ["127.1.0.1"] }], ports: [{ port: 80 }] }),
  );
  assert.deepEqual(created.ports, [{ name: "", port: 80, protocol: "TCP" }]);
  assert.deepEqual(created.endpoints, [{ addresses: ["127.1.0.1"], conditions: {} }]);
  assert.equal(created.metadata.generation, 1);
  const changed = await api.merge(`${slices}/s`, { endpoints: [] });
  assert.equal(changed.body.metadata.generation, 2);
  assert.equal(changed.body.endpoints, null);
  const moved = await api.merge(`${slices}/s`, { addressType: "IPv6" });
  assert.match(moved.body.message ?? "", /addressType: Invalid value: "IPv6": field is immutable/);
});

test("a pod is bound once; its spec does not change otherwise", async (t) => {
  const api = await startApi(t);
  const created = await api.ok("POST", pods, pod("a", { nodeName: undefined }));
  assert.equal(created.status.phase, "Pending");
  const bind = (node: string) =>
    api.send("POST", `${pods}/a/binding`, { metadata: { name: "a" }, target: { kind: "Node", name: node } });
  assert.equal((await bind("node-1")).code, 201);
  const bound: Any = (await api.get(`${pods}/a`)).body;
  assert.equal(bound.spec.nodeName, "node-1");
  const twice = await bind("node-2");
  assert.equal(twice.code, 409);
  assert.match(twice.body.message ?? "", /pod a is already assigned to node "node-1"/);
  const moved = await api.merge(`${pods}/a`, { spec: { nodeName: "node-2" } });
  assert.equal(moved.code, 422);
  assert.match(moved.body.message ?? "", /spec: Forbidden: pod updates may not change fields other than/);
  const status = await api.merge(`${pods}/a/status`, { status: { phase: "Running" }, spec: { nodeName: "node-2" } });
  assert.equal(status.body.status.phase, "Running");
  assert.equal(status.body.spec.nodeName, "node-1");
});
