import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import {
  createKubeClient,
  type Deployment,
  type KubeClient,
  type KubeResponse,
  type Pod,
  type PodSpec,
  resources,
} from "@elasti/kube";
import { type ApiServer, startApiServer } from "@elasti/local";
import { ResourceSource, type WorkloadReference, type WorkloadState } from "../../src/index.ts";
import { parseQuantity } from "../../src/metrics/quantity.ts";

const signal = new AbortController().signal;
const clock = new ManualClock(Date.UTC(2026, 0, 1, 12));
const minutesAgo = (minutes: number) => new Date(clock.now() - minutes * 60_000).toISOString();

describe("quantities", () => {
  it("are read as Kubernetes writes them", () => {
    for (const [text, value] of [
      ["250m", 0.25],
      ["1", 1],
      ["1.5", 1.5],
      ["128Mi", 134_217_728],
      ["1e3", 1_000],
      ["12E", 12e18],
      ["1Ki", 1_024],
      ["123456789n", 0.123456789],
      ["0", 0],
    ] as const) {
      assert.equal(parseQuantity(text)?.toPrecision(12), value.toPrecision(12), text);
    }
    for (const text of ["", "m", "1 m", "1mi", "NaN", "1e", "--1", null, {}])
      assert.equal(parseQuantity(text), undefined);
  });
});

describe("metrics of pods' resources", () => {
  let api: ApiServer;
  let client: KubeClient;
  let source: ResourceSource;
  /** As metrics-server answers: lists without a resourceVersion. */
  let metrics: (selector: string | undefined) => KubeResponse;
  let asked: string[];
  /** Deployments by name, as a watch has them. */
  let watched: Map<string, Deployment>;

  const workload = ({ namespace, name, kind }: WorkloadReference): WorkloadState => {
    const seen = kind === "Deployment" ? watched.get(name) : undefined;
    if (seen === undefined) return { kind: "missing", message: `${kind} ${name} does not exist` };
    const { metadata, spec } = seen;
    const ref = { namespace, name, resource: resources.deployments };
    return { kind: "found", ref, replicas: spec.replicas ?? 1, resourceVersion: metadata.resourceVersion ?? "" };
  };

  before(async () => {
    api = await startApiServer({ tokens: { secret: "operator" } });
    client = createKubeClient({
      cluster: { server: api.url, token: async () => "secret" },
      transport: async (request, next) => {
        asked?.push(`${request.verb} ${request.path}`);
        if (!request.path.startsWith("/apis/metrics.k8s.io/")) return await next(request);
        assert.equal(request.path, "/apis/metrics.k8s.io/v1beta1/namespaces/default/pods");
        return metrics(request.query.labelSelector);
      },
    });
    watched = new Map();
    source = new ResourceSource({ client, sources: { workload }, clock, keepMs: 1_000 });
    await deploy("web", { containers: [container("app", { cpu: "500m", memory: "100Mi" })] });
    await deploy("other", { containers: [container("app", { cpu: "1" })] });
  });
  after(async () => {
    await source?.close();
    await client?.close();
    await api?.close();
  });

  const container = (name: string, requests?: Record<string, string>) => ({
    name,
    image: "app",
    ...(requests === undefined ? {} : { resources: { requests } }),
  });
  const deploy = async (name: string, spec: PodSpec) => {
    const labels = { app: name };
    const made = await client.create<Deployment>(resources.deployments, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name, namespace: "default" },
      spec: { replicas: 2, selector: { matchLabels: labels }, template: { metadata: { labels }, spec } },
    });
    watched.set(name, made);
    for (const pod of ["a", "b"]) await run(`${name}-${pod}`, name, spec, minutesAgo(60));
  };
  const run = async (
    name: string,
    app: string,
    spec: PodSpec,
    startTime: string,
    phase: "Running" | "Succeeded" = "Running",
  ) => {
    const metadata = { name, namespace: "default", labels: { app } };
    const created = await client.create<Pod>(resources.pods, { apiVersion: "v1", kind: "Pod", metadata, spec });
    const statusOf = (containers: PodSpec["containers"] = []) =>
      containers.map((one) => ({ name: one.name, ready: true, restartCount: 0, state: { running: {} } }));
    const status: NonNullable<Pod["status"]> = { phase, startTime, containerStatuses: statusOf(spec.containers) };
    const beside = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
    if (beside.length > 0) status.initContainerStatuses = statusOf(beside);
    await client.replace<Pod>(resources.pods, { ...created, status }, { subresource: "status" });
  };
  const measured = (
    usage: Record<string, readonly Record<string, string>[]>,
    timestamp = minutesAgo(0),
  ): KubeResponse => ({
    status: 200,
    body: {
      kind: "PodMetricsList",
      apiVersion: "metrics.k8s.io/v1beta1",
      metadata: {},
      items: Object.entries(usage).map(([name, containers]) => ({
        metadata: { name, namespace: "default" },
        timestamp,
        window: "15s",
        containers: containers.map((amounts, n) => ({ name: n === 0 ? "app" : "proxy", usage: amounts })),
      })),
    },
  });
  /** In a round of its own. */
  const read = async (
    resource: "cpu" | "memory",
    statistic?: "utilization" | "average_value",
    target: object = { name: "web" },
  ) => {
    await clock.advance(1_000);
    asked = [];
    const metric = { source: "resource", resource, ...(statistic === undefined ? {} : { statistic }) } as const;
    return await source.read(metric, { namespace: "default", name: "web", ...target }, clock.now(), signal);
  };
  const number = async (...of: Parameters<typeof read>) => {
    const sample = await read(...of);
    return sample.kind === "value" ? sample.value : sample;
  };
  const unknown = async (reason: string, message: RegExp, ...of: Parameters<typeof read>) => {
    const sample = await read(...of);
    assert.ok(sample.kind === "unknown", JSON.stringify(sample));
    assert.equal(sample.reason, reason, sample.message);
    assert.match(sample.message, message);
  };

  it("are percent of what the pods request, or an average", async () => {
    metrics = (selector) => {
      assert.equal(selector, "app=web");
      return measured({
        "web-a": [{ cpu: "100m", memory: "50Mi" }],
        "web-b": [{ cpu: "300000u", memory: "100Mi" }],
      });
    };
    assert.equal(await number("cpu"), 40);
    assert.equal(await number("memory", "utilization"), 75);
    assert.equal(await number("cpu", "average_value"), 0.2);
    assert.equal(await number("memory", "average_value"), 75 * 2 ** 20);
  });

  const calls = [
    "list /api/v1/namespaces/default/pods",
    "raw /apis/metrics.k8s.io/v1beta1/namespaces/default/pods",
  ] as const;

  it("are asked once per target and round, for whatever is wanted of them", async () => {
    metrics = () =>
      measured({ "web-a": [{ cpu: "100m", memory: "50Mi" }], "web-b": [{ cpu: "100m", memory: "50Mi" }] });
    await read("cpu");
    const target = { namespace: "default", name: "web" };
    await Promise.all(
      (["cpu", "memory"] as const).map((resource) => source.read({ source: "resource", resource }, target, 0, signal)),
    );
    assert.deepEqual(asked, calls);
  });

  it("are two calls while the target stays as it is: which pods are its own is asked anew when it has changed", async () => {
    const usage = { "web-a": [{ cpu: "100m" }], "web-b": [{ cpu: "100m" }] };
    metrics = () => measured(usage);
    await read("cpu");
    assert.equal(await number("cpu"), 20);
    assert.deepEqual(asked, calls);
    // what is changed is seen by the watch a moment later
    const patched = await client.patch<Deployment>(resources.deployments, "default", "web", "merge", {
      metadata: { annotations: { note: "moved" } },
    });
    await read("cpu");
    assert.deepEqual(asked, calls);
    watched.set("web", patched);
    assert.equal(await number("cpu"), 20);
    assert.deepEqual(asked, ["get /apis/apps/v1/namespaces/default/deployments/web/scale", ...calls]);
    await read("cpu");
    assert.deepEqual(asked, calls);
  });

  it("are those of the new pods when a target of the same name has another selector", async () => {
    const one = { containers: [container("app", { cpu: "500m" })] };
    await deploy("again", one);
    metrics = (selector) => {
      assert.equal(selector, "app=again");
      return measured({ "again-a": [{ cpu: "100m" }], "again-b": [{ cpu: "100m" }] });
    };
    assert.equal(await number("cpu", "utilization", { name: "again" }), 20);
    await client.delete(resources.deployments, "default", "again");
    const labels = { app: "again", tier: "new" };
    const made = await client.create<Deployment>(resources.deployments, {
      apiVersion: "apps/v1",
      kind: "Deployment",
      metadata: { name: "again", namespace: "default" },
      spec: { replicas: 1, selector: { matchLabels: labels }, template: { metadata: { labels }, spec: one } },
    });
    watched.set("again", made);
    metrics = (selector) => assert.fail(`asked for ${selector}`);
    await unknown("PodMetricsMissing", /no pod of Deployment default\/again is running/, "cpu", "utilization", {
      name: "again",
    });
    assert.equal(asked.length, 2, "its scale and its pods");
  });

  it("ask nothing where the target has no replicas", async () => {
    const web = watched.get("web")!;
    watched.set("web", { ...web, spec: { ...web.spec, replicas: 0 } });
    await unknown("PodMetricsMissing", /no pod of Deployment default\/web is running/, "cpu");
    assert.deepEqual(asked, []);
    watched.set("web", web);
  });

  it("are those of the workload behind the target", async () => {
    metrics = (selector) => {
      assert.equal(selector, "app=other");
      return measured({ "other-a": [{ cpu: "250m" }], "other-b": [{ cpu: "250m" }] });
    };
    const workload = { namespace: "default", name: "other", apiVersion: "apps/v1", kind: "Deployment" };
    assert.equal(await number("cpu", "utilization", { workload }), 25);
    assert.equal(await number("cpu", "utilization", { name: "other", kind: "Deployment", api_version: "apps/v1" }), 25);
  });

  it("are not known where a container requests nothing", async () => {
    metrics = () => measured({ "other-a": [{ memory: "1Mi" }], "other-b": [{ memory: "1Mi" }] });
    await unknown(
      "ResourceRequestsMissing",
      /container app of pod other-[ab] requests no memory/,
      "memory",
      "utilization",
      {
        name: "other",
      },
    );
    assert.equal(await number("memory", "average_value", { name: "other" }), 2 ** 20);
  });

  it("are not known while a pod is not measured, unless it has just begun", async () => {
    const usage = { "web-a": [{ cpu: "100m" }] };
    metrics = () => measured(usage);
    await unknown("PodMetricsMissing", /pod web-b has not been measured/, "cpu");
    metrics = () => measured({ ...usage, "web-b": [{ cpu: "100m" }] });
    const spec = { containers: [container("app", { cpu: "500m" })] };
    await run("web-new", "web", spec, minutesAgo(1));
    await run("web-done", "web", spec, minutesAgo(60), "Succeeded");
    assert.equal(await number("cpu"), 20);
    metrics = () => measured({ ...usage, "web-b": [{ cpu: "100m" }] }, minutesAgo(10));
    await unknown("PodMetricsMissing", /has not been measured/, "cpu");
    metrics = () => measured({ ...usage, "web-b": [{ memory: "1Mi" }] });
    await unknown("PodMetricsMissing", /cpu of pod web-b has not been measured/, "cpu", "average_value");
    await client.delete(resources.pods, "default", "web-new", { gracePeriodSeconds: 0 });
  });

  it("are not known while what was measured is of a pod that had the name before", async () => {
    const usage = { "web-a": [{ cpu: "100m" }], "web-b": [{ cpu: "100m" }] };
    metrics = () => measured(usage, minutesAgo(4));
    assert.equal(await number("cpu"), 20);
    const restarted = async (name: string, minutes: number) => {
      await client.delete(resources.pods, "default", name, { gracePeriodSeconds: 0 });
      await run(name, "web", { containers: [container("app", { cpu: "500m" })] }, minutesAgo(minutes));
    };
    await restarted("web-b", 3);
    await unknown("PodMetricsMissing", /pod web-b has not been measured/, "cpu");
    // one that has just begun is left out, like everything that has not been measured
    await restarted("web-b", 1);
    metrics = () => measured({ ...usage, "web-b": [{ cpu: "500m" }] }, minutesAgo(2));
    assert.equal(await number("cpu"), 20);
    await restarted("web-b", 60);
  });

  it("count the containers that stay beside the others", async () => {
    const beside = { ...container("proxy", { cpu: "500m" }), restartPolicy: "Always" };
    const spec = { containers: [container("app", { cpu: "500m" })], initContainers: [beside, container("init")] };
    await deploy("meshed", spec);
    metrics = () =>
      measured({ "meshed-a": [{ cpu: "100m" }, { cpu: "300m" }], "meshed-b": [{ cpu: "100m" }, { cpu: "300m" }] });
    assert.equal(await number("cpu", "utilization", { name: "meshed" }), 40);
    // metrics-server leaves a container out whose counters went back: less than all is no answer
    metrics = () => measured({ "meshed-a": [{ cpu: "100m" }], "meshed-b": [{ cpu: "100m" }, { cpu: "300m" }] });
    await unknown("PodMetricsMissing", /container proxy of pod meshed-a has not/, "cpu", "utilization", {
      name: "meshed",
    });
  });

  it("are percent of what a pod requests as a whole, where it says so", async () => {
    const spec = { containers: [container("app")], resources: { requests: { cpu: "2" } } };
    await deploy("whole", spec);
    metrics = () => measured({ "whole-a": [{ cpu: "1", memory: "1Mi" }], "whole-b": [{ cpu: "500m" }] });
    assert.equal(await number("cpu", "utilization", { name: "whole" }), 37.5);
    await unknown("ResourceRequestsMissing", /container app of pod whole-[ab]/, "memory", "utilization", {
      name: "whole",
    });
  });

  it("are not known where nobody measures, or there is nothing to measure", async () => {
    metrics = () => ({ status: 404, body: "404 page not found" });
    await unknown("PodMetricsUnavailable", /is metrics-server installed/, "cpu");
    metrics = () => ({ status: 503, body: "no endpoints" });
    await unknown("PodMetricsUnavailable", /no endpoints/, "cpu");
    metrics = () => measured({});
    await unknown("TargetNotMeasurable", /nobody does not exist/, "cpu", "utilization", { name: "nobody" });
    watched.set("gone", watched.get("web")!);
    await client.delete(resources.deployments, "default", "web");
    await unknown("TargetNotMeasurable", /not found/, "cpu", "utilization", { name: "gone" });
  });
});
