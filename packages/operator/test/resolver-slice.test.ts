import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ServedRoute } from "@elasti/api";
import { type EndpointSlice, type Service, Store } from "@elasti/kube";
import fc from "fast-check";
import { endpointsOf, type ResolverEndpoint, ResolverSet } from "../src/controller/resolver-set.ts";
import { desiredSlices, rendezvous, sliceMatches, slicesMatch } from "../src/controller/resolver-slice.ts";
import { type ServedPorts, takenPortsNote } from "../src/controller/served-routes.ts";

const resolver = (id: string, fields: Partial<ResolverEndpoint> = {}): ResolverEndpoint => ({
  id,
  addresses: { IPv4: `10.0.0.${id.slice(1)}` },
  ready: true,
  terminating: false,
  node: `node-${id}`,
  zone: undefined,
  ...fields,
});
const service = (fields: Partial<Service["spec"]> = {}): Service => ({
  apiVersion: "v1",
  kind: "Service",
  metadata: { name: "target-deployment", namespace: "shop", uid: "uid-svc" },
  spec: { ipFamilies: ["IPv4"], ...fields },
});
const routes = [
  { name: "http", port: 80, resolverPort: 10_000, protocol: "TCP", appProtocol: "kubernetes.io/h2c" },
  { port: 90, resolverPort: 10_007, protocol: "TCP" },
];
const all = new Set([10_000, 10_007]);
/** A resolver that says which ports it listens on, and, unless it is of a former version, what they lead to. */
const says =
  (portsOf: (id: string) => ReadonlySet<number>, service?: string) =>
  (id: string): ServedPorts => {
    const ports = portsOf(id);
    if (service === undefined) return { id, ports, routes: undefined };
    const served = routes.map(({ resolverPort, port, name }): [number, ServedRoute] => [
      resolverPort,
      { resolverPort, namespace: "shop", service, port, ...(name === undefined ? {} : { name }) },
    ]);
    return { id, ports, routes: new Map(served) };
  };
const of = (resolvers: ResolverEndpoint[], fields: Partial<Parameters<typeof desiredSlices>[0]> = {}) =>
  desiredSlices({ service: service(), routes, resolvers, servedBy: says(() => all), existing: [], ...fields });

describe("desiredSlices", () => {
  it("says all that Kubernetes' own consumers look at", () => {
    const { slices, resolvers } = of([resolver("r1", { zone: "zone-a" })]);
    assert.deepEqual(resolvers, ["r1"]);
    assert.deepEqual(slices, [
      {
        apiVersion: "discovery.k8s.io/v1",
        kind: "EndpointSlice",
        metadata: {
          name: "elasti-target-deployment-endpointslice-to-resolver-9696239e87",
          namespace: "shop",
          labels: {
            "kubernetes.io/service-name": "target-deployment",
            "endpointslice.kubernetes.io/managed-by": "elasti-operator",
            "elasti.truefoundry.com/service": "target-deployment",
          },
          ownerReferences: [{ apiVersion: "v1", kind: "Service", name: "target-deployment", uid: "uid-svc" }],
        },
        addressType: "IPv4",
        endpoints: [
          {
            addresses: ["10.0.0.1"],
            conditions: { ready: true, serving: true, terminating: false },
            nodeName: "node-r1",
            zone: "zone-a",
          },
        ],
        ports: [
          { name: "http", port: 10_000, protocol: "TCP", appProtocol: "kubernetes.io/h2c" },
          { name: "", port: 10_007, protocol: "TCP" },
        ],
      },
    ]);
  });

  it("lists only resolvers that are ready, stay, and listen on all ports", () => {
    const { resolvers } = of(
      [
        resolver("r1", { ready: false }),
        resolver("r2", { terminating: true }),
        resolver("r3"),
        resolver("r4"),
        resolver("r5", { addresses: { IPv6: "fd00::5" } }),
      ],
      { servedBy: says((id) => (id === "r3" ? new Set([10_000]) : all)) },
    );
    assert.deepEqual(resolvers, ["r4"]);
  });

  it("keeps a listed resolver whose session broke, and takes no new one without a session", () => {
    const existing = of([resolver("r1")]).slices;
    const unknown = { servedBy: () => undefined };
    assert.deepEqual(of([resolver("r1"), resolver("r2")], { ...unknown, existing }).resolvers, ["r1"]);
    assert.deepEqual(of([resolver("r1", { ready: false })], { ...unknown, existing }).resolvers, []);
    assert.deepEqual(of([resolver("r1")], unknown).resolvers, []);
  });

  it("keeps the way of the ports that stand until a resolver listens on all", () => {
    const [http] = routes;
    const existing = of([resolver("r1"), resolver("r2")], { routes: [http!] }).slices;
    const opened = (id: string) =>
      of([resolver("r1"), resolver("r2")], {
        existing,
        servedBy: says((r) => (r === id ? all : new Set([10_000]))),
      });
    const before = opened("nobody");
    assert.deepEqual(before, { slices: existing, resolvers: ["r1", "r2"] });
    const after = opened("r2");
    assert.deepEqual(after.resolvers, ["r2"]);
    assert.deepEqual(
      after.slices[0]?.ports?.map(({ port }) => port),
      [10_000, 10_007],
    );
    assert.deepEqual(of([resolver("r1")], { servedBy: says(() => new Set([10_000])) }).slices, [], "none stands");
  });

  it("lists only resolvers that serve this very Service on each port, by its number or its name", () => {
    const served = (...own: Partial<ServedRoute>[]) => {
      const told = routes.map((route, at): [number, ServedRoute] => [
        route.resolverPort,
        { namespace: "shop", service: "target-deployment", ...route, ...own[at] },
      ]);
      const servedBy = (id: string) => ({ id, ports: all, routes: new Map(told) });
      return of([resolver("r1")], { servedBy }).resolvers.length === 1;
    };
    assert.equal(served(), true);
    assert.equal(served({ port: 8_080 }), true, "renumbered, and the resolver has yet to see it");
    assert.equal(served({ name: "web" }), true, "renamed");
    assert.equal(served({ port: 8_080, name: "web" }), false, "another port");
    assert.equal(served({}, { port: 91 }), false, "another port without a name");
    assert.equal(served({ service: "other" }), false);
    assert.equal(served({}, { namespace: "elsewhere" }), false);
    const silent = { servedBy: (id: string) => ({ id, ports: all, routes: new Map() }) };
    assert.deepEqual(of([resolver("r1")], silent).resolvers, [], "open, and it leads nowhere");
  });

  it("leaves out a resolver that serves another Service there, also one that it lists", () => {
    const two = [resolver("r1"), resolver("r2")];
    const existing = of(two).slices;
    const servedBy = (id: string) => says(() => all, id === "r1" ? "other" : "target-deployment")(id);
    assert.deepEqual(of(two, { existing, servedBy }).resolvers, ["r2"]);
    assert.deepEqual(of(two, { existing, servedBy: says(() => all, "other") }), { slices: [], resolvers: [] });
  });

  it("leads a Service that got another port to the former one until a resolver serves the new one", () => {
    const [http] = routes;
    const moved = [{ ...http!, resolverPort: 10_042 }];
    const existing = of([resolver("r1")], { routes: [http!] }).slices;
    const now = (...ports: number[]) =>
      of([resolver("r1")], {
        routes: moved,
        existing,
        servedBy: (id) => {
          const told = ports.map((resolverPort): [number, ServedRoute] => [
            resolverPort,
            { namespace: "shop", service: "target-deployment", resolverPort, port: 80 },
          ]);
          return { id, ports: new Set(ports), routes: new Map(told) };
        },
      }).slices;
    assert.deepEqual(now(10_000), existing);
    assert.deepEqual(now(10_000, 10_042)[0]?.ports?.[0]?.port, 10_042);
    assert.deepEqual(now(), [], "it serves neither");
    const unknown = { routes: moved, existing, servedBy: () => undefined };
    assert.deepEqual(of([resolver("r1")], unknown).slices, existing, "its session broke");
  });

  it("keeps no resolver without a session on a port that no slice leads to at it", () => {
    const [http] = routes;
    const moved = [{ ...http!, resolverPort: 10_042 }];
    const existing = of([resolver("r1"), resolver("r2")], { routes: [http!] }).slices;
    const route = { namespace: "shop", service: "target-deployment", resolverPort: 10_042, port: 80 };
    const servedBy = (id: string) =>
      id === "r2" ? { id, ports: new Set([10_042]), routes: new Map([[10_042, route]]) } : undefined;
    const { resolvers } = of([resolver("r1"), resolver("r2")], { routes: moved, existing, servedBy });
    assert.deepEqual(resolvers, ["r2"]);
  });

  it("makes one slice for each address family that both have", () => {
    const dual = [resolver("r1", { addresses: { IPv4: "10.0.0.1", IPv6: "fd00::1" } }), resolver("r2")];
    const both = of(dual, { service: service({ ipFamilies: ["IPv4", "IPv6"] }) });
    assert.deepEqual(
      both.slices.map(({ metadata, addressType, endpoints }) => [
        metadata.name.slice(-4),
        addressType,
        endpoints.length,
      ]),
      [
        ["9e87", "IPv4", 2],
        ["87-6", "IPv6", 1],
      ],
    );
    const six = of(dual, { service: service({ ipFamilies: ["IPv6"] }) });
    assert.deepEqual([six.slices.length, six.resolvers], [1, ["r1"]]);
  });

  it("makes none without resolvers or routes", () => {
    assert.deepEqual(of([]), { slices: [], resolvers: [] });
    assert.deepEqual(of([resolver("r1")], { routes: [] }), { slices: [], resolvers: [] });
  });
});

describe("takenPortsNote", () => {
  it("says where another Service is served, and nothing of resolvers that do not say", () => {
    const note = (...resolvers: ServedPorts[]) => takenPortsNote(resolvers, "shop/target-deployment", routes);
    const old = says(() => all);
    const ours = says(() => all, "target-deployment");
    const theirs = says(() => all, "other");
    assert.deepEqual(note(old("r1"), ours("r2")), []);
    const [first] = note(theirs("r2"), ours("r1"));
    assert.equal(first?.type, "ResolverPortTaken");
    assert.match(first.message, /^port 10000 of r2 leads to shop\/other, port 10007 of r2 leads to shop\/other: /);
    assert.match(note(theirs("r1"), theirs("r2"))[0]!.message, /port 10007 of r1 leads to shop\/other and 1 more: /);
  });
});

describe("rendezvous", () => {
  const names = fc.uniqueArray(fc.integer({ min: 1, max: 200 }), { minLength: 1, maxLength: 20 });
  const pick = (key: string, ids: number[]) =>
    rendezvous(
      key,
      ids.map((id) => resolver(`r${id}`)),
      3,
    ).map(({ id }) => id);

  it("takes up to three, whatever the order", () => {
    fc.assert(
      fc.property(names, fc.string(), (ids, key) => {
        const chosen = pick(key, ids);
        assert.equal(chosen.length, Math.min(3, ids.length));
        assert.deepEqual(pick(key, ids.toReversed()), chosen);
      }),
    );
  });

  it("replaces only a resolver that left, and changes nothing for one that was not chosen", () => {
    fc.assert(
      fc.property(names, fc.string(), fc.nat(), (ids, key, at) => {
        const before = pick(key, ids);
        const gone = ids[at % ids.length]!;
        const after = pick(
          key,
          ids.filter((id) => id !== gone),
        );
        const stayed = before.filter((id) => id !== `r${gone}`);
        assert.ok(stayed.every((id) => after.includes(id)));
        assert.ok(after.filter((id) => !before.includes(id)).length <= 1);
      }),
    );
  });

  it("spreads services over resolvers", () => {
    const counts = new Map<string, number>();
    const ids = Array.from({ length: 10 }, (_, i) => i + 1);
    for (let i = 0; i < 1_000; i++)
      for (const id of pick(`ns/svc-${i}`, ids)) counts.set(id, (counts.get(id) ?? 0) + 1);
    for (const count of counts.values()) assert.ok(count > 200 && count < 400, String(count));
  });
});

describe("sliceMatches", () => {
  const desired = of([resolver("r1"), resolver("r2")]).slices[0]!;
  const stored = (change: (slice: EndpointSlice) => void = () => {}) => {
    const copy = structuredClone(desired);
    copy.metadata.resourceVersion = "7";
    copy.metadata.uid = "u";
    change(copy);
    return copy;
  };

  it("overlooks order, defaults and what others added", () => {
    assert.ok(sliceMatches(stored(), desired));
    assert.ok(
      sliceMatches(
        stored((s) => s.endpoints.reverse()),
        desired,
      ),
    );
    assert.ok(
      sliceMatches(
        stored((s) => s.ports.reverse()),
        desired,
      ),
    );
    assert.ok(
      sliceMatches(
        stored((s) => Object.assign(s.metadata.labels!, { other: "x" })),
        desired,
      ),
    );
    assert.ok(
      sliceMatches(
        stored((s) => delete s.endpoints[0]!.conditions),
        desired,
      ),
    );
    assert.ok(
      sliceMatches(
        stored((s) => delete s.ports[1]!.name),
        desired,
      ),
    );
  });

  const differences: [string, (slice: EndpointSlice) => void][] = [
    [
      "an address",
      (s) => {
        s.endpoints[0]!.addresses = ["10.0.0.99"];
      },
    ],
    ["an endpoint less", (s) => void s.endpoints.pop()],
    [
      "readiness",
      (s) => {
        s.endpoints[0]!.conditions = { ready: false };
      },
    ],
    [
      "a node",
      (s) => {
        s.endpoints[0]!.nodeName = "other";
      },
    ],
    [
      "a targetRef",
      (s) => {
        s.endpoints[0]!.targetRef = { kind: "Pod", name: "r1" };
      },
    ],
    [
      "a port",
      (s) => {
        s.ports[0]!.port = 8012;
      },
    ],
    [
      "a port name",
      (s) => {
        s.ports[0]!.name = "web";
      },
    ],
    ["an appProtocol", (s) => void delete s.ports[0]!.appProtocol],
    ["no owner", (s) => void delete s.metadata.ownerReferences],
    ["a label", (s) => void delete s.metadata.labels!["endpointslice.kubernetes.io/managed-by"]],
  ];
  for (const [name, change] of differences) {
    it(`sees ${name}`, () => assert.equal(sliceMatches(stored(change), desired), false));
  }

  it("compares sets", () => {
    assert.ok(slicesMatch([stored()], [desired]));
    assert.ok(slicesMatch([], []));
    assert.equal(slicesMatch([], [desired]), false);
    const other = stored((s) => Object.assign(s.metadata, { name: "old" }));
    assert.equal(slicesMatch([stored(), other], [desired]), false);
  });
});

describe("ResolverSet", () => {
  const slice = (name: string, addressType: "IPv4" | "IPv6", endpoints: EndpointSlice["endpoints"]): EndpointSlice => ({
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name, namespace: "elasti", resourceVersion: `${Math.random()}` },
    addressType,
    endpoints,
    ports: [],
  });
  const pod = (name: string) => ({ kind: "Pod", name });

  it("joins the addresses of both families, and takes the worse of two opinions", () => {
    assert.deepEqual(
      endpointsOf([
        slice("a", "IPv4", [
          { addresses: ["10.0.0.1"], targetRef: pod("r1"), nodeName: "n1", zone: "z1" },
          { addresses: ["10.0.0.2"], targetRef: pod("r2"), conditions: { ready: false, terminating: true } },
          { addresses: ["10.0.0.3"], conditions: { ready: true } },
        ]),
        slice("b", "IPv6", [{ addresses: ["fd00::1"], targetRef: pod("r1"), conditions: { ready: false } }]),
      ]),
      [
        {
          id: "10.0.0.3",
          addresses: { IPv4: "10.0.0.3" },
          ready: true,
          terminating: false,
          node: undefined,
          zone: undefined,
        },
        {
          id: "r1",
          addresses: { IPv4: "10.0.0.1", IPv6: "fd00::1" },
          ready: false,
          terminating: false,
          node: "n1",
          zone: "z1",
        },
        {
          id: "r2",
          addresses: { IPv4: "10.0.0.2" },
          ready: false,
          terminating: true,
          node: undefined,
          zone: undefined,
        },
      ],
    );
  });

  it("requires whoever is listed, in whatever state, and whoever has a session", async () => {
    const store = new Store<EndpointSlice>();
    const closed: true[] = [];
    const sessions = ["r9"];
    const set = new ResolverSet(
      { store, synced: true, start: async () => {}, close: async () => void closed.push(true) },
      () => sessions,
    );
    let changes = 0;
    set.onChange(() => {
      changes += 1;
    });
    assert.deepEqual(set.required(), ["r9"]);
    store.upsert(
      slice("a", "IPv4", [
        { addresses: ["10.0.0.1"], targetRef: pod("r1") },
        { addresses: ["10.0.0.2"], targetRef: pod("r2"), conditions: { ready: false, terminating: true } },
      ]),
    );
    assert.deepEqual(set.required(), ["r1", "r2", "r9"]);
    assert.equal(changes, 1);
    await set.close();
    assert.equal(closed.length, 1);
  });
});
