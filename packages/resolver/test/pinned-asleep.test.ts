import assert from "node:assert/strict";
import { describe, type TestContext, test } from "node:test";
import type { Waking } from "@elasti/api";
import { ManualClock } from "@elasti/core/testing";
import { RawClient, route, startPod, startWorld, until, type World, webService } from "./support/world.ts";

const close = "connection: close\r\n";
const upgrade = "connection: Upgrade\r\nupgrade: websocket\r\n";
const pinned: Waking = {
  reason: "PinnedAsleep",
  message: "pinned-asleep: pin 0 until 2026-12-24T18:00:00Z by ada",
  since: "2026-01-01T00:00:00.000Z",
  certain: true,
};
const world = async (t: TestContext, options: Parameters<typeof startWorld>[0] = {}): Promise<World> => {
  const started = await startWorld(options);
  t.after(() => started.close());
  return started;
};
const podOf = async (t: TestContext) => {
  const pod = await startPod("a", (_request, response) => response.end("<a>"));
  t.after(() => pod.close());
  return pod.target;
};
const refused = /^HTTP\/1.1 503.*\nelasti-reason: ELASTI_PINNED_ASLEEP\r.*pinned-asleep: pin 0 until/s;

describe("a service that is pinned asleep", () => {
  test("answers what is held", async (t) => {
    const { resolver, port, phase } = await world(t);
    const client = new RawClient(port).get("/", close);
    await until(() => resolver.holds === 1);
    phase({ phase: "Asleep", podsGone: true, waking: pinned });
    assert.match(await client.ends(), refused);
  });

  test("refuses at once, wakes nobody, and counts no traffic", async (t) => {
    const { resolver, port, phase, activation } = await world(t);
    phase({ phase: "Asleep", podsGone: true, waking: pinned });
    assert.match(await new RawClient(port).get("/", close).ends(), refused);
    assert.match(await new RawClient(port).get("/", upgrade).ends(), refused);
    assert.deepEqual([activation.requests, resolver.holds], [[], 0]);
    assert.equal(resolver.traffic()[0]?.requests ?? 0, 0);
  });

  test("forwards as long as it serves, and no more once it falls asleep, so that it can", async (t) => {
    const { resolver, port, phase, pods } = await world(t, { spec: { routing: { mode: "Always" } } });
    pods.set(await podOf(t));
    phase({ phase: "Serving", waking: pinned });
    const kept = new RawClient(port).get("/");
    await kept.receives("<a>");
    const { requests } = resolver.traffic()[0]!;
    for (const falling of ["Draining", "Sealed", "Waking"] as const) {
      phase({ phase: falling, waking: pinned });
      assert.match(await new RawClient(port).get("/", close).ends(), refused);
      assert.match(await new RawClient(port).get("/", upgrade).ends(), refused);
    }
    assert.match(await kept.get("/", close).ends(), /^HTTP\/1.1 200.*<a>HTTP\/1.1 503.*ELASTI_PINNED_ASLEEP/s);
    assert.equal(resolver.traffic()[0]?.requests, requests);
  });

  test("holds and wakes again when the pin is taken back", async (t) => {
    const { resolver, port, phase, activation, pods } = await world(t);
    phase({ phase: "Asleep", podsGone: true, waking: pinned });
    assert.match(await new RawClient(port).get("/", close).ends(), refused);
    phase({ phase: "Asleep", podsGone: true });
    const client = new RawClient(port).get("/", close);
    await until(() => resolver.holds === 1);
    assert.deepEqual(activation.requests, ["default/web"]);
    pods.set(await podOf(t));
    assert.match(await client.ends(), /^HTTP\/1.1 200/);
  });

  test("holds and wakes again when its ElastiService is deleted, which gives the target back awake", async () => {
    for (const upgraded of [close, upgrade]) {
      const t = await startWorld();
      try {
        const { resolver, port, phase, activation, epoch } = t;
        phase({ phase: "Asleep", podsGone: true, waking: pinned });
        const status = {
          phase: "Asleep",
          epoch: epoch(),
          podsGone: true,
          waking: pinned,
          routes: [route(port)],
        } as const;
        const { metadata, ...rest } = webService({ status: { ...status, routes: [...status.routes] } });
        resolver.upsert({ ...rest, metadata: { ...metadata, deletionTimestamp: "2026-01-02T00:00:00Z" } });
        new RawClient(port).get("/", upgraded);
        await until(() => resolver.holds === 1);
        assert.deepEqual(activation.requests, ["default/web"]);
      } finally {
        await t.close();
      }
    }
  });

  test("holds and wakes again at the end of the pin, also with no operator to say so", async (t) => {
    const clock = new ManualClock();
    const { resolver, port, phase, activation } = await world(t, { clock });
    const end = new Date(clock.now() + 60_000).toISOString();
    phase({ phase: "Asleep", podsGone: true, waking: { ...pinned, until: end } });
    await clock.advance(59_999);
    assert.match(await new RawClient(port).get("/", close).ends(), refused);
    await clock.advance(1);
    new RawClient(port).get("/", close);
    await until(() => resolver.holds === 1);
    assert.deepEqual(activation.requests, ["default/web"]);
  });
});
