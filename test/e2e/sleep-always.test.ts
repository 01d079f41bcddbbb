import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as pause } from "node:timers/promises";
import { type EndpointSlice, resources } from "@elasti/kube";
import { Traffic } from "./client.ts";
import { RESOLVER, startWorld, type World } from "./world.ts";

const soon = { cooldownPeriod: 1, routing: { graceSeconds: 0 } };

describe("sleeping by traffic, with the resolver always in the path", { concurrency: 6 }, () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 1, resolvers: 2 });
  });
  after(() => world.close());

  it("sleeps when no request came for the cooldown, and wakes again, cycle by cycle", async () => {
    const web = await world.sleeper({ name: "cycles", spec: soon });
    for (let cycle = 0; cycle < 2; cycle++) {
      const before = await web.epoch();
      assert.equal((await web.ask()).status, 200);
      const { status } = await web.sleeps({ after: before });
      assert.equal(await web.replicas(), 0);
      assert.deepEqual([status?.mode, status?.routingMode], ["proxy", "Always"]);
    }
    const { status } = await web.es();
    const ready = status?.conditions?.find(({ type }) => type === "Ready");
    assert.deepEqual([ready?.status, ready?.reason], ["True", "Asleep"]);
  });

  it("stays up while requests come, however slowly they are answered", async () => {
    const web = await world.sleeper({ name: "slow", spec: soon });
    const answer = await web.ask("/slow?ms=3500");
    assert.equal(answer.status, 200);
    const { status } = await web.es();
    assert.deepEqual([status?.phase, await web.replicas()], ["Serving", 1]);
    await web.sleeps();
  });

  it("stays up while a WebSocket is open", async () => {
    const web = await world.sleeper({ name: "chat", spec: soon });
    const socket = await web.webSocket();
    await web.reaches("Serving");
    const { epoch = 0 } = (await web.es()).status ?? {};
    await pause(2_500);
    assert.equal(await web.epoch(), epoch);
    socket.close();
    await web.sleeps({ after: epoch });
  });

  it("is parked and led to the resolvers while awake too", async () => {
    const web = await world.sleeper({ name: "inpath" });
    await web.ask();
    await web.reaches("Serving");
    await web.parked();
    const { ours, others } = await web.slices();
    assert.ok((ours?.endpoints ?? []).length > 0);
    assert.deepEqual(
      others.flatMap(({ endpoints }) => endpoints ?? []),
      [],
    );
  });

  it("answers every request that comes while it falls asleep and wakes, over and over", async () => {
    const web = await world.sleeper({ name: "burst", spec: { ...soon, cooldownPeriod: 0 } });
    await using traffic = new Traffic(() => web.ask("/"), 130);
    let epoch = await web.epoch();
    // what is asked in the middle of a step is decided by chance; ten changes of phase see several
    const until = epoch + 10;
    while (epoch < until) {
      const { status } = await web.reaches("Serving", { after: epoch });
      epoch = status?.epoch ?? until;
    }
    const { failures, answers } = await traffic.stop();
    assert.deepEqual(failures, []);
    assert.ok(answers.length > 10, `${answers.length}`);
  });

  it("keeps the slice right when resolvers come and go while it sleeps", async () => {
    const web = await world.sleeper({ name: "follows" });
    const addresses = ({ endpoints }: EndpointSlice) => endpoints.flatMap((endpoint) => endpoint.addresses).sort();
    const follows = async (count: number) => {
      await world.scale(RESOLVER, count);
      const expected = (await world.pods(RESOLVER)).map(({ status }) => status?.podIP ?? "").sort();
      const { name = "" } = (await web.slices()).ours?.metadata ?? {};
      await world.until<EndpointSlice, true>(
        `endpoints ${expected}`,
        resources.endpointSlices,
        "default",
        name,
        (slice) => slice !== undefined && String(addresses(slice)) === String(expected),
      );
    };
    await follows(3);
    await follows(1);
    assert.equal(await web.phase(), "Asleep");
    assert.equal((await web.ask()).status, 200);
    await follows(2);
  });
});
