import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { kubeErrors, type Resource, resources, Store } from "@elasti/kube";
import { TargetCache, type TargetSource } from "../src/controller/target-cache.ts";
import { type TargetObject, trimTarget } from "../src/controller/target-object.ts";
import { MemoryKube } from "./kit/kube.ts";

class FakeSource implements TargetSource {
  readonly store = new Store<TargetObject>();
  readonly first = Promise.withResolvers<void>();
  synced = false;
  lastError: unknown;
  closed = false;
  start(): Promise<void> {
    return this.first.promise;
  }
  async close(): Promise<void> {
    this.closed = true;
  }
  listed(...objects: TargetObject[]): void {
    this.store.replaceAll(objects);
    this.synced = true;
    this.first.resolve();
  }
}

const deployment = (name: string, replicas?: number, extra: Partial<TargetObject> = {}): TargetObject => ({
  apiVersion: "apps/v1",
  kind: "Deployment",
  metadata: { name, namespace: "shop", resourceVersion: String(Math.random()), uid: `uid-${name}`, generation: 3 },
  spec: replicas === undefined ? {} : { replicas },
  status: { replicas: 2, observedGeneration: 2 },
  ...extra,
});

function setUp() {
  const clock = new ManualClock();
  const sources = new Map<string, FakeSource>();
  const made: string[] = [];
  const changes: string[] = [];
  const kinds = new Map<string, Resource | Error>([
    ["Deployment", resources.deployments],
    ["deployments", resources.deployments],
  ]);
  const cache = new TargetCache({
    client: new MemoryKube(),
    clock,
    logger: silentLogger,
    mapper: {
      mapScalable: async ({ kind }) => {
        const found = kinds.get(kind) ?? kubeErrors.ELASTI_KUBE_NO_KIND(`no kind ${kind}`);
        if (found instanceof Error) throw found;
        return found;
      },
    },
    sourceOf: (resource) => {
      const source = new FakeSource();
      sources.set(resource.plural, source);
      made.push(resource.plural);
      return source;
    },
  });
  cache.onChange((user) => changes.push(user));
  const target = (name: string, kind = "Deployment") => ({ namespace: "shop", apiVersion: "apps/v1", kind, name });
  const reason = (name: string, kind?: string) => {
    const answer = cache.get(target(name, kind));
    return answer.found ? "found" : answer.reason;
  };
  return { clock, sources, made, changes, kinds, cache, target, reason };
}

describe("TargetCache", () => {
  it("watches a kind while somebody wants it, once for all and for both spellings", async () => {
    const { cache, target, clock, made, sources } = setUp();
    cache.want("shop/a", target("web"));
    cache.want("shop/b", target("api"));
    cache.want("shop/c", target("db", "deployments"));
    await clock.advance(0);
    assert.deepEqual(made, ["deployments"]);
    cache.forget("shop/a");
    cache.forget("shop/b");
    assert.equal(sources.get("deployments")?.closed, false);
    cache.forget("shop/c");
    assert.equal(sources.get("deployments")?.closed, true);
    await cache.close();
    assert.equal(clock.pendingTimers, 0);
  });

  it("says pending before the first list, then what is there", async () => {
    const { cache, target, clock, sources, reason, changes } = setUp();
    assert.equal(reason("web"), "TargetPending");
    cache.want("shop/a", target("web"));
    assert.equal(reason("web"), "TargetPending");
    await clock.advance(0);
    assert.equal(reason("web"), "TargetPending");
    const web = deployment("web", 0);
    changes.length = 0;
    sources.get("deployments")?.listed(web);
    await clock.advance(0);
    assert.ok(changes.includes("shop/a"));
    assert.deepEqual(cache.get(target("web")), {
      found: true,
      ref: { namespace: "shop", resource: resources.deployments, name: "web" },
      replicas: 0,
      statusReplicas: 2,
      resourceVersion: web.metadata.resourceVersion,
      uid: "uid-web",
      generation: 3,
      observedGeneration: 2,
      template: undefined,
      rolloutServices: undefined,
      deleting: false,
      override: undefined,
      createFailure: undefined,
    });
    assert.deepEqual(cache.cached({ namespace: "shop", resource: resources.deployments, name: "web" }), {
      replicas: 0,
      resourceVersion: web.metadata.resourceVersion,
    });
    assert.equal(cache.cached({ namespace: "shop", resource: resources.deployments, name: "x" }), undefined);
  });

  it("finds a target that is made later, and tells only whom it concerns", async () => {
    const { cache, target, clock, sources, reason, changes } = setUp();
    cache.want("shop/a", target("web"));
    cache.want("shop/b", target("api"));
    await clock.advance(0);
    sources.get("deployments")?.listed();
    await clock.advance(0);
    assert.equal(reason("web"), "TargetMissing");
    changes.length = 0;
    sources.get("deployments")?.store.upsert(deployment("web"));
    assert.deepEqual(changes, ["shop/a"]);
    assert.equal(reason("web"), "found");
    sources.get("deployments")?.store.remove(deployment("web"));
    assert.equal(reason("web"), "TargetMissing");
  });

  it("follows an ElastiService to another target and another kind", async () => {
    const { cache, target, clock, sources, kinds, reason } = setUp();
    kinds.set("StatefulSet", { ...resources.deployments, plural: "statefulsets", kind: "StatefulSet" });
    cache.want("shop/a", target("web"));
    await clock.advance(0);
    cache.want("shop/a", target("db", "StatefulSet"));
    await clock.advance(0);
    assert.equal(sources.get("deployments")?.closed, true);
    sources.get("statefulsets")?.listed(deployment("db"));
    assert.equal(reason("db", "StatefulSet"), "found");
    assert.equal(reason("web"), "TargetPending");
  });

  it("takes up a kind that is installed later", async () => {
    const { cache, target, clock, sources, kinds, reason, changes } = setUp();
    cache.want("shop/a", target("web", "Rollout"));
    await clock.advance(0);
    assert.equal(reason("web", "Rollout"), "TargetKindUnknown");
    kinds.set("Rollout", kubeErrors.ELASTI_KUBE_NO_SCALE("Rollout has no scale subresource"));
    await clock.advance(30_000);
    assert.equal(reason("web", "Rollout"), "TargetNotScalable");
    kinds.set("Rollout", { ...resources.deployments, plural: "rollouts", kind: "Rollout" });
    changes.length = 0;
    await clock.advance(30_000);
    assert.deepEqual(changes, ["shop/a"]);
    sources.get("rollouts")?.listed(deployment("web"));
    assert.equal(reason("web", "Rollout"), "found");
    await cache.close();
    assert.equal(clock.pendingTimers, 0);
  });

  it("says so when it may not read, or the kind is gone", async () => {
    const { cache, target, clock, sources, kinds, reason } = setUp();
    kinds.set("Secret", kubeErrors.ELASTI_KUBE_FORBIDDEN("not allowed to discover"));
    cache.want("shop/s", target("x", "Secret"));
    cache.want("shop/a", target("web"));
    await clock.advance(0);
    assert.equal(reason("x", "Secret"), "TargetUnreadable");
    const source = sources.get("deployments")!;
    source.lastError = kubeErrors.ELASTI_KUBE_FORBIDDEN("not allowed to list deployments");
    assert.equal(reason("web"), "TargetUnreadable");
    source.lastError = kubeErrors.ELASTI_KUBE_NOT_FOUND("list deployments");
    assert.equal(reason("web"), "TargetKindUnknown");
    // a short loss of the API server changes nothing of what is known
    source.lastError = undefined;
    source.listed(deployment("web", 1));
    source.lastError = kubeErrors.ELASTI_KUBE_UNAVAILABLE("socket");
    assert.equal(reason("web"), "found");
    await cache.close();
  });

  it("follows a store of ElastiServices", async () => {
    const { cache, clock, made, reason } = setUp();
    const store = new Store<Parameters<typeof cache.follow>[0] extends Store<infer T> ? T : never>();
    const es = (name: string) => ({
      apiVersion: "elasti.truefoundry.com/v1alpha1",
      kind: "ElastiService",
      metadata: { name, namespace: "shop", resourceVersion: "1" },
      spec: { service: "web", scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
    });
    store.upsert(es("a"));
    const stop = cache.follow(store);
    await clock.advance(0);
    assert.deepEqual(made, ["deployments"]);
    store.remove(es("a"));
    assert.equal(reason("web"), "TargetPending");
    stop();
    await cache.close();
  });
});

describe("trimTarget", () => {
  it("keeps what probes need, and no environment or command", () => {
    const trimmed = trimTarget(
      deployment("web", 2, {
        spec: {
          replicas: 2,
          template: {
            metadata: { labels: { app: "web" } },
            spec: {
              containers: [
                {
                  name: "app",
                  env: [{ name: "PASSWORD", value: "secret" }],
                  command: ["run", "secret"],
                  ports: [{ name: "http", containerPort: 80 }],
                  readinessProbe: { exec: { command: ["check", "secret"] } },
                },
              ],
              initContainers: [{ name: "proxy", restartPolicy: "Always", args: ["secret"] }],
            },
          },
        },
      }),
    );
    assert.doesNotMatch(JSON.stringify(trimmed), /secret/);
    assert.deepEqual(trimmed.spec?.template?.spec, {
      containers: [
        { name: "app", ports: [{ name: "http", containerPort: 80 }], readinessProbe: { exec: { command: [] } } },
      ],
      initContainers: [{ name: "proxy", restartPolicy: "Always" }],
    });
    assert.deepEqual(trimmed.status, { replicas: 2, observedGeneration: 2 });
    assert.deepEqual(trimTarget({ apiVersion: "v1", kind: "X", metadata: { name: "x" } }).spec, {});
  });
});
