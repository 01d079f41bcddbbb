import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Deployment, type KubeObject, type Pod, type Resource, resources, type Service } from "@elasti/kube";
import { type Answer, request } from "../e2e/client.ts";
import type { Sleeper } from "../e2e/sleeper.ts";
import { OPERATOR, RESOLVER, startWorld, type World } from "../e2e/world.ts";
import { AuditLog } from "./audit-log.ts";
import { asPreviousChart, fastValues, isThere, Release, removeDefinition, restricted } from "./chart.ts";
import { auditedNamespaces } from "./control-plane.ts";
import { compare, grantsOf } from "./granted.ts";
import { addresses, Places } from "./places.ts";
import { PrometheusDouble } from "./prometheus-double.ts";

const [namespace] = auditedNamespaces;
const crdName = "elastiservices.elasti.truefoundry.com";
/** No node lags behind here. */
const quick = { routing: { graceSeconds: 0 } };
const configMapsLeft = new Set(["kube-root-ca.crt"]);

/** Granted, and not used by any test on this cluster; each with the reason. */
const unusedHere: Readonly<Record<string, string>> = {
  "get services": "read when somebody else takes the park off, to name him",
  "get deployments.apps": "read when somebody else raises it from zero, to name him",
  "get statefulsets.apps": "read when somebody else raises it from zero, to name him",
  "get statefulsets/scale.apps": "read when a write lost against another",
  "update services": "used on a private Service that somebody edited, or that KubeElasti left",
  "patch events": "used on an event that repeats",
  "list events": "used when a pod fits on no node",
  "watch events": "used when a pod does not start",
  "update elastiservices/finalizers.elasti.truefoundry.com": "asked for only where owner references are checked",
  "update services/finalizers": "asked for only where owner references are checked",
  "create endpointslices/restricted.discovery.k8s.io": "asked for on OpenShift only",
  "get rollouts.argoproj.io": "Argo Rollouts is not installed",
  "list rollouts.argoproj.io": "Argo Rollouts is not installed",
  "watch rollouts.argoproj.io": "Argo Rollouts is not installed",
  "get rollouts/scale.argoproj.io": "Argo Rollouts is not installed",
  "patch rollouts/scale.argoproj.io": "Argo Rollouts is not installed",
  "get scaledobjects.keda.sh": "KEDA is not installed",
  "list scaledobjects.keda.sh": "KEDA is not installed",
  "watch scaledobjects.keda.sh": "KEDA is not installed",
  "patch scaledobjects.keda.sh": "KEDA is not installed",
};

/** The life of a release in a namespace of the restricted level, with services asleep and requests held at every turn. */
describe("a release of the chart", () => {
  const audit = new AuditLog(join(new Places(process.env.ELASTI_TEST_NODE ?? "").logs, "audit.log"));
  let world: World;
  let release: Release;
  let web: Sleeper;
  let prometheus: PrometheusDouble;

  before(async () => {
    await removeDefinition(crdName);
    prometheus = await PrometheusDouble.start();
    const serverAddress = `http://prometheus.default.svc.${addresses.domain}:9090`;
    release = new Release({ namespace, values: [fastValues, { prometheus: { serverAddress } }], labels: restricted });
    // all that was before is of no interest
    await audit.read();
    world = await startWorld({ installer: release });
  });
  after(async () => {
    // which the world does not know of
    await world?.client.delete(kinds.StatefulSet!, "default", "kept").catch(() => {});
    await world?.close();
    await prometheus?.close();
  });

  const versions = async (): Promise<string[]> => {
    const pods = [...(await world.pods(OPERATOR)), ...(await world.pods(RESOLVER))];
    return pods.map(({ metadata }) => metadata.labels?.["helm.sh/chart"] ?? "");
  };

  /** Requests that are held over a change of the release; the target comes only after it. */
  async function heldOver(sleeper: Sleeper, change: () => Promise<void>): Promise<Answer[]> {
    await hold(sleeper);
    const asked = Array.from({ length: 20 }, () => sleeper.ask("/", { timeoutMs: 280_000 }));
    await world.holds(20);
    await change();
    await letGo(sleeper);
    return await Promise.all(asked);
  }

  /** The scheduler leaves its pods alone until `letGo`. */
  const gates = (gate: boolean): object => ({
    spec: { template: { spec: { schedulingGates: gate ? [{ name: "elasti.test/wait" }] : null } } },
  });
  const hold = (sleeper: Sleeper): Promise<KubeObject> =>
    world.client.patch(resources.deployments, sleeper.namespace, sleeper.name, "merge", gates(true));
  const letGo = (sleeper: Sleeper): Promise<KubeObject> =>
    world.client.patch(resources.deployments, sleeper.namespace, sleeper.name, "merge", gates(false));

  /** The sample app as a StatefulSet, asleep. */
  async function asStatefulSet(name: string): Promise<void> {
    const service = await world.app({
      name,
      edit: ({ deployment }) => {
        deployment.metadata.name = `${name}-unused`;
      },
    });
    const { spec } = await world.client.get<Deployment>(resources.deployments, "default", `${name}-unused`);
    const { selector, template } = spec;
    await world.client.create(kinds.StatefulSet!, {
      apiVersion: "apps/v1",
      kind: "StatefulSet",
      metadata: { name, namespace: "default" },
      spec: { replicas: 0, selector, template, serviceName: name },
    } as KubeObject);
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "StatefulSet", name };
    await world.elastiService(name, { service: name, scaleTargetRef, ...quick });
    await world.backends({ namespace: "default", name: service.metadata.name }, (ports) => ports.length > 0);
  }

  /** A Service that leads to a server of this machine. */
  async function serve(name: string, port: number, { hostname, port: at }: URL): Promise<void> {
    const metadata = { name, namespace: "default" };
    await world.client.create(resources.services, {
      apiVersion: "v1",
      kind: "Service",
      metadata,
      spec: { ports: [{ port, targetPort: Number(at) }] },
    } as KubeObject);
    await world.client.create(resources.endpointSlices, {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { ...metadata, labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: [{ port: Number(at) }],
      endpoints: [{ addresses: [hostname] }],
    } as KubeObject);
    await world.backends(metadata, (ports) => ports.length > 0);
  }

  it("has its pods ready under the restricted level of pod security, two of each", async () => {
    for (const component of [OPERATOR, RESOLVER]) {
      const ready = (pod: Pod) =>
        pod.status?.conditions?.some(({ type, status }) => type === "Ready" && status === "True");
      const pods = await world.pods(component);
      assert.equal(pods.filter(ready).length, 2, component);
    }
  });

  it("wakes a service, by its address and by its host name, and lets it sleep", async () => {
    web = await world.sleeper({ name: "web", spec: { cooldownPeriod: 1, ...quick } });
    await world.sleeper({ name: "other", spec: quick });
    assert.equal((await web.ask()).status, 200);
    await web.sleeps({ after: await web.epoch(), timeoutMs: 60_000 });
    const { spec } = await world.client.get<KubeObject & { spec: { clusterIP: string } }>(
      resources.services,
      namespace,
      RESOLVER,
    );
    const byHost = await request({ host: spec.clusterIP, port: 8012, headers: { host: "other.default.svc" } });
    assert.equal(byHost.status, 200);
    await asStatefulSet("kept");
    const kept = await world.client.get<Service>(resources.services, "default", "kept");
    assert.equal((await request({ host: kept.spec.clusterIP ?? "", port: 8080 })).status, 200);
    await web.delete();
    await web.isRestored();
  });

  it("asks the Prometheus that its values name, by the DNS name of its Service", async () => {
    await serve("prometheus", 9090, new URL(prometheus.url));
    prometheus.set("by-name", 1);
    const metadata = { query: 'load{service="by-name"}', threshold: "0.5" };
    const spec = { cooldownPeriod: 1, triggers: [{ type: "prometheus" as const, metadata }], ...quick };
    const asking = await world.sleeper({ name: "by-name", replicas: 1, spec });
    await asking.condition("Idle", ({ reason }) => reason === "AtOrAboveThreshold");
    prometheus.set("by-name", 0);
    await asking.sleeps({ timeoutMs: 60_000 });
  });

  it("is upgraded from the chart before, and rolled back, with services asleep and requests held: none is lost", async () => {
    const [first, second] = [
      await world.sleeper({ name: "first", spec: quick }),
      await world.sleeper({ name: "second", spec: quick }),
    ];
    await asPreviousChart((folder) => release.upgrade({}, folder));
    assert.deepEqual([...new Set(await versions())], ["elasti-0.0.1"]);
    const upgraded = await heldOver(first, () => release.upgrade());
    assert.deepEqual(
      upgraded.map(({ status }) => status),
      Array.from({ length: 20 }, () => 200),
    );
    assert.ok(!(await versions()).includes("elasti-0.0.1"));
    assert.equal(await second.phase(), "Asleep");
    const back = await heldOver(second, () => release.rollback());
    assert.deepEqual(
      back.map(({ status }) => status),
      Array.from({ length: 20 }, () => 200),
    );
    assert.deepEqual([...new Set(await versions())], ["elasti-0.0.1"]);
    await release.upgrade();
  });

  it("does not begin an upgrade on a definition that is older, when it may not upgrade it", async () => {
    const crd = await world.client.get<Crd>(resources.customResourceDefinitions, undefined, crdName);
    const older = structuredClone(crd);
    delete older.spec.versions[0]?.schema.openAPIV3Schema.properties.status?.properties.epoch;
    await world.client.replace(resources.customResourceDefinitions, older);
    await assert.rejects(
      release.upgrade({ crd: { install: false } }),
      /belongs to release elasti in namespace elasti-audited and is older than this chart, it has no status\.epoch: kubectl/,
    );
    // and upgrades it where it may
    await release.upgrade();
    const now = await world.client.get<Crd>(resources.customResourceDefinitions, undefined, crdName);
    assert.ok(now.spec.versions[0]?.schema.openAPIV3Schema.properties.status?.properties.epoch !== undefined);
  });

  it("is uninstalled with services asleep: all are restored, and nothing is left but the definition", async (context) => {
    const asleep = await world.sleeper({ name: "asleep", spec: quick });
    const objects = await release.objects();
    await release.uninstall();
    const deployment = await asleep.deployment();
    assert.equal(deployment.spec.replicas, 1);
    assert.equal((await asleep.slices()).ours, undefined);
    assert.equal((await asleep.ask()).status, 200);
    const kept = await asleep.es();
    assert.deepEqual(kept.metadata.finalizers ?? [], []);
    assert.ok(await isThere(world.client.get(resources.customResourceDefinitions, undefined, crdName)));
    for (const { kind, metadata } of objects.filter((object) => object.kind !== "CustomResourceDefinition")) {
      const resource = kinds[kind];
      assert.ok(resource !== undefined, kind);
      const there = await isThere(
        world.client.get(resource, resource.namespaced ? metadata.namespace : undefined, metadata.name),
      );
      assert.equal(there, false, `${kind} ${metadata.name}`);
    }
    for (const resource of [resources.configMaps, resources.leases]) {
      const { items } = await world.client.list(resource, { namespace });
      const left = items.map(({ metadata }) => metadata.name).filter((name) => !configMapsLeft.has(name));
      assert.deepEqual(left, [], resource.plural);
    }
    // the hook has the roles of the operator, too
    const own = grantsOf(objects).filter(
      ({ account, role }) => account !== "elasti-restore" || role === "elasti-restore",
    );
    const { refused, unused, used } = compare(await audit.read(), own, namespace);
    context.diagnostic(`${used.length} grants used; not used here: ${unused.join(", ")}`);
    assert.deepEqual(refused, []);
    assert.deepEqual(
      unused.filter((grant) => unusedHere[grant.replace(/^[^ ]+ /, "")] === undefined),
      [],
    );
  });
});

interface Crd extends KubeObject {
  spec: {
    versions: {
      schema: { openAPIV3Schema: { properties: Record<string, { properties: Record<string, unknown> }> } };
    }[];
  };
}

const kind = (group: string, plural: string, name: string, namespaced = true): Resource => ({
  group,
  version: "v1",
  plural,
  kind: name,
  namespaced,
});
const rbac = "rbac.authorization.k8s.io";
/** Of what the chart makes. */
const kinds: Readonly<Record<string, Resource>> = {
  ServiceAccount: kind("", "serviceaccounts", "ServiceAccount"),
  Service: resources.services,
  Secret: kind("", "secrets", "Secret"),
  Deployment: resources.deployments,
  StatefulSet: kind("apps", "statefulsets", "StatefulSet"),
  Job: kind("batch", "jobs", "Job"),
  PodDisruptionBudget: kind("policy", "poddisruptionbudgets", "PodDisruptionBudget"),
  Role: kind(rbac, "roles", "Role"),
  RoleBinding: kind(rbac, "rolebindings", "RoleBinding"),
  ClusterRole: kind(rbac, "clusterroles", "ClusterRole", false),
  ClusterRoleBinding: kind(rbac, "clusterrolebindings", "ClusterRoleBinding", false),
};
