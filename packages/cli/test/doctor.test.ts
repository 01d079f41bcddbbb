import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Condition, elastiServiceCrd, PARK_KEY, POLICIES_CHECK } from "@elasti/api";
import { judge, proxied } from "../src/doctor/ask-prometheus.ts";
import { examine } from "../src/doctor/doctor.ts";
import { exitCodeOf, textOf } from "../src/doctor/finding.ts";
import { blocking, type NetworkPolicy } from "../src/doctor/network-policy.ts";
import { parseDoctor } from "../src/doctor/options.ts";
import type { Definition, DoctorSnapshot, Right } from "../src/doctor/snapshot.ts";
import { asleep, es, healthy, ourSlice, pod, privateService, service, slice, timeText } from "./doctor-kit.ts";

type Change = Partial<DoctorSnapshot>;
/** `error NoLeader Lease system/elasti-operator` */
const found = (change: Change, base = healthy): string[] =>
  examine({ ...base, ...change }).map(({ severity, reason, object }) => `${severity} ${reason} ${object}`);
const messagesOf = (change: Change): string =>
  examine({ ...healthy, ...change })
    .map(({ message, mend }) => `${message} -> ${mend}`)
    .join("\n");

/** @param without names of properties that the schema lacks, below `status` */
function olderDefinition(without: readonly string[], annotations: Record<string, string> = {}): Definition {
  const crd = structuredClone(elastiServiceCrd()) as unknown as Definition;
  const schema = crd.spec.versions[0]?.schema?.openAPIV3Schema as {
    properties: { status: { properties: Record<string, unknown> } };
  };
  for (const name of without) delete schema.properties.status.properties[name];
  crd.metadata.annotations = annotations;
  return crd;
}

const condition = (type: string, status: Condition["status"], reason: string): Condition => ({
  type,
  status,
  reason,
  message: `of ${reason}`,
  lastTransitionTime: timeText(0),
});

const policy = (namespace: string, spec: NetworkPolicy["spec"]): NetworkPolicy => ({
  apiVersion: "networking.k8s.io/v1",
  kind: "NetworkPolicy",
  metadata: { name: "p", namespace },
  spec,
});
const denyAll = policy("shop", { podSelector: {}, policyTypes: ["Ingress"] });
const fromSystem = (port?: number): NetworkPolicy =>
  policy("shop", {
    podSelector: { matchLabels: { tier: "front" } },
    ingress: [
      {
        from: [{ namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "system" } } }],
        ...(port === undefined ? {} : { ports: [{ protocol: "TCP", port }] }),
      },
    ],
  });

const scaled = (name: string, record: unknown) => ({
  apiVersion: "keda.sh/v1alpha1",
  kind: "ScaledObject",
  metadata: {
    ...{ name, namespace: "shop" },
    annotations: { "elasti.truefoundry.com/autoscaler-former": JSON.stringify(record) },
  },
  spec: { scaleTargetRef: { name: "web" } },
});
const paused = { "autoscaling.keda.sh/paused": { was: null, now: "true" } };
const moved = { policy: { by: "p", max: { was: 4, now: 9 } } };

/** What a client in another namespace may send to. */
const letOut = (to: readonly object[], port?: number): NetworkPolicy =>
  policy("front", {
    podSelector: { matchLabels: { app: "client" } },
    policyTypes: ["Egress"],
    egress: [{ ...(to.length === 0 ? {} : { to: [...to] }), ...(port === undefined ? {} : { ports: [{ port }] }) }],
  });
const toPods = {
  namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "shop" } },
  podSelector: { matchLabels: { app: "web" } },
};
const toOthers = { podSelector: { matchLabels: { app: "web" } } };
const toResolvers = { namespaceSelector: { matchLabels: { "kubernetes.io/metadata.name": "system" } } };

const right = (change: Partial<Right>): Right => ({
  account: "system:serviceaccount:system:elasti-operator",
  verb: "patch",
  group: "apps",
  resource: "deployments/scale",
  namespace: undefined,
  purpose: "it wakes targets",
  allowed: false,
  ...change,
});

const web = "Service shop/web";
const own = "ElastiService shop/web";
const cases: Readonly<
  Record<string, readonly [what: string, change: Change, expected: readonly string[], base?: DoctorSnapshot][]>
> = {
  "the installation": [
    ["is fine", {}, []],
    ["is fine with a service asleep", {}, [], asleep],
    ["is not there", { system: undefined, lease: undefined }, ["error NotInstalled Elasti"]],
    ["has no leader", { lease: undefined }, ["error NoLeader Lease system/elasti-operator"]],
    [
      "has a leader that renews no more",
      { lease: { ...healthy.lease!, spec: { ...healthy.lease!.spec, renewTime: timeText(600_000) } } },
      ["error NoLeader Lease system/elasti-operator"],
    ],
    [
      "has a leader whose clock is half a minute behind",
      { lease: { ...healthy.lease!, spec: { ...healthy.lease!.spec, renewTime: timeText(30_000) } } },
      [],
    ],
    [
      "lacks the CRD",
      { definition: undefined },
      ["error CrdMissing CustomResourceDefinition elastiservices.elasti.truefoundry.com"],
    ],
    [
      "has a CRD that is older",
      { definition: olderDefinition(["epoch", "phase"]) },
      ["error CrdOutdated CustomResourceDefinition elastiservices.elasti.truefoundry.com"],
    ],
    [
      "has a CRD that goes with its Helm release",
      { definition: olderDefinition([], { "meta.helm.sh/release-name": "elasti" }) },
      ["warning CrdNotKept CustomResourceDefinition elastiservices.elasti.truefoundry.com"],
    ],
    [
      "has a CRD that stays",
      { definition: olderDefinition([], { "meta.helm.sh/release-name": "elasti", "helm.sh/resource-policy": "keep" }) },
      [],
    ],
    [
      "has no Service of the resolvers",
      { resolver: { ...healthy.resolver, service: undefined } },
      ["error ResolverServiceMissing Service system/elasti-resolver"],
    ],
    [
      "has no resolver that is ready",
      { resolver: { ...healthy.resolver, pods: [{ ...pod("r", "10.0.0.1"), status: {} }] } },
      ["error NoResolver Service system/elasti-resolver"],
    ],
    [
      "has one operator only",
      { operator: { ...healthy.operator, pods: [pod("o", "10.0.1.1")] } },
      ["warning OneReplica Service system/elasti-operator"],
    ],
    [
      "has a resolver that its Service does not list",
      { resolver: { ...healthy.resolver, pods: [...healthy.resolver.pods, pod("stray", "10.0.0.9")] } },
      ["error PodsNotPublished Service system/elasti-resolver"],
    ],
    [
      "has a resolver that is not reached",
      { resolver: { ...healthy.resolver, unreachable: new Map([["elasti-resolver-0", "i/o timeout"]]) } },
      ["error ResolverUnreachable Pod system/elasti-resolver-0"],
    ],
    [
      "has no database for its policies",
      {
        operator: {
          ...healthy.operator,
          failing: new Map([
            ["elasti-operator-1", [{ name: POLICIES_CHECK, reason: "policies are not evaluated: no database" }]],
          ]),
        },
      },
      ["warning PoliciesPaused Pod system/elasti-operator-1"],
    ],
    [
      "runs beside KubeElasti",
      { kubeElasti: ["elasti/elasti-operator-controller-manager"] },
      ["warning OtherOperator Deployment elasti/elasti-operator-controller-manager"],
    ],
    [
      "lacks a right",
      { rights: [right({}), right({ allowed: true, verb: "get" })] },
      ["error PermissionMissing ServiceAccount system/elasti-operator"],
    ],
    [
      "keeps its definition and its Lease to itself, as it does from its own pods",
      {
        definition: undefined,
        lease: undefined,
        unread: ["customresourcedefinitions", "leases"].map((what) => ({ what, why: "not allowed" })),
      },
      ["info NotRead customresourcedefinitions", "info NotRead leases"],
    ],
    ["could not be read in part", { unread: [{ what: "nodes", why: "not allowed" }] }, ["info NotRead nodes"]],
  ],
  routing: [
    ["asleep, and nobody answers", { slices: [slice("web", [])] }, [`error NotLedToResolvers ${web}`], asleep],
    [
      "parked, and nobody answers",
      { services: [service("web", { selector: { app: "web", [PARK_KEY]: "true" } }), privateService()], slices: [] },
      [`error ParkedWithoutSlice ${web}`, `warning ParkedWhileServing ${web}`],
    ],
    [
      "parked in mode Always, as it should be",
      {
        elastiServices: [es({ routingMode: "Always" })],
        services: [service("web", { selector: { app: "web", [PARK_KEY]: "true" } }), privateService()],
        slices: [slice("web", []), ourSlice()],
      },
      [],
    ],
    [
      "awake, and led to resolvers too",
      { slices: [slice("web", ["10.0.2.1"]), ourSlice()] },
      [`warning SliceWhileServing ${web}`],
    ],
    [
      "led to a resolver that is gone",
      { slices: [slice("web", []), ourSlice(["10.0.0.1", "10.0.0.77"])] },
      [`error SliceListsTheGone ${web}`],
      asleep,
    ],
    [
      "led to the port of another service",
      { slices: [slice("web", []), ourSlice(["10.0.0.1"], 10_007)] },
      [`error SliceOfOtherPorts ${web}`],
      asleep,
    ],
    [
      "without its private Service",
      { services: [service("web")] },
      ["error PrivateServiceMissing Service shop/elasti-web-pvt-4b5e57f6eb"],
    ],
    [
      "put back, and taken up by nobody",
      { elastiServices: [{ ...es(), metadata: { name: "web", namespace: "shop" } }], services: [service("web")] },
      [],
    ],
    [
      "with a private Service of other pods",
      { services: [service("web"), privateService({ selector: { app: "other" } })] },
      ["error PrivateServiceDiffers Service shop/elasti-web-pvt-4b5e57f6eb"],
    ],
    [
      "with KubeElasti's private Service",
      { services: [service("web"), privateService({ clusterIP: "10.96.0.10" })] },
      ["warning PrivateServiceNotHeadless Service shop/elasti-web-pvt-4b5e57f6eb"],
    ],
    [
      "stuck in Waking",
      {
        elastiServices: [es({ phase: "Waking", phaseTime: timeText(3_600_000) })],
        slices: [slice("web", []), ourSlice()],
      },
      [`warning Stuck ${web}`],
    ],
    [
      "left behind",
      { elastiServices: [], services: [service("web", { selector: { [PARK_KEY]: "true" } })], slices: [ourSlice()] },
      [
        `error LeftBehind ${web}`,
        "warning LeftBehind EndpointSlice shop/elasti-web-endpointslice-to-resolver-4b5e57f6eb",
      ],
    ],
    [
      "told to KEDA, left behind; bounds that a policy has moved are not",
      {
        elastiServices: [],
        services: [],
        slices: [],
        scaledObjects: [scaled("sleep", paused), scaled("policy", moved)],
      },
      ["warning LeftBehind ScaledObject shop/sleep"],
    ],
  ],
  consumers: [
    ["a Service that is missing", { services: [privateService()] }, [`error ServiceMissing ${web}`]],
    [
      "a Local policy with a resolver on every node",
      { services: [service("web", { internalTrafficPolicy: "Local" }), privateService()] },
      [],
    ],
    [
      "a Local policy with a node that has none",
      { nodes: ["node-1", "node-2"], services: [service("web", { internalTrafficPolicy: "Local" }), privateService()] },
      [`error LocalTrafficPolicy ${web}`],
    ],
    [
      "a load balancer that looks for pods",
      {
        services: [
          {
            ...service("web"),
            metadata: { name: "web", namespace: "shop", annotations: { "cloud.google.com/neg": '{"ingress": true}' } },
          },
          privateService(),
        ],
      },
      [`warning IgnoresSlices ${web}`],
    ],
    [
      "an ambient mesh",
      { namespaces: new Map([["shop", { "istio.io/dataplane-mode": "ambient" }]]) },
      [`warning IgnoresSlices ${web}`],
    ],
  ],
  "what the operator says": [
    [
      "somebody contests",
      { elastiServices: [es({ conditions: [condition("Contested", "True", "Contested")] })] },
      [`warning Contested ${own}`],
    ],
    [
      "somebody reverts the park",
      { elastiServices: [es({ conditions: [condition("SelectorReverted", "True", "SelectorReverted")] })] },
      [`warning SelectorReverted ${own}`],
    ],
    [
      "it is not ready",
      { elastiServices: [es({ conditions: [condition("Ready", "False", "TargetMissing")] })] },
      [`error TargetMissing ${own}`],
    ],
    [
      "routing is not proven",
      { elastiServices: [es({ conditions: [condition("RoutingSupported", "False", "RoutingUnsupported")] })] },
      [`warning RoutingUnsupported ${own}`],
    ],
    [
      "a trigger gives no verdict",
      { elastiServices: [es({ conditions: [condition("Idle", "Unknown", "NoData")] })] },
      [`warning NoData ${own}`],
    ],
    ["it is in use", { elastiServices: [es({ conditions: [condition("Idle", "False", "InFlight")] })] }, []],
    ["nobody has taken it up", { elastiServices: [{ ...es(), status: {} }] }, [`warning NotLookedAfter ${own}`]],
  ],
  triggers: [
    [
      "a Prometheus that does not answer",
      {
        triggers: [
          {
            elastiService: es(),
            field: "triggers[0]",
            server: "http://p",
            answer: { kind: "failure", message: "refused" },
          },
        ],
      },
      [`warning PrometheusUnreachable ${own}`],
    ],
    [
      "no series",
      {
        triggers: [
          { elastiService: es(), field: "triggers[0]", server: "http://p", answer: { kind: "series", count: 0 } },
        ],
      },
      [`warning NoData ${own}`],
    ],
    [
      "several series",
      {
        triggers: [
          { elastiService: es(), field: "triggers[0]", server: "http://p", answer: { kind: "series", count: 3 } },
        ],
      },
      [`warning SeveralSeries ${own}`],
    ],
    [
      "one series",
      {
        triggers: [
          { elastiService: es(), field: "triggers[0]", server: "http://p", answer: { kind: "series", count: 1 } },
        ],
      },
      [],
    ],
  ],
  NetworkPolicies: [
    ["a namespace that lets nobody in", { policies: [denyAll] }, [`error NetworkPolicyBlocks ${web}`]],
    ["one that lets resolvers in", { policies: [denyAll, fromSystem()] }, []],
    ["one that lets them in on the port of the pods", { policies: [denyAll, fromSystem(8080)] }, []],
    [
      "one that lets them in on another port",
      { policies: [denyAll, fromSystem(9090)] },
      [`error NetworkPolicyBlocks ${web}`],
    ],
    [
      "resolvers that let nobody in",
      { policies: [policy("system", { podSelector: { matchLabels: { app: "elasti-resolver" } } })] },
      [`error NetworkPolicyBlocks ${web}`],
    ],
    [
      "an operator that lets nobody in",
      { policies: [policy("system", { podSelector: { matchLabels: { app: "elasti-operator" } } })] },
      ["error NetworkPolicyBlocks Service system/elasti-operator"],
    ],
    [
      "resolvers that may send nothing",
      {
        policies: [
          policy("system", { podSelector: { matchLabels: { app: "elasti-resolver" } }, policyTypes: ["Egress"] }),
        ],
      },
      ["error NetworkPolicyBlocks Service system/elasti-operator", `error NetworkPolicyBlocks ${web}`],
    ],
    [
      "clients that are let out to its pods, and not to resolvers",
      { policies: [letOut([toPods])] },
      [`error NetworkPolicyBlocks ${web}`],
    ],
    ["clients that are let out to both", { policies: [letOut([toPods, toResolvers])] }, []],
    ["clients that are let out to both by two policies", { policies: [letOut([toPods]), letOut([toResolvers])] }, []],
    [
      "clients that are let out on the ports of pods alone",
      { policies: [letOut([toPods], 8080)] },
      [`error NetworkPolicyBlocks ${web}`],
    ],
    ["pods that are let out to others", { policies: [letOut([toPods], 5432), letOut([toOthers])] }, []],
    ["pods that are let out to everybody", { policies: [letOut([])] }, []],
  ],
};

for (const [subject, table] of Object.entries(cases))
  describe(`the doctor on ${subject}`, () => {
    for (const [what, change, expected, base] of table)
      it(what, () => assert.deepEqual(found(change, base).sort(), [...expected].sort()));
  });

describe("what the doctor says", () => {
  it("names what is missing, and what to add", () => {
    assert.match(
      messagesOf({ definition: olderDefinition(["epoch"]) }),
      /it lacks status\.epoch, which the API server therefore drops/,
    );
    assert.match(
      messagesOf({ rights: [right({})] }),
      /may not patch deployments\/scale\.apps everywhere: .* -> add to its ClusterRole: \{apiGroups: \["apps"\], resources: \[deployments\/scale\], verbs: \[patch\]\}/,
    );
    assert.match(
      messagesOf({ policies: [denyAll] }),
      /NetworkPolicy shop\/p let nothing pass on port 8080 -> add a policy in shop/,
    );
    assert.match(
      messagesOf({ policies: [letOut([toPods])] }),
      /NetworkPolicy front\/p lets them out to its pods only -> add to it egress to .*: system}, podSelector {app:elasti-resolver}, TCP 10000 to 29999/,
    );
  });
  it("exits with 2 for an error, 1 for a warning, 0 for what could not be looked at", () => {
    const codeOf = (change: Change) => exitCodeOf(examine({ ...healthy, ...change }));
    assert.equal(codeOf({ lease: undefined }), 2);
    assert.equal(codeOf({ operator: { ...healthy.operator, pods: [pod("o", "10.0.1.1")] } }), 1);
    assert.equal(codeOf({ unread: [{ what: "nodes", why: "no" }] }), 0);
  });
  it("shows the worst first, and sums up", () => {
    const text = textOf(examine({ ...healthy, lease: undefined, unread: [{ what: "nodes", why: "no" }] }), "all");
    assert.match(
      text,
      /^ERROR {3}Lease system\/elasti-operator: NoLeader\n.*\n.*-> .*\nINFO {4}nodes: NotRead\n.*no\n1 errors, 0 warnings, 1 not looked at; all\n$/,
    );
  });
});

describe("a NetworkPolicy", () => {
  const here = { namespace: "shop", namespaceLabels: { team: "a" }, labels: { app: "web" } };
  const there = { namespace: "system", namespaceLabels: { team: "b" }, labels: { app: "r" }, addresses: ["10.0.0.1"] };
  const passes = (spec: NetworkPolicy["spec"], port: number | string = 8080): boolean =>
    blocking([policy("shop", spec)], "Ingress", here, there, port).length === 0;
  const from = (peer: object) => ({ podSelector: {}, ingress: [{ from: [peer] }] });
  const rows: [what: string, passed: boolean, spec: NetworkPolicy["spec"], port?: number | string][] = [
    ["of other pods does not count", true, { podSelector: { matchLabels: { app: "db" } } }],
    ["of egress alone does not count", true, { podSelector: {}, policyTypes: ["Egress"] }],
    ["with an empty rule lets everybody in", true, { podSelector: {}, ingress: [{}] }],
    ["with a podSelector alone means its own namespace", false, from({ podSelector: {} })],
    ["with an empty namespaceSelector means all", true, from({ namespaceSelector: {} })],
    [
      "wants both selectors of one peer",
      false,
      from({ namespaceSelector: {}, podSelector: { matchLabels: { app: "x" } } }),
    ],
    [
      "knows In",
      true,
      from({ namespaceSelector: { matchExpressions: [{ key: "team", operator: "In", values: ["b"] }] } }),
    ],
    [
      "knows NotIn",
      false,
      from({ namespaceSelector: { matchExpressions: [{ key: "team", operator: "NotIn", values: ["b"] }] } }),
    ],
    ["knows Exists", true, from({ namespaceSelector: { matchExpressions: [{ key: "team", operator: "Exists" }] } })],
    [
      "knows DoesNotExist",
      false,
      from({ namespaceSelector: { matchExpressions: [{ key: "team", operator: "DoesNotExist" }] } }),
    ],
    ["knows blocks of addresses", true, from({ ipBlock: { cidr: "10.0.0.0/8" } })],
    ["knows what is cut out of them", false, from({ ipBlock: { cidr: "10.0.0.0/8", except: ["10.0.0.0/24"] } })],
    ["knows ranges of ports", true, { podSelector: {}, ingress: [{ ports: [{ port: 8000, endPort: 9000 }] }] }],
    ["of UDP lets no TCP in", false, { podSelector: {}, ingress: [{ ports: [{ protocol: "UDP", port: 8080 }] }] }],
    [
      "with a named port is taken for the right one",
      true,
      { podSelector: {}, ingress: [{ ports: [{ port: "http" }] }] },
    ],
    ["with another name is not", false, { podSelector: {}, ingress: [{ ports: [{ port: "http" }] }] }, "grpc"],
  ];
  for (const [what, passed, spec, port] of rows) it(what, () => assert.equal(passes(spec, port), passed));
});

describe("the Prometheus of a trigger", () => {
  it("is asked by the API server's proxy where it is a Service of the cluster", () => {
    assert.deepEqual(proxied("http://prometheus.monitoring:9090/"), {
      namespace: "monitoring",
      service: "http:prometheus:9090",
      path: "",
    });
    assert.deepEqual(proxied("https://p.m.svc.cluster.local/prom"), {
      namespace: "m",
      service: "https:p:443",
      path: "/prom",
    });
    for (const other of ["http://10.0.0.1:9090", "http://prometheus:9090", "http://prometheus.example.com", "nonsense"])
      assert.equal(proxied(other), undefined, other);
  });
  it("is understood", () => {
    const data = (resultType: string, result: unknown) => judge({ status: "success", data: { resultType, result } });
    assert.deepEqual(data("vector", [1, 2]), { kind: "series", count: 2 });
    assert.deepEqual(data("scalar", [1, "2"]), { kind: "series", count: 1 });
    assert.equal(data("matrix", []).kind, "failure");
    assert.deepEqual(judge({ status: "error", error: "bad_data" }), { kind: "failure", message: "bad_data" });
    assert.equal(judge("<html>").kind, "failure");
  });
});

describe("the arguments of elasti doctor", () => {
  it("are understood, and completed from the environment", () => {
    const parsed = parseDoctor(["-n", "shop", "--service", "web", "--json"], { ELASTI_LEASE_NAME: "l" });
    assert.equal(parsed.kind, "run");
    if (parsed.kind !== "run") return;
    const { namespaces, service: only, json, hints } = parsed.options;
    assert.deepEqual([namespaces, only, json, hints.leaseName], [["shop"], "web", true, "l"]);
    assert.match(parseDoctor(["--what"], {}).kind === "wrong" ? "wrong" : "", /wrong/);
  });
});
