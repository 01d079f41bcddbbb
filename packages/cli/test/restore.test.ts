import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ElastiService, FINALIZER, PARK_KEY, privateServiceName, resolverSliceName } from "@elasti/api";
import { ManualClock } from "@elasti/core/testing";
import { type KubeClient, type KubeObject, kubeErrors, type Lease, type Scale } from "@elasti/kube";
import { stopDeployment, takeLease, waitUntilFree } from "../src/restore/leadership.ts";
import { leftoversOf, type Snapshot, unclaimed } from "../src/restore/leftovers.ts";
import { parseRestore } from "../src/restore/options.ts";
import { resultOf, textOf } from "../src/restore/result.ts";

const es = (name: string, more: { finalizers?: string[]; status?: ElastiService["status"] } = {}): ElastiService => ({
  apiVersion: "elasti.truefoundry.com/v1alpha1",
  kind: "ElastiService",
  metadata: { name, namespace: "shop", uid: `uid-${name}`, finalizers: more.finalizers ?? [FINALIZER] },
  spec: { service: name, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name } },
  ...(more.status === undefined ? {} : { status: more.status }),
});
const object = (kind: string, name: string, metadata: Partial<KubeObject["metadata"]> = {}): KubeObject => ({
  apiVersion: "v1",
  kind,
  metadata: { name, namespace: "shop", ...metadata },
});
const service = (name: string, selector: Record<string, string>, metadata: Partial<KubeObject["metadata"]> = {}) => ({
  ...object("Service", name, metadata),
  spec: { selector },
});
const slice = (name: string, labels: Record<string, string>) => ({
  ...object("EndpointSlice", name, { labels }),
  addressType: "IPv4" as const,
  endpoints: [],
  ports: [],
});
const policy = { by: "p", max: { was: 4, now: 9 } };
const recorded = (record: unknown) => ({
  annotations: { "elasti.truefoundry.com/autoscaler-former": JSON.stringify(record) },
});
const scaled = (name: string, record: unknown) => ({
  ...object("ScaledObject", name, recorded(record)),
  spec: { scaleTargetRef: { name: "web" } },
});
const none: Snapshot = { elastiServices: [], services: [], slices: [], scaledObjects: [], replicas: new Map() };
const linesOf = (snapshot: Partial<Snapshot>): string[] =>
  leftoversOf({ ...none, ...snapshot }).map(({ kind, object }) => `${kind} ${object}`);

describe("what a restore has to put back", () => {
  const owner = { apiVersion: "elasti.truefoundry.com/v1alpha1", kind: "ElastiService", name: "web", uid: "u" };
  const kubernetes = slice("web-x2x", { "kubernetes.io/service-name": "web" });
  const cases: [what: string, snapshot: Partial<Snapshot>, lines: string[]][] = [
    ["nothing of a cluster without Elasti", { services: [service("web", { app: "web" })], slices: [kubernetes] }, []],
    [
      "a target at zero, and the finalizer",
      { elastiServices: [es("web")], replicas: new Map([["shop/web", 0]]) },
      ["target Deployment shop/web", "finalizer ElastiService shop/web"],
    ],
    [
      "no target that is up, or that is not there",
      { elastiServices: [es("web"), es("gone")], replicas: new Map([["shop/web", 1]]) },
      ["finalizer ElastiService shop/gone", "finalizer ElastiService shop/web"],
    ],
    [
      "no target that its owner put to zero after we let it go",
      {
        elastiServices: [es("web", { finalizers: [], status: { phase: "Serving" } })],
        replicas: new Map([["shop/web", 0]]),
      },
      [],
    ],
    [
      "a park and the epoch, also where no ElastiService is left",
      {
        services: [
          service("web", { app: "web", [PARK_KEY]: "true" }, { annotations: { "elasti.truefoundry.com/epoch": "4" } }),
        ],
      },
      ["park Service shop/web", "epoch Service shop/web"],
    ],
    [
      "our slice by its label",
      {
        slices: [
          kubernetes,
          slice("any", {
            "kubernetes.io/service-name": "web",
            "endpointslice.kubernetes.io/managed-by": "elasti-operator",
          }),
        ],
      },
      ["slice EndpointSlice shop/any"],
    ],
    [
      "KubeElasti's slice by its name",
      { slices: [slice(resolverSliceName("web"), { "kubernetes.io/service-name": "web" })] },
      [`slice EndpointSlice shop/${resolverSliceName("web")}`],
    ],
    [
      "private Services, ours by its label and KubeElasti's by its owner",
      {
        elastiServices: [es("web", { finalizers: [] })],
        services: [
          service(privateServiceName("web"), { app: "web" }, { ownerReferences: [owner] }),
          service("any", { app: "b" }, { labels: { "elasti.truefoundry.com/service": "b" } }),
        ],
      },
      ["private Service shop/any", `private Service shop/${privateServiceName("web")}`],
    ],
    [
      "annotations for KEDA",
      {
        scaledObjects: [
          {
            ...object("ScaledObject", "so", { annotations: { "elasti.truefoundry.com/autoscaler-former": "{}" } }),
            spec: { scaleTargetRef: { name: "web" } },
          },
          {
            ...object("ScaledObject", "own", { annotations: { "autoscaling.keda.sh/paused": "true" } }),
            spec: { scaleTargetRef: { name: "x" } },
          },
        ],
      },
      ["autoscaler ScaledObject shop/so"],
    ],
    [
      "bounds that a policy has moved, beside what a sleep has told KEDA, or alone",
      {
        scaledObjects: [scaled("both", { "autoscaling.keda.sh/paused": { was: null, now: "true" }, policy })],
        hpas: [
          {
            ...object("HorizontalPodAutoscaler", "web", recorded({ policy })),
            spec: { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" }, maxReplicas: 9 },
          },
        ],
      },
      ["autoscaler ScaledObject shop/both", "bounds HorizontalPodAutoscaler shop/web", "bounds ScaledObject shop/both"],
    ],
    ["nothing of a policy's record that cannot be read", { scaledObjects: [scaled("so", { policy: "?" })] }, []],
  ];
  for (const [what, snapshot, lines] of cases) it(what, () => assert.deepEqual(linesOf(snapshot), lines));

  it("leaves to KubeElasti, while its operator runs, what was not taken up from it", () => {
    const taken = es("taken", { status: { phase: "Serving" } });
    const snapshot = { elastiServices: [es("theirs"), taken], replicas: new Map([["shop/theirs", 0]]) };
    assert.deepEqual(linesOf({ ...snapshot, beside: true }), ["finalizer ElastiService shop/taken"]);
    assert.equal(linesOf({ ...snapshot, beside: false }).length, 3);
  });

  it("claims an ElastiService without our finalizer whose Service is parked, and no other", () => {
    const snapshot: Snapshot = {
      ...none,
      elastiServices: [es("web", { finalizers: [] }), es("free", { finalizers: [] }), es("held")],
      services: [service("web", { [PARK_KEY]: "true" }), service("held", { [PARK_KEY]: "true" })],
    };
    const claimed = unclaimed(snapshot, leftoversOf(snapshot));
    assert.deepEqual(
      claimed.map(({ metadata }) => metadata.name),
      ["web"],
    );
  });
});

describe("what is told of a restore", () => {
  const before = leftoversOf({ ...none, elastiServices: [es("web")], replicas: new Map([["shop/web", 0]]) });
  const [target, finalizer] = [
    before.filter(({ kind }) => kind === "target"),
    before.filter(({ kind }) => kind === "finalizer"),
  ];
  const told = { before, notReady: [], notes: [], failureOf: () => "not allowed" };

  it("a dry run names what it would do, and is no failure", () => {
    const result = resultOf({ ...told, after: undefined });
    assert.equal(result.exitCode, 0);
    assert.match(textOf(result), /Deployment shop\/web: would be woken\n.*2 to put back; nothing was changed/s);
  });
  it("0 when nothing is left", () => {
    const result = resultOf({ ...told, after: [] });
    assert.equal(result.exitCode, 0);
    assert.match(
      textOf(result),
      /Deployment shop\/web: woken\nElastiService shop\/web: finalizer taken off\n2 put back/,
    );
  });
  it("1 when a target could not be woken, or has no ready pod", () => {
    assert.equal(resultOf({ ...told, after: target }).exitCode, 1);
    const notReady = [{ elastiService: "shop/web", reason: "CrashLoop: exits" }];
    const result = resultOf({ ...told, after: [], notReady });
    assert.equal(result.exitCode, 1);
    assert.match(textOf(result), /NOT READY {2}ElastiService shop\/web: its target was woken, and CrashLoop: exits/);
  });
  it("2 when something of ours is left, with the reason", () => {
    const result = resultOf({ ...told, after: finalizer });
    assert.equal(result.exitCode, 2);
    assert.match(textOf(result), /^LEFT {2}ElastiService shop\/web: has the finalizer: not allowed$/m);
  });
  it("2 when the bounds of a policy are left, with the reason", () => {
    const bounds = leftoversOf({ ...none, scaledObjects: [scaled("so", { policy })] });
    const result = resultOf({ ...told, before: bounds, after: bounds });
    assert.equal(result.exitCode, 2);
    assert.match(textOf(result), /^LEFT {2}ScaledObject shop\/so: has the bounds of a policy: not allowed$/m);
  });
});

describe("the arguments of elasti restore", () => {
  it("are understood", () => {
    const parsed = parseRestore(["-n", "a", "--namespace=b", "--stop-operator", "--timeout", "30s", "--json"], {});
    assert.equal(parsed.kind, "run");
    if (parsed.kind !== "run") return;
    const { namespaces, stopOperator, timeoutMs, json, systemNamespace, leaseName } = parsed.options;
    assert.deepEqual(
      { namespaces, stopOperator, timeoutMs, json, systemNamespace, leaseName },
      {
        namespaces: ["a", "b"],
        stopOperator: "elasti-operator",
        timeoutMs: 30_000,
        json: true,
        systemNamespace: undefined,
        leaseName: "elasti-operator",
      },
    );
  });
  it("take what they leave out from the pod's environment", () => {
    const env = { POD_NAMESPACE: "system", ELASTI_LEASE_NAME: "other", ELASTI_RESOLVER_SERVICE: "r" };
    const parsed = parseRestore(["--stop-operator=op"], env);
    assert.equal(parsed.kind, "run");
    if (parsed.kind !== "run") return;
    const { systemNamespace, leaseName, resolverService, stopOperator } = parsed.options;
    assert.deepEqual([systemNamespace, leaseName, resolverService, stopOperator], ["system", "other", "r", "op"]);
  });
  for (const [args, message] of [
    [["--timeout", "soon"], /"soon" is not a duration/],
    [["--timeout", "1h"], /--timeout: expected 1s to 540s/],
    [["--purge", "-n", "a"], /leave out --namespace/],
    [["--nonsense"], /--nonsense/],
  ] as const)
    it(`are refused: ${args.join(" ")}`, () => {
      const parsed = parseRestore(args, {});
      assert.match(parsed.kind === "wrong" ? parsed.message : "", message);
    });
});

/** A Lease that its holder may renew; what else a client can do is not asked for. */
function leases(spec: Lease["spec"] | undefined): {
  client: KubeClient;
  lease: () => Lease;
  renew: (spec: Partial<Lease["spec"]>) => void;
} {
  let version = 1;
  let lease = { ...object("Lease", "elasti-operator"), spec: spec ?? {} };
  const client = {
    async get() {
      if (spec === undefined) throw kubeErrors.ELASTI_KUBE_NOT_FOUND("no Lease");
      return structuredClone({ ...lease, metadata: { ...lease.metadata, resourceVersion: String(version) } });
    },
    async replace(_: unknown, wanted: Lease) {
      if (wanted.metadata.resourceVersion !== String(version)) throw kubeErrors.ELASTI_KUBE_CONFLICT("renewed");
      version += 1;
      lease = wanted;
      return wanted;
    },
  };
  return {
    client: client as unknown as KubeClient,
    lease: () => lease,
    renew: (more) => {
      version += 1;
      lease = { ...lease, spec: { ...lease.spec, ...more } };
    },
  };
}

describe("whether an operator runs", () => {
  const held = { holderIdentity: "operator-0", leaseDurationSeconds: 15, renewTime: "1" };
  const start = (spec: Lease["spec"] | undefined, atMostMs = 0) => {
    const clock = new ManualClock();
    const made = leases(spec);
    const options = { client: made.client, clock, namespace: "shop", name: "elasti-operator", say: () => {} };
    return { ...made, options, clock, free: () => waitUntilFree(options, atMostMs) };
  };

  it("is seen at once where there is no Lease, or nobody holds it", async () => {
    await start(undefined).free();
    await start({ ...held, holderIdentity: "" }).free();
  });
  it("is not when the Lease is not renewed for as long as it lasts", async () => {
    const { free, clock } = start(held);
    let done = false;
    const waiting = free().then(() => {
      done = true;
    });
    await clock.advance(14_000);
    assert.equal(done, false);
    await clock.advance(2_000);
    await waiting;
  });
  it("is when the Lease is renewed", async () => {
    const { free, clock, renew } = start(held);
    const waiting = assert.rejects(free(), /operator operator-0 runs and renews/);
    await clock.advance(500);
    renew({ renewTime: "2" });
    await clock.advance(1_000);
    await waiting;
  });
  it("is waited for when it was told to stop, until it gives the Lease back", async () => {
    const { free, clock, renew } = start(held, 60_000);
    const waiting = free();
    for (const time of ["2", "3", "4"]) {
      renew({ renewTime: time });
      await clock.advance(2_000);
    }
    renew({ holderIdentity: "" });
    await clock.advance(1_000);
    await waiting;
  });
  it("ends when the Lease is taken from it, once it must have noticed", async () => {
    const { options, clock, lease } = start(held);
    let done = false;
    const taken = takeLease(options, "restore").then(() => {
      done = true;
    });
    await clock.advance(14_000);
    const { holderIdentity, leaseDurationSeconds } = lease().spec;
    assert.deepEqual([holderIdentity, leaseDurationSeconds, done], ["restore", 30, false]);
    await clock.advance(1_000);
    await taken;
  });
  it("ends with its Deployment, which can be brought back", async () => {
    const writes: number[] = [];
    let replicas = 2;
    let conflicts = 1;
    const client = {
      get: async () => ({ ...object("Scale", "op", { resourceVersion: "1" }), spec: { replicas } }) as Scale,
      patch: async (...args: unknown[]) => {
        if (conflicts-- > 0) throw kubeErrors.ELASTI_KUBE_CONFLICT("status was written");
        replicas = (args[4] as Scale).spec.replicas ?? 0;
        writes.push(replicas);
        return { ...object("Scale", "op", { resourceVersion: "2" }), spec: { replicas } };
      },
    };
    const stopped = await stopDeployment(client as unknown as KubeClient, "shop", "op");
    assert.equal(stopped?.replicas, 2);
    await stopped?.restart();
    assert.deepEqual(writes, [0, 2]);
  });
});
