import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type ElastiError, Metrics } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { kubeErrors } from "@elasti/kube";
import { ScaleHandler, type WakeRequest } from "../src/index.ts";
import { deployment, ScaleStore } from "./scale-store.ts";

const web = deployment("web");

describe("ScaleHandler", () => {
  let store: ScaleStore;
  let clock: ManualClock;
  let metrics: Metrics;
  let handler: ScaleHandler;
  const request = (more: Partial<WakeRequest> = {}): WakeRequest => ({
    ref: web,
    wanted: 1,
    reason: "request",
    ...more,
  });

  beforeEach(() => {
    store = new ScaleStore();
    clock = new ManualClock();
    metrics = new Metrics({ clock });
    handler = new ScaleHandler({ client: store, targets: store, clock, metrics });
    store.put(web, 0);
    store.cache(web);
  });
  afterEach(async () => {
    await handler.close();
    assert.equal(clock.pendingTimers, 0);
  });

  it("wakes with one PATCH and no read when the cached object is current", async () => {
    const result = await handler.wake(request({ wanted: 2 }));
    assert.deepEqual({ ...result, resourceVersion: "" }, { outcome: "scaled", from: 0, to: 2, resourceVersion: "" });
    assert.equal(result.resourceVersion, store.state(web).resourceVersion);
    assert.deepEqual(store.calls, ["set 2"]);
  });

  it("200 first requests cause exactly one accepted write to /scale", async () => {
    const results = await Promise.all(Array.from({ length: 200 }, () => handler.wake(request())));
    const late = await handler.wake(request());
    assert.deepEqual(
      store.writes.map(({ replicas }) => replicas),
      [1],
    );
    assert.equal(results.filter(({ outcome }) => outcome === "scaled").length, 1);
    assert.equal(results.filter(({ outcome }) => outcome === "in-progress").length, 199);
    assert.equal(late.outcome, "in-progress");
    assert.match(await metrics.render(), /elasti_wakes_total\{outcome="in-progress",reason="request"\} 200/);
  });

  it("200 first requests cause one accepted write also when the cache is behind", async () => {
    store.put(web, 0);
    await Promise.all(Array.from({ length: 200 }, () => handler.wake(request())));
    assert.equal(store.writes.length, 1);
    assert.deepEqual(store.calls, ["set 1", "get", "set 1"]);
  });

  it("calls a raise its own while the answer to its write is still to come", async () => {
    const asleep = { service: "default/web", epoch: 4 };
    let during: boolean | undefined;
    store.before = async () => {
      during = handler.raisedSince(web, asleep);
    };
    assert.equal(handler.raisedSince(web, asleep), false);
    await handler.wake(request({ asleep }));
    assert.deepEqual([during, handler.raisedSince(web, asleep)], [true, true]);
    assert.equal(handler.raisedSince(web, { ...asleep, epoch: 8 }), false);
  });

  it("wakes the same name in two namespaces independently", async () => {
    const other = deployment("web", "other");
    store.put(other, 0);
    store.before = async (_call, key) => {
      if (key.startsWith("default/")) throw kubeErrors.ELASTI_KUBE_FORBIDDEN("no");
    };
    const [mine, theirs] = await Promise.allSettled([handler.wake(request()), handler.wake(request({ ref: other }))]);
    assert.equal(mine.status, "rejected");
    assert.equal(theirs.status, "fulfilled");
    assert.equal(store.state(other).replicas, 1);
    assert.equal(store.state(web).replicas, 0);
  });

  it("never lowers what somebody wrote meanwhile", async () => {
    store.put(web, 5);
    const result = await handler.wake(request({ wanted: 2 }));
    assert.deepEqual([result.outcome, result.from, result.to], ["already-awake", 5, 5]);
    assert.equal(store.writes.length, 0);
    assert.equal(store.state(web).replicas, 5);
  });

  it("asks the API server before it believes a cache that says awake", async () => {
    store.put(web, 1);
    store.cache(web);
    store.put(web, 0);
    assert.equal((await handler.wake(request())).outcome, "scaled");
    assert.deepEqual(store.calls, ["get", "set 1"]);
  });

  it("asks at most once a second while a target is awake", async () => {
    store.put(web, 1);
    store.cache(web);
    for (let i = 0; i < 5; i++) assert.equal((await handler.wake(request())).outcome, "already-awake");
    assert.deepEqual(store.calls, ["get"]);
  });

  it("gives up after the second conflict, and the next wake succeeds", async () => {
    store.before = (call) => {
      if (call.startsWith("set")) store.put(web, 0);
    };
    await assert.rejects(handler.wake(request()), { code: "ELASTI_SCALE_CONTENDED", status: 503, retryable: true });
    assert.deepEqual(store.calls, ["set 1", "get", "set 1"]);
    store.before = () => {};
    assert.equal((await handler.wake(request())).outcome, "scaled");
  });

  it("no second scale within the cooldown", async () => {
    await handler.wake(request());
    store.put(web, 0);
    store.cache(web);
    for (let second = 0; second < 30; second++) {
      assert.equal((await handler.wake(request())).outcome, "in-progress");
      await clock.advance(second === 29 ? 999 : 1_000);
    }
    assert.equal((await handler.wake(request())).outcome, "in-progress");
    assert.equal(store.writes.length, 1);
    await clock.advance(1);
    assert.equal((await handler.wake(request())).outcome, "scaled");
    assert.equal(store.writes.length, 2);
  });

  it("one more scale after rescaleDuration when the target was set back, none before (injected clock)", async () => {
    let waiting = true;
    await handler.wake(request());
    handler.watchRescale(request(), () => waiting);
    await clock.advance(10_000);
    store.put(web, 0);
    await clock.advance(19_999);
    assert.equal(store.writes.length, 1);
    await clock.advance(2);
    assert.equal(store.writes.length, 2);
    assert.equal(store.state(web).replicas, 1);
    store.put(web, 0);
    await clock.advance(29_000);
    assert.equal(store.writes.length, 2);
    await clock.advance(1_002);
    assert.equal(store.writes.length, 3);
    waiting = false;
    store.put(web, 0);
    await clock.advance(120_000);
    assert.equal(store.writes.length, 3);
    assert.equal(clock.pendingTimers, 0);
  });

  it("does not scale again while the target keeps what it was given", async () => {
    await handler.wake(request());
    handler.watchRescale(request(), () => true);
    handler.watchRescale(request(), () => true);
    assert.equal(clock.pendingTimers, 1);
    await clock.advance(300_000);
    assert.equal(store.writes.length, 1);
  });

  it("leaves what a person made of it after the wake, except for the floor outside the enabled period", async () => {
    await handler.wake(request({ wanted: 3 }));
    store.put(web, 1);
    await clock.advance(31_000);
    assert.equal((await handler.wake(request({ wanted: 3 }))).outcome, "already-awake");
    assert.equal((await handler.wake(request({ wanted: 3, reason: "schedule" }))).outcome, "scaled");
  });

  it("wakes at once after its own zero, and after a zero by another replica that its epoch shows", async () => {
    await handler.wake(request());
    assert.equal(await handler.zero({ ref: web, resourceVersion: store.state(web).resourceVersion }), "done");
    const asleep = { service: "default/web", epoch: 4 };
    assert.equal((await handler.wake(request({ asleep }))).outcome, "scaled");
    // the leader elsewhere
    store.put(web, 0);
    assert.equal((await handler.wake(request({ asleep }))).outcome, "in-progress");
    assert.equal((await handler.wake(request({ asleep: { ...asleep, epoch: 9 } }))).outcome, "already-awake");
    await clock.advance(1_000);
    assert.equal((await handler.wake(request({ asleep: { ...asleep, epoch: 9 } }))).outcome, "scaled");
  });

  it("wakes for an ElastiService that was made again, whose epochs begin anew", async () => {
    const asleep = { service: "default/web", uid: "a", epoch: 9 };
    assert.equal((await handler.wake(request({ asleep }))).outcome, "scaled");
    // scaled down by hand, in the rescale window
    store.put(web, 0);
    store.cache(web);
    assert.equal((await handler.wake(request({ asleep }))).outcome, "in-progress");
    assert.equal((await handler.wake(request({ asleep: { ...asleep, uid: "b", epoch: 1 } }))).outcome, "scaled");
    const first = await handler.fence({ ref: web, of: asleep, epoch: 2, replicas: 1 });
    const again = await handler.fence({ ref: web, of: { ...asleep, uid: "b" }, epoch: 2, replicas: 1 });
    assert.notEqual(again.resourceVersion, first.resourceVersion);
  });

  describe("zero", () => {
    const version = () => store.state(web).resourceVersion;

    it("is one PATCH with the precondition, never repeated", async () => {
      const before = store.put(web, 2);
      store.put(web, 3);
      assert.equal(await handler.zero({ ref: web, resourceVersion: before.resourceVersion }), "conflict");
      assert.deepEqual(store.calls, ["set 0"]);
      assert.equal(await handler.zero({ ref: web, resourceVersion: version() }), "done");
      assert.equal(store.state(web).replicas, 0);
    });

    it("says unknown-outcome when no answer tells, and throws when it was certainly not written", async () => {
      store.put(web, 1);
      store.after = () => {
        throw kubeErrors.ELASTI_KUBE_TIMEOUT("no answer", { details: { sent: true } });
      };
      assert.equal(await handler.zero({ ref: web, resourceVersion: version() }), "unknown-outcome");
      store.before = () => {
        throw kubeErrors.ELASTI_KUBE_UNAVAILABLE("refused", { details: { sent: false } });
      };
      const failure = handler.zero({ ref: web, resourceVersion: version() });
      await assert.rejects(failure, { code: "ELASTI_SCALE_UNAVAILABLE" });
    });

    it("gives way to a wake that comes while it waits for its turn", async () => {
      await handler.close();
      handler = new ScaleHandler({ client: store, clock, concurrency: 1 });
      store.put(web, 1);
      const busy = deployment("busy");
      store.put(busy, 0);
      const free = Promise.withResolvers<void>();
      store.before = (_call, key) => (key.endsWith("/busy") ? free.promise : undefined);
      const first = handler.wake(request({ ref: busy }));
      const zero = handler.zero({ ref: web, resourceVersion: version() });
      await new Promise((resolve) => setImmediate(resolve));
      const wake = handler.wake(request());
      assert.equal(await zero, "conflict");
      free.resolve();
      assert.equal((await wake).outcome, "already-awake");
      await first;
      assert.equal(store.state(web).replicas, 1);
      assert.ok(!store.calls.includes("set 0"));
    });
  });

  describe("fence", () => {
    it("moves the resourceVersion although nothing else changes, so that an older zero conflicts", async () => {
      const before = store.put(web, 3);
      const after = await handler.fence({ ref: web, epoch: 7, replicas: 1 });
      assert.equal(after.replicas, 3);
      assert.notEqual(after.resourceVersion, before.resourceVersion);
      assert.equal(await handler.zero({ ref: web, resourceVersion: before.resourceVersion }), "conflict");
    });

    it("is the wake when the zero came first", async () => {
      const after = await handler.fence({ ref: web, epoch: 7, replicas: 2 });
      assert.equal(after.replicas, 2);
      assert.equal((await handler.wake(request())).outcome, "in-progress");
    });

    it("never lowers, whoever writes between its read and its write", async () => {
      let raised = false;
      store.put(web, 2);
      store.before = (call) => {
        if (!call.startsWith("fence") || raised) return;
        raised = true;
        store.put(web, 9);
      };
      assert.equal((await handler.fence({ ref: web, epoch: 7, replicas: 2 })).replicas, 9);
    });

    it("is written once for one epoch, however many ask", async () => {
      store.put(web, 1);
      await Promise.all(Array.from({ length: 200 }, () => handler.fence({ ref: web, epoch: 7, replicas: 1 })));
      await handler.fence({ ref: web, epoch: 7, replicas: 1 });
      assert.equal(store.writes.length, 1);
    });

    it("moves it also when its field manager wrote the same before", async () => {
      store.put(web, 1);
      await handler.fence({ ref: web, of: { service: "default/a" }, epoch: 7, replicas: 1 });
      const before = store.state(web);
      const after = await handler.fence({ ref: web, of: { service: "default/b" }, epoch: 7, replicas: 1 });
      assert.notEqual(after.resourceVersion, before.resourceVersion);
    });

    it("goes one up and back where the API server refuses the apply, as it does of custom resources", async () => {
      const before = store.put(web, 3, "none");
      const after = await handler.fence({ ref: web, epoch: 7, replicas: 1 });
      assert.deepEqual([after.replicas, after.landed], [3, false]);
      assert.deepEqual(
        store.writes.map(({ kind, replicas }) => [kind, replicas]),
        [
          ["set", 4],
          ["set", 3],
        ],
      );
      assert.equal(await handler.zero({ ref: web, resourceVersion: before.resourceVersion }), "conflict");
    });

    it("asks once more where the apply failed for a moment, and adds no pod", async () => {
      store.put(web, 3);
      let failed = false;
      store.before = (call) => {
        if (!call.startsWith("fence") || failed) return;
        failed = true;
        throw kubeErrors.ELASTI_KUBE_UNAVAILABLE("etcdserver: leader changed", {
          details: { status: 500, sent: true },
        });
      };
      assert.equal((await handler.fence({ ref: web, epoch: 7, replicas: 1 })).replicas, 3);
      assert.deepEqual(
        store.writes.map(({ kind, replicas }) => [kind, replicas]),
        [["fence", 3]],
      );
    });

    it("leaves what others make of it on the way back", async () => {
      store.put(web, 3, "none");
      store.before = (call) => {
        if (call === "set 3") store.put(web, 9, "none");
      };
      assert.equal((await handler.fence({ ref: web, epoch: 7, replicas: 1 })).replicas, 9);
    });

    it("comes back although the target's controller writes its status in between", async () => {
      store.put(web, 3, "none");
      let wrote = false;
      store.before = (call) => {
        if (call !== "set 3" || wrote) return;
        wrote = true;
        store.put(web, 4, "none");
      };
      assert.equal((await handler.fence({ ref: web, epoch: 7, replicas: 1 })).replicas, 3);
    });

    it("moves it every time, and leaves no more field managers the more often it does", async () => {
      let { resourceVersion } = store.put(web, 2);
      for (let epoch = 1; epoch < 100; epoch += 3) {
        const after = await handler.fence({ ref: web, epoch, replicas: 1 });
        assert.equal(after.replicas, 2);
        assert.notEqual(after.resourceVersion, resourceVersion);
        assert.ok(store.managers(web) <= 16, `${store.managers(web)}`);
        resourceVersion = after.resourceVersion;
      }
    });
  });

  const failures: [string, () => Error, string][] = [
    [
      "a target that is missing",
      () => kubeErrors.ELASTI_KUBE_NOT_FOUND('deployments.apps "web" not found'),
      "ELASTI_SCALE_TARGET_MISSING",
    ],
    [
      "a kind without a scale",
      () => kubeErrors.ELASTI_KUBE_NOT_FOUND("the server could not find the requested resource"),
      "ELASTI_SCALE_NO_SUBRESOURCE",
    ],
    ["a kind that is not installed", () => kubeErrors.ELASTI_KUBE_NO_SCALE("no"), "ELASTI_SCALE_NO_SUBRESOURCE"],
    ["a missing permission", () => kubeErrors.ELASTI_KUBE_FORBIDDEN("not allowed"), "ELASTI_SCALE_FORBIDDEN"],
    ["a quota", () => kubeErrors.ELASTI_KUBE_FORBIDDEN("exceeded quota: compute"), "ELASTI_SCALE_QUOTA"],
    ["an admission that refuses", () => kubeErrors.ELASTI_KUBE_INVALID("denied"), "ELASTI_SCALE_REFUSED"],
    ["an API server that is away", () => kubeErrors.ELASTI_KUBE_UNAVAILABLE("gone"), "ELASTI_SCALE_UNAVAILABLE"],
  ];
  for (const [name, failure, code] of failures) {
    it(`reports ${name} as ${code} to everyone who waits, naming the target`, async () => {
      store.before = () => {
        throw failure();
      };
      const results = await Promise.allSettled([handler.wake(request()), handler.wake(request())]);
      for (const result of results) {
        assert.equal(result.status, "rejected");
        const error = (result as PromiseRejectedResult).reason as ElastiError;
        assert.equal(error.code, code);
        assert.equal(error.status, 503);
        assert.match(error.message, /deployments\.apps default\/web/);
      }
      store.before = () => {};
      assert.equal((await handler.wake(request())).outcome, "scaled");
    });
  }

  it("scales one accepted write when the answer to it was lost", async () => {
    let lost = false;
    store.after = (call) => {
      if (!call.startsWith("set") || lost) return;
      lost = true;
      throw kubeErrors.ELASTI_KUBE_TIMEOUT("no answer", { details: { sent: true } });
    };
    await assert.rejects(handler.wake(request()), { code: "ELASTI_SCALE_UNAVAILABLE" });
    assert.equal((await handler.wake(request())).outcome, "already-awake");
    assert.equal(store.writes.length, 1);
  });

  it("bounds the calls on the API server", async () => {
    const refs = Array.from({ length: 100 }, (_, i) => deployment(`web-${i}`));
    for (const ref of refs) store.put(ref, 0);
    await Promise.all(refs.map((ref) => handler.wake(request({ ref }))));
    assert.equal(store.mostRunning, 16);
    assert.equal(store.writes.length, 100);
  });

  it("close ends what waits and refuses what comes", async () => {
    const hang = Promise.withResolvers<void>();
    store.before = () => hang.promise;
    const wake = handler.wake(request());
    handler.watchRescale(request(), () => true);
    const refused = assert.rejects(wake, { code: "ELASTI_SCALE_CLOSED" });
    const closing = handler.close();
    await refused;
    await closing;
    await assert.rejects(handler.wake(request()), { code: "ELASTI_SCALE_CLOSED" });
    hang.resolve();
  });
});
