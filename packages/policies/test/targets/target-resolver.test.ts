import assert from "node:assert/strict";
import { beforeEach, suite, test } from "node:test";
import { API_VERSION, type ElastiService, KIND } from "@elasti/api";
import type { HorizontalPodAutoscaler, ScaledObject } from "@elasti/kube";
import { type Policy, TargetResolver, TargetTypes } from "../../src/index.ts";
import { Cluster } from "../engine/world.ts";

const deployment = (name: string) => ({ namespace: "shop", name, apiVersion: "apps/v1", kind: "Deployment" });
const elastiService = (name: string, target: string): ElastiService => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name, namespace: "shop" },
  spec: { service: name, scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: target } },
});
const scaledObject = (name: string, scaleTargetRef: ScaledObject["spec"]["scaleTargetRef"]): ScaledObject => ({
  apiVersion: "keda.sh/v1alpha1",
  kind: "ScaledObject",
  metadata: { name, namespace: "shop" },
  spec: { scaleTargetRef },
});
const hpa = (name: string, target: string): HorizontalPodAutoscaler => ({
  apiVersion: "autoscaling/v2",
  kind: "HorizontalPodAutoscaler",
  metadata: { name, namespace: "shop" },
  spec: { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: target }, maxReplicas: 3 },
});

suite("what a target_ref stands for", () => {
  let cluster: Cluster;
  let resolver: TargetResolver;
  beforeEach(() => {
    cluster = new Cluster();
    resolver = new TargetResolver(
      TargetTypes.parse({
        "cdc-worker": { executor: "scale", kind: "StatefulSet" },
        trino: { executor: "keda", api_version: "example.com/v1", kind: "Trino" },
      }),
      cluster,
    );
  });
  const resolve = (target_type: string, ref: Partial<NonNullable<Policy["target_ref"]>> | null = {}) =>
    resolver.resolve({ target_type, target_ref: ref === null ? null : { namespace: "shop", name: "web", ...ref } });
  const found = (...args: Parameters<typeof resolve>) => {
    const resolved = resolve(...args);
    assert.equal(resolved.kind, "found", JSON.stringify(resolved));
    return resolved;
  };

  test("a workload is what it says of itself, and a Deployment where it says nothing", () => {
    assert.deepEqual(found("workload").workload, deployment("web"));
    const rollout = { api_version: "argoproj.io/v1alpha1", kind: "Rollout" };
    assert.deepEqual(found("workload", rollout).workload, {
      ...{ namespace: "shop", name: "web", apiVersion: "argoproj.io/v1alpha1", kind: "Rollout" },
    });
  });

  test("a type of one's own is of the kind that is configured", () => {
    assert.deepEqual(found("cdc-worker").workload, { ...deployment("web"), kind: "StatefulSet" });
  });

  test("an ElastiService stands for its target, and is waited for", () => {
    assert.deepEqual(resolve("elastiservice"), {
      ...{ kind: "missing", message: "ElastiService shop/web does not exist" },
    });
    const es = elastiService("web", "web-v2");
    cluster.elastiServices.push(es);
    const resolved = found("elastiservice");
    assert.deepEqual(resolved.workload, deployment("web-v2"));
    assert.deepEqual(resolved.elastiServices, [es]);
  });

  test("a ScaledObject stands for its target, a Deployment where it says no kind", () => {
    assert.equal(resolve("scaledobject").kind, "missing");
    const object = scaledObject("web", { name: "jobs" });
    cluster.autoscalers.push(object);
    const resolved = found("scaledobject");
    assert.deepEqual(resolved.workload, deployment("jobs"));
    assert.deepEqual(resolved.writer, { kind: "keda", object });
  });

  test("of several ScaledObjects the one that is named is moved", () => {
    const [first, second] = [scaledObject("a", { name: "jobs" }), scaledObject("b", { name: "jobs" })];
    cluster.autoscalers.push(first, second);
    assert.deepEqual(found("scaledobject", { name: "b" }).writer, { kind: "keda", object: second });
    assert.deepEqual(found("workload", { name: "jobs" }).writer, { kind: "keda", object: first });
  });

  test("who has the target decides who is written to: KEDA before an HPA, replicas where there is neither", () => {
    assert.deepEqual(found("workload").writer, { kind: "scale" });
    const own = hpa("web-hpa", "web");
    cluster.autoscalers.push(own, hpa("other", "jobs"));
    assert.deepEqual(found("workload").writer, { kind: "hpa", object: own });
    const keda = scaledObject("so", { name: "web" });
    cluster.autoscalers.push(keda);
    assert.deepEqual(found("workload").writer, { kind: "keda", object: keda });
  });

  test("the executor keda waits for a ScaledObject, and takes no HPA in its place", () => {
    cluster.autoscalers.push(hpa("web-hpa", "web"));
    assert.deepEqual(resolve("trino"), { kind: "missing", message: "no ScaledObject scales shop/web" });
    cluster.autoscalers.push(scaledObject("so", { apiVersion: "example.com/v1", kind: "Trino", name: "web" }));
    assert.equal(found("trino").writer.kind, "keda");
  });

  test("while it is not known which autoscalers there are, neither is the target", () => {
    cluster.unsynced = true;
    assert.equal(resolve("workload").kind, "unknown");
  });

  test("a type that is no longer configured, and a reference that is not given, are waited for with the reason", () => {
    const gone = resolve("fleet");
    assert.equal(gone.kind, "missing");
    assert.match(
      gone.kind === "missing" ? gone.message : "",
      /fleet is not configured: expected elastiservice, workload, scaledobject, cdc-worker, trino/,
    );
    assert.deepEqual(resolve("workload", null), { kind: "missing", message: "target_ref is not given" });
  });

  test("says of a type whether it names an ElastiService", () => {
    const is = (target_type: string): boolean => resolver.isElastiService({ target_type });
    assert.deepEqual(["elastiservice", "workload", "scaledobject", "fleet"].map(is), [true, false, false, false]);
  });
});
