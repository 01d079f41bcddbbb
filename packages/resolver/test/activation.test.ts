import assert from "node:assert/strict";
import { describe, it, type TestContext } from "node:test";
import type { Notification } from "@elasti/api";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { OperatorActivation } from "../src/activation.ts";
import type { NotifyResult } from "../src/operator-client.ts";

const yes: NotifyResult = { ok: true, reply: { message: "", outcome: "scaled", replicas: 1 } };
const no = (reason: string, extra: { certain?: boolean; retryAfterMs?: number } = {}): NotifyResult => ({
  ok: false,
  reason,
  detail: "why",
  certain: false,
  ...extra,
});

function world(t: TestContext) {
  const clock = new ManualClock();
  const sent: { notification: Notification; at: number; answer: (result: NotifyResult) => Promise<void> }[] = [];
  let changed = () => {};
  const started = clock.now();
  const activation = new OperatorActivation({
    clock,
    logger: silentLogger,
    random: () => 1,
    onOperatorChange: (listener) => {
      changed = listener;
      return () => {};
    },
    notifier: {
      notify: (notification) => {
        const result = Promise.withResolvers<NotifyResult>();
        sent.push({
          notification,
          at: clock.now() - started,
          answer: async (value) => {
            result.resolve(value);
            await clock.advance(0);
          },
        });
        return result.promise;
      },
    },
  });
  t.after(() => activation.close());
  const want = (held = 1, service = "web", namespace = "default") =>
    activation.request(
      namespace,
      service,
      () => held,
      () => 7,
    );
  return { clock, sent, activation, want, change: () => changed() };
}

describe("activation", () => {
  it("pushes at once, one notification for all that wait", (t) => {
    const { sent, want } = world(t);
    want(200);
    for (let i = 0; i < 199; i++) want(200);
    assert.deepEqual(
      sent.map(({ notification }) => notification),
      [{ count: 200, svc: "web", namespace: "default", epoch: 7 }],
    );
  });

  it("keeps services of the same name in two namespaces apart", (t) => {
    const { sent, want } = world(t);
    want(1, "web", "a");
    want(1, "web", "b");
    assert.deepEqual(
      sent.map(({ notification }) => notification.namespace),
      ["a", "b"],
    );
  });

  it("tries again with growing delays while holds remain", async (t) => {
    const { clock, sent, want } = world(t);
    want();
    for (let i = 0; i < 4; i++) {
      await sent[i]!.answer(no("X"));
      await clock.advance(20_000);
      assert.equal(sent.length, i + 2);
    }
    const gaps = sent.slice(1).map(({ at }, i) => at - sent[i]!.at - (i === 0 ? 0 : 20_000 - (250 << (i - 1))));
    assert.deepEqual(gaps, [250, 500, 1_000, 2_000]);
  });

  it("waits as long as the operator asks", async (t) => {
    const { clock, sent, want } = world(t);
    want();
    await sent[0]!.answer(no("X", { retryAfterMs: 5_000 }));
    await clock.advance(4_999);
    assert.equal(sent.length, 1);
    await clock.advance(1);
    assert.equal(sent.length, 2);
  });

  for (const retryAfterMs of [3_600_000, Number.MAX_VALUE])
    it(`waits no longer than half a minute, though asked for ${retryAfterMs} ms`, async (t) => {
      const { clock, sent, want } = world(t);
      want();
      await sent[0]!.answer(no("X", { retryAfterMs }));
      await clock.advance(29_999);
      assert.equal(sent.length, 1);
      await clock.advance(1);
      assert.equal(sent.length, 2);
    });

  it("tells the operator again after its rescale window, and no more when nobody waits", async (t) => {
    const { clock, sent, want, activation } = world(t);
    let held = 1;
    activation.request(
      "default",
      "web",
      () => held,
      () => 1,
    );
    await sent[0]!.answer(yes);
    await clock.advance(33_000);
    assert.equal(sent.length, 2);
    await sent[1]!.answer(yes);
    held = 0;
    await clock.advance(33_000);
    assert.equal(sent.length, 2);
    assert.equal(clock.pendingTimers, 0);
    want();
    assert.equal(sent.length, 3);
  });

  it("stops at once when told to", async (t) => {
    const { clock, sent, want, activation } = world(t);
    want();
    await sent[0]!.answer(no("X"));
    activation.stop("default", "web");
    assert.equal(clock.pendingTimers, 0);
    await clock.advance(60_000);
    assert.equal(sent.length, 1);
  });

  it("notifies for those who came while the notification for others was under way", async (t) => {
    const { sent, want, activation } = world(t);
    want();
    activation.stop("default", "web");
    want(5);
    assert.equal(sent.length, 1);
    await sent[0]!.answer(yes);
    assert.equal(sent.length, 2);
    assert.equal(sent[1]!.notification.count, 5);
  });

  it("remembers the last failure until a notification is accepted, and tells of each", async (t) => {
    const { clock, sent, want, activation } = world(t);
    const told: string[] = [];
    const stop = activation.onFailure((namespace, service, failure) =>
      told.push(`${namespace}/${service} ${failure.reason} ${failure.certain}`),
    );
    want();
    await sent[0]!.answer(no("ELASTI_SCALE_QUOTA", { certain: true }));
    assert.deepEqual(activation.lastFailure("default", "web"), {
      reason: "ELASTI_SCALE_QUOTA",
      detail: "why",
      certain: true,
    });
    stop();
    await clock.advance(1_000);
    await sent[1]!.answer(yes);
    assert.equal(activation.lastFailure("default", "web"), undefined);
    assert.equal(activation.acceptedAt("default", "web"), clock.monotonic());
    assert.deepEqual(told, ["default/web ELASTI_SCALE_QUOTA true"]);
  });

  it("tries at once when replicas of the operator come, if the last try failed", async (t) => {
    const { sent, want, change } = world(t);
    want(1, "failed");
    want(1, "accepted");
    await sent[0]!.answer(no("ELASTI_NO_OPERATOR"));
    await sent[1]!.answer(yes);
    change();
    assert.deepEqual(
      sent.slice(2).map(({ notification }) => notification.svc),
      ["failed"],
    );
  });

  it("knows when those who wait were first accepted", async (t) => {
    const { clock, sent, activation, want } = world(t);
    want();
    await sent[0]!.answer(yes);
    const first = activation.acceptedAt("default", "web");
    assert.equal(first, clock.monotonic());
    await clock.advance(40_000);
    await sent[1]!.answer(yes);
    assert.equal(activation.acceptedAt("default", "web"), first);
    activation.stop("default", "web");
    want();
    assert.equal(activation.acceptedAt("default", "web"), undefined);
    await sent[2]!.answer(yes);
    assert.equal(activation.acceptedAt("default", "web"), clock.monotonic());
  });

  it("leaves no timer", async (t) => {
    const { clock, sent, want, activation } = world(t);
    want();
    await sent[0]!.answer(yes);
    assert.equal(clock.pendingTimers, 1);
    activation.close();
    assert.equal(clock.pendingTimers, 0);
    want();
    assert.equal(sent.length, 1);
  });
});
