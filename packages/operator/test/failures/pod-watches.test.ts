import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { Metrics, silentLogger, systemClock } from "@elasti/core";
import { createKubeClient, type KubeClient, type Pod, resources } from "@elasti/kube";
import { type ApiServer, startApiServer } from "@elasti/local";
import { newestFailure, PodWatches, type SeenEvent, type WatchWish } from "../../src/failures/pod-watches.ts";

const wish = (app: string): WatchWish => ({ namespace: "default", selector: { app }, eventsOf: undefined });

describe("PodWatches", () => {
  let api: ApiServer;
  let client: KubeClient;
  let watches: PodWatches;
  /** Selectors of the watches that are open. */
  const open = new Set<string>();
  const changes = new Map<string, () => void>();
  beforeEach(async () => {
    api = await startApiServer({ tokens: { secret: "operator" } });
    client = createKubeClient({
      cluster: { server: api.url, token: async () => "secret" },
      transport: [
        async (request, next) => {
          const { labelSelector = "" } = request.query;
          if (request.kind === "watch") {
            open.add(labelSelector);
            request.signal.addEventListener("abort", () => open.delete(labelSelector), { once: true });
          }
          return await next(request);
        },
      ],
    });
    for (const app of ["a", "b", "c"])
      await client.create<Pod>(resources.pods, {
        apiVersion: "v1",
        kind: "Pod",
        metadata: { name: app, namespace: "default", labels: { app } },
        spec: { containers: [{ name: "app", image: app }] },
      });
  });
  afterEach(async () => {
    await watches.close();
    await client.close();
    await api.close();
    open.clear();
    changes.clear();
  });

  const start = (max: number, turnMs: number): void => {
    const metrics = new Metrics();
    watches = new PodWatches(
      { client, clock: systemClock, logger: silentLogger, metrics },
      { max, turnMs, onChange: (key) => changes.get(key)?.() },
    );
  };
  /** Resolves with the pods of a service once they are known. */
  const known = async (app: string): Promise<string[]> => {
    for (;;) {
      const changed = new Promise<void>((resolve) => changes.set(app, resolve));
      const seen = watches.want(app, wish(app));
      if (seen !== undefined) return seen.pods.map(({ name }) => name);
      await changed;
    }
  };

  it("sees the pods of one selector, and nothing after it is released", async () => {
    start(8, 60_000);
    assert.deepEqual(await known("a"), ["a"]);
    watches.release("a");
    assert.deepEqual([...open], []);
  });

  it("remembers nothing of pods that are gone", async () => {
    start(8, 60_000);
    await known("a");
    const [{ metadata }] = (await client.list<Pod>(resources.pods, { namespace: "default", labelSelector: "app=a" }))
      .items as [Pod];
    const history = watches.historyOf("a")!;
    history.noteNode(metadata.uid!, 0, undefined);
    const changed = new Promise<void>((resolve) => changes.set("a", resolve));
    await client.delete(resources.pods, "default", "a", { gracePeriodSeconds: 0 });
    await changed;
    assert.deepEqual([await known("a"), history.size], [[], 0]);
  });

  it("opens so many at once; the next in line follows as soon as one is released", async () => {
    start(2, 60_000);
    assert.deepEqual(await Promise.all([known("a"), known("b")]), [["a"], ["b"]]);
    assert.equal(watches.want("c", wish("c")), undefined);
    assert.deepEqual([...open].sort(), ["app=a", "app=b"]);
    watches.release("a");
    assert.deepEqual(await known("c"), ["c"]);
    assert.deepEqual([...open].sort(), ["app=b", "app=c"]);
  });

  it("lets those take turns who wait for long", async () => {
    start(1, 50);
    assert.deepEqual(await known("a"), ["a"]);
    assert.deepEqual(await known("b"), ["b"]);
    assert.deepEqual(await known("a"), ["a"]);
    assert.ok(open.size <= 1);
  });

  it("follows a selector that changes", async () => {
    start(1, 60_000);
    assert.deepEqual(await known("a"), ["a"]);
    const changed = new Promise<void>((resolve) => changes.set("a", resolve));
    assert.equal(watches.want("a", wish("b")), undefined);
    await changed;
    assert.deepEqual(
      watches.want("a", wish("b"))?.pods.map(({ name }) => name),
      ["b"],
    );
  });
});

describe("newestFailure", () => {
  const event = (kind: string, name: string, uid: string, second: number): SeenEvent => ({
    apiVersion: "v1",
    kind: "Event",
    metadata: { name: `${name}.${second}` },
    involvedObject: { kind, name, uid },
    reason: "FailedCreate",
    message: `${kind} ${name} at ${second}`,
    lastTimestamp: new Date(second * 1_000).toISOString(),
  });
  const target = { kind: "Rollout", name: "web", uid: "u" };
  for (const [what, events, expected] of [
    ["about the target itself", [event("Rollout", "web", "u", 1)], "Rollout web at 1"],
    ["not about one of before that had its name", [event("Rollout", "web", "old", 1)], undefined],
    ["about a workload of its name", [event("StatefulSet", "web", "s", 1)], "StatefulSet web at 1"],
    ["about a ReplicaSet of it", [event("ReplicaSet", "web-7d4b9c6f5d", "r", 1)], "ReplicaSet web-7d4b9c6f5d at 1"],
    ["not about a ReplicaSet of another", [event("ReplicaSet", "web-admin-7d4b9c6f5d", "r", 1)], undefined],
    [
      "the newest of several",
      [event("ReplicaSet", "web-b", "r", 3), event("Rollout", "web", "u", 2)],
      "ReplicaSet web-b at 3",
    ],
  ] as const)
    it(`finds ${what}`, () => assert.equal(newestFailure(events, target)?.message, expected));
});
