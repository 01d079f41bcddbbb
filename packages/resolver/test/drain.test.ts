import assert from "node:assert/strict";
import { test } from "node:test";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { Drain } from "../src/drain.ts";
import { RawClient, startPod, startWorld, until, webService } from "./support/world.ts";

test("stops being ready, goes on serving, lets what waits be answered, then is done", async (t) => {
  const world = await startWorld();
  t.after(() => world.close());
  const pod = await startPod("a", (_request, response) => response.end("ok"));
  t.after(() => pod.close());
  const clock = new ManualClock();
  let ready = true;
  const drain = new Drain({
    clock,
    logger: silentLogger,
    path: world.resolver,
    onBegin: () => {
      ready = false;
    },
    settleMs: 5_000,
    limitMs: 60_000,
  });
  const held = new RawClient(world.port).get("/held");
  await until(() => world.resolver.holds === 1);
  const done = drain.close();
  assert.equal(ready, false);
  const late = new RawClient(world.port).get("/late");
  await until(() => world.resolver.holds === 2);
  await clock.advance(5_000);
  assert.equal(await new RawClient(world.port).ends(), "");
  world.pods.set(pod.target);
  for (const client of [held, late]) assert.match(await client.ends(), /^HTTP\/1.1 200.*connection: close.*ok$/is);
  await done;
  assert.equal(clock.pendingTimers, 0);
  assert.equal(drain.close(), drain.close());
});

test("answers 503 what is still held at the limit", async (t) => {
  const world = await startWorld();
  t.after(() => world.close());
  const clock = new ManualClock();
  const drain = new Drain({
    clock,
    logger: silentLogger,
    path: world.resolver,
    onBegin: () => {},
    settleMs: 0,
    limitMs: 60_000,
  });
  const client = new RawClient(world.port).get("/");
  await until(() => world.resolver.holds === 1);
  const done = drain.close();
  await clock.advance(60_000);
  await done;
  assert.match(await client.ends(), /^HTTP\/1.1 503.*ELASTI_DRAINING/s);
});

test("waits for what runs for a service that is gone", async (t) => {
  const world = await startWorld();
  t.after(() => world.close());
  const reached = Promise.withResolvers<() => void>();
  const pod = await startPod("a", (_request, response) => reached.resolve(() => response.end("late")));
  t.after(() => pod.close());
  world.pods.set(pod.target);
  const client = new RawClient(world.port).get("/", "connection: close\r\n");
  const answer = await reached.promise;
  world.resolver.remove(webService({}));
  let idle = false;
  const end = world.resolver.whenIdle().then(() => {
    idle = true;
  });
  await new Promise((resolve) => setImmediate(resolve));
  assert.equal(idle, false);
  answer();
  assert.match(await client.ends(), /late/);
  await end;
});
