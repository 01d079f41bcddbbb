import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { kubeErrors } from "@elasti/kube";
import { ScaleHandler, type SetRequest } from "../src/index.ts";
import { deployment, ScaleStore } from "./scale-store.ts";

const web = deployment("web");

describe("ScaleHandler.set", () => {
  let store: ScaleStore;
  let handler: ScaleHandler;
  const set = (replicas: number, more: Partial<SetRequest> = {}) =>
    handler.set({ ref: web, replicas, reason: "rule:cpu", ...more });

  beforeEach(() => {
    store = new ScaleStore();
    handler = new ScaleHandler({ client: store, targets: store, clock: new ManualClock() });
    store.put(web, 3);
    store.cache(web);
  });
  afterEach(() => handler.close());

  it("writes up and down on the state that it was decided on, with one PATCH", async () => {
    const { resourceVersion } = store.state(web);
    const up = await set(5, { resourceVersion });
    assert.deepEqual(up, { outcome: "set", state: store.state(web) });
    assert.equal((await set(2, { resourceVersion: up.state!.resourceVersion })).outcome, "set");
    assert.deepEqual(store.calls, ["set 5", "set 2"]);
    assert.equal(store.state(web).replicas, 2);
  });

  it("reads the target first where nobody says what it was decided on", async () => {
    assert.equal((await set(5)).outcome, "set");
    assert.deepEqual(store.calls, ["get", "set 5"]);
  });

  it("answers conflict, and never tries again, when the target has changed since", async () => {
    const { resourceVersion } = store.state(web);
    const now = store.put(web, 4);
    // unknown to the cache, it is the API server that refuses
    assert.deepEqual(await set(5, { resourceVersion }), { outcome: "conflict", state: undefined });
    assert.deepEqual(store.calls, ["set 5"]);
    store.cache(web);
    assert.deepEqual(await set(5, { resourceVersion }), { outcome: "conflict", state: now });
    assert.equal(store.state(web).replicas, 4);
  });

  it("writes nothing where it is so already", async () => {
    assert.equal((await set(3, { resourceVersion: store.state(web).resourceVersion })).outcome, "already-so");
    assert.equal(store.writes.length, 0);
  });

  it("goes neither to zero nor from zero", async () => {
    assert.equal((await set(0)).outcome, "one-door");
    const asleep = store.put(web, 0);
    assert.equal((await set(2)).outcome, "one-door");
    assert.equal((await set(2, { resourceVersion: asleep.resourceVersion })).outcome, "one-door");
    assert.equal(store.writes.length, 0);
  });

  it("crosses zero where no ElastiService has the target", async () => {
    assert.equal((await set(0, { mayCrossZero: true })).outcome, "set");
    assert.equal((await set(2, { mayCrossZero: true })).outcome, "set");
    assert.deepEqual(
      store.writes.map(({ replicas }) => replicas),
      [0, 2],
    );
  });

  it("gives way to a wake that waits, when it would write zero", async () => {
    const writing = set(4, { mayCrossZero: true });
    const zeroing = set(0, { mayCrossZero: true });
    const waking = handler.wake({ ref: web, wanted: 1, reason: "request" });
    assert.deepEqual(
      (await Promise.all([writing, zeroing, waking])).map(({ outcome }) => outcome),
      ["set", "conflict", "already-awake"],
    );
    assert.equal(store.state(web).replicas, 4);
  });

  it("makes a zero that was decided on before land nowhere", async () => {
    const { resourceVersion } = store.state(web);
    await set(5);
    assert.equal(await handler.zero({ ref: web, resourceVersion }), "conflict");
    assert.equal(store.state(web).replicas, 5);
  });

  it("lands nowhere behind a zero or a fence that came first", async () => {
    const { resourceVersion } = store.state(web);
    const fenced = await handler.fence({ ref: web, epoch: 7, replicas: 1 });
    assert.equal((await set(5, { resourceVersion })).outcome, "conflict");
    assert.equal(await handler.zero({ ref: web, resourceVersion: fenced.resourceVersion }), "done");
    assert.equal((await set(5, { resourceVersion: fenced.resourceVersion })).outcome, "conflict");
    assert.equal((await set(5)).outcome, "one-door");
    assert.equal(store.state(web).replicas, 0);
  });

  it("one that is still on its way lands nowhere once the target was put to zero", async () => {
    const { resourceVersion } = store.state(web);
    store.before = async (call) => {
      // it reaches the API server behind another replica's zero
      if (call === "set 5") store.put(web, 0);
    };
    assert.equal((await set(5, { resourceVersion })).outcome, "conflict");
    assert.equal(store.state(web).replicas, 0);
  });

  it("waits for its turn on the target", async () => {
    const order: string[] = [];
    store.after = (call) => {
      order.push(call);
    };
    await Promise.all([set(5), set(6), handler.read(web), set(4)]);
    assert.deepEqual(order, ["get", "set 5", "get", "set 6", "get", "get", "set 4"]);
    assert.equal(store.mostRunning, 1);
  });

  it("tells a refusal from a change, and forgets what it believed", async () => {
    store.before = (call) => {
      if (call.startsWith("set")) throw kubeErrors.ELASTI_KUBE_FORBIDDEN("not yours");
    };
    await assert.rejects(set(5), { code: "ELASTI_SCALE_FORBIDDEN" });
    store.before = () => {};
    assert.equal((await set(5)).outcome, "set");
  });
});
