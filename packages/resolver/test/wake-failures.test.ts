import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { Waking } from "@elasti/api";
import { ManualClock } from "@elasti/core/testing";
import { RawClient, startPod, startWorld, until, type World } from "./support/world.ts";

const world = async (t: TestContext, options: Parameters<typeof startWorld>[0] = {}): Promise<World> => {
  const started = await startWorld(options);
  t.after(() => started.close());
  return started;
};
const close = "connection: close\r\n";
const since = "2026-01-01T00:00:00.000Z";
const quota: Waking = {
  reason: "QuotaExceeded",
  message: "no pod can be made: exceeded quota: compute",
  since,
  certain: true,
};
const podOf = async (t: TestContext) => {
  const pod = await startPod("a", (_request, response) => response.end("<a>"));
  t.after(() => pod.close());
  return pod.target;
};

describe("a wake that cannot succeed, as status.waking says", () => {
  for (const [reason, code] of [
    ["QuotaExceeded", "ELASTI_WAKE_QUOTA"],
    ["PodRefused", "ELASTI_WAKE_REFUSED"],
    ["ImageNotFound", "ELASTI_WAKE_IMAGE_NOT_FOUND"],
    ["ImagePullFailed", "ELASTI_WAKE_IMAGE_PULL"],
    ["CrashLoop", "ELASTI_WAKE_CRASH_LOOP"],
    ["ContainerNotCreated", "ELASTI_WAKE_CONTAINER"],
    ["Unschedulable", "ELASTI_WAKE_UNSCHEDULABLE"],
    ["SomethingNewer", "ELASTI_WAKE_FAILED"],
    ["constructor", "ELASTI_WAKE_FAILED"],
  ]) {
    test(`answers what is held 503 with ${code} for ${reason}`, async (t) => {
      const { resolver, port, phase } = await world(t);
      const client = new RawClient(port).get("/", close);
      await until(() => resolver.holds === 1);
      phase({ phase: "Waking", podsGone: true, waking: { ...quota, reason: reason! } });
      const answer = await client.ends();
      assert.match(answer, /^HTTP\/1.1 503/);
      assert.match(answer, new RegExp(`^elasti-reason: ${code}\r$`, "m"));
      assert.match(answer, /^retry-after: 30\r$/m);
      assert.match(answer, /^content-type: application\/problem\+json\r$/m);
      assert.match(answer, /exceeded quota: compute/);
    });
  }

  test("answers new requests at once while it stands, and holds them again when it is withdrawn", async (t) => {
    const { resolver, port, phase, activation, pods } = await world(t);
    phase({ phase: "Waking", podsGone: true, waking: quota });
    assert.match(await new RawClient(port).get("/", close).ends(), /ELASTI_WAKE_QUOTA/);
    assert.equal(activation.requests.length, 0);
    // a request is a request: the service is in use
    assert.equal(resolver.traffic()[0]?.requests, 1);

    phase({ phase: "Waking", podsGone: true });
    const client = new RawClient(port).get("/", close);
    await until(() => resolver.holds === 1);
    pods.set(await podOf(t));
    assert.match(await client.ends(), /^HTTP\/1.1 200/);
  });

  test("is known to a resolver that starts later", async (t) => {
    const { port } = await world(t, { status: { phase: "Waking", podsGone: true, waking: quota } });
    assert.match(await new RawClient(port).get("/", close).ends(), /ELASTI_WAKE_QUOTA/);
  });

  test("keeps nobody from a pod that can take the request", async (t) => {
    const { port, phase, pods } = await world(t);
    pods.set(await podOf(t));
    phase({ phase: "Waking", podsGone: true, waking: quota });
    assert.match(await new RawClient(port).get("/", close).ends(), /^HTTP\/1.1 200/);
  });

  test("lets the first request after a new sleep wait for its wake", async (t) => {
    const { resolver, port, phase, activation } = await world(t);
    phase({ phase: "Waking", podsGone: true, waking: quota });
    phase({ phase: "Asleep", podsGone: true });
    new RawClient(port).get("/", close);
    await until(() => resolver.holds === 1);
    assert.deepEqual(activation.requests, ["default/web"]);
  });
});

describe("what a wake waits for", () => {
  test("holds on, and is the last known reason of a hold that waited in vain", async (t) => {
    const clock = new ManualClock();
    const { resolver, port, phase } = await world(t, { clock, spec: { queue: { timeoutSeconds: 40 } } });
    const client = new RawClient(port).get("/", close);
    await until(() => resolver.holds === 1);
    const message = "pod web-1: 0/3 nodes are available: 3 Insufficient cpu.";
    phase({ phase: "Waking", podsGone: true, waking: { reason: "Unschedulable", message, since, certain: false } });
    assert.equal(resolver.holds, 1);
    await clock.advance(40_000);
    const answer = await client.ends();
    assert.match(answer, /^HTTP\/1.1 504/);
    assert.match(answer, /Unschedulable: pod web-1: 0\/3 nodes are available: 3 Insufficient cpu\. \(for 40 s\)/);
  });
});
