import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ElastiService, PARK_KEY, PARK_VALUE, privateServiceName } from "@elasti/api";
import type { Service } from "@elasti/kube";
import { checkService, ownerAmong, sharedTargetNote, unmanagedServicesNote } from "../src/controller/service-check.ts";
import { liveSelector } from "../src/lifecycle/routing.ts";

const service = (spec: Partial<Service["spec"]> = {}, name = "web"): Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name, namespace: "shop" },
  spec: {
    type: "ClusterIP",
    clusterIP: "10.96.0.7",
    selector: { app: "web" },
    ports: [{ name: "http", port: 80, protocol: "TCP" }],
    ...spec,
  },
});
const check = (
  given: Service | undefined,
  resolverNodes: string[] = ["n1"],
  nodes: string[] | undefined = ["n1", "n2"],
) =>
  checkService({
    name: "web",
    service: given,
    resolverNodes: new Set(resolverNodes),
    nodes: nodes === undefined ? undefined : new Set(nodes),
  });

describe("checkService", () => {
  const udp = { name: "dns", port: 53, protocol: "UDP" as const };
  const refusals: [name: string, service: Service | undefined, reason: string][] = [
    ["missing", undefined, "ServiceMissing"],
    ["headless", service({ clusterIP: "None" }), "HeadlessService"],
    ["an ExternalName", service({ type: "ExternalName", externalName: "x.example" }), "ExternalNameService"],
    ["without selector", service({ selector: {} }), "NoSelector"],
    ["with nothing but our own key in its selector", service({ selector: { [PARK_KEY]: PARK_VALUE } }), "NoSelector"],
    ["without ports", service({ ports: [] }), "NoPorts"],
    ["UDP alone", service({ ports: [udp] }), "UdpOnly"],
    ["of internal policy Local", service({ internalTrafficPolicy: "Local" }), "LocalTrafficPolicy"],
    ["of external policy Local", service({ type: "NodePort", externalTrafficPolicy: "Local" }), "LocalTrafficPolicy"],
  ];
  for (const [name, given, reason] of refusals) {
    it(`refuses a Service that is ${name}, and says what to do`, () => {
      const result = check(given);
      assert.ok(!result.ok && result.reason === reason);
      assert.match(result.message, /^Service web .*: .+/);
    });
  }

  it("takes any other, and ports without a protocol as TCP", () => {
    assert.deepEqual(check(service()), { ok: true, ports: [{ name: "http", port: 80, protocol: "TCP" }], notes: [] });
    assert.equal(check(service({ ports: [{ port: 80 }] })).ok, true);
    assert.equal(check(service({ selector: { app: "web", [PARK_KEY]: PARK_VALUE } })).ok, true);
  });

  it("takes policy Local with a resolver on every node only", () => {
    const local = service({ internalTrafficPolicy: "Local" });
    assert.equal(check(local, ["n1", "n2"]).ok, true);
    const missing = check(local);
    assert.ok(!missing.ok);
    assert.match(missing.message, /none on n2/);
    assert.equal(check(local, ["n1"], undefined).ok, false);
    // Kubernetes looks at the external policy of these types only
    assert.equal(check(service({ externalTrafficPolicy: "Local" })).ok, true);
  });

  it("skips UDP and SCTP ports with a note", () => {
    const mixed = service({ ports: [{ name: "http", port: 80 }, udp, { port: 7, protocol: "SCTP" }] });
    const result = check(mixed);
    assert.ok(result.ok);
    assert.deepEqual(result.ports, [{ name: "http", port: 80 }]);
    assert.equal(result.notes[0]?.type, "PortsSkipped");
    assert.match(result.notes[0]?.message ?? "", /dns\/UDP, 7\/SCTP/);
  });
});

describe("ownerAmong", () => {
  const es = (name: string, creationTimestamp?: string): ElastiService => ({
    apiVersion: "elasti.truefoundry.com/v1alpha1",
    kind: "ElastiService",
    metadata: { name, ...(creationTimestamp === undefined ? {} : { creationTimestamp }) },
    spec: { service: "web", scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
  });
  it("is the oldest, then the first by name", () => {
    const older = es("z", "2026-01-01T00:00:00Z");
    const younger = es("a", "2026-01-02T00:00:00Z");
    assert.equal(ownerAmong([younger, older]), older);
    assert.equal(ownerAmong([es("b", "2026-01-02T00:00:00Z"), younger]), younger);
    assert.equal(ownerAmong([]), undefined);
  });
  it("notes who shares a target", () => {
    assert.deepEqual(sharedTargetNote([]), []);
    assert.match(sharedTargetNote([es("b"), es("c")])[0]?.message ?? "", /ElastiService b, c/);
  });
});

describe("unmanagedServicesNote", () => {
  const labels = { app: "web", tier: "front" };
  const note = (neighbours: Service[], managed: string[] = ["web"]) =>
    unmanagedServicesNote(service(), labels, neighbours, (name) => managed.includes(name))[0]?.message;

  it("names other Services on the same pods", () => {
    const found = note([
      service(),
      service({ selector: { tier: "front" } }, "front"),
      service({ selector: labels }, "both"),
    ]);
    assert.match(found ?? "", /^Service both, front leads/);
  });

  const harmless: [string, Service, string[]?][] = [
    ["itself", service()],
    ["a headless one", service({ clusterIP: "None" }, "pods")],
    ["one on other pods", service({ selector: { app: "db" } }, "db")],
    ["one that wants more than the pods have", service({ selector: { app: "web", extra: "1" } }, "extra")],
    ["one without selector", service({ selector: {} }, "bare")],
    ["an ExternalName", service({ type: "ExternalName" }, "alias")],
    ["one with an ElastiService", service({}, "second"), ["web", "second"]],
    ["KubeElasti's private one", service({}, privateServiceName("web"))],
  ];
  for (const [name, neighbour, managed] of harmless) {
    it(`overlooks ${name}`, () => assert.equal(note([neighbour], managed), undefined));
  }

  it("cuts a long list", () => {
    const many = Array.from({ length: 9 }, (_, i) => service({}, `s${i}`));
    assert.match(note(many) ?? "", /s0, s1, s2, s3, s4 and 4 more/);
  });
});

describe("liveSelector", () => {
  it("is the user's selector without our key", () => {
    assert.deepEqual(liveSelector(service({ selector: { app: "web", [PARK_KEY]: PARK_VALUE } })), { app: "web" });
  });
});
