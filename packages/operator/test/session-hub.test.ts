import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import { SESSION_LINE_BYTES, type SessionDown, type TrafficReport } from "@elasti/api";
import { dialSession, TestResolver } from "./kit/resolver.ts";
import { startWorld, type World } from "./kit/server.ts";

let world: World;
beforeEach(async () => {
  world = await startWorld({ random: Math.random });
});
afterEach(() => world.close());

const report = (fields: Partial<TrafficReport> = {}): TrafficReport => ({
  namespace: "shop",
  service: "web",
  requests: 0,
  inFlight: 0,
  held: 0,
  idleMs: -1,
  answeredEpoch: 0,
  ...fields,
});

/** Sends a report and waits until the hub has taken it over. */
async function tell(resolver: TestResolver, fields: Partial<TrafficReport>): Promise<void> {
  const taken = Promise.withResolvers<string>();
  const stop = world.hub.onTraffic(taken.resolve);
  resolver.send({ type: "traffic", services: [report(fields)] });
  await taken.promise;
  stop();
}

/** Waits until the set of resolvers changes, however that is caused. */
function changed(): Promise<void> {
  return new Promise((resolve) => {
    const stop = world.hub.onChange(() => {
      stop();
      resolve();
    });
  });
}

const ids = () => world.hub.resolvers().map(({ id }) => id);
const traffic = () => world.hub.traffic("shop", "web");
const perSecond = () => world.hub.requestsPerSecond("shop", "web");
const settle = () => world.clock.advance(2_000);

describe("sessions", () => {
  it("tells which ports a resolver opened and closed, and nothing of them when one comes or goes", async () => {
    const told: (number[] | undefined)[] = [];
    world.hub.onChange((ports) => told.push(ports === undefined ? undefined : [...ports].sort()));
    const r1 = await world.join("r1", [10_000, 10_001]);
    const next = changed();
    r1.send({ type: "ports", ports: [10_001, 10_002] });
    await next;
    const gone = changed();
    await r1.leave();
    await gone;
    assert.deepEqual(told, [undefined, [10_000, 10_002], undefined]);
  });

  it("shows who is connected and what they listen on", async () => {
    const r1 = await world.join("r1", [10_000, 10_001]);
    const [view] = world.hub.resolvers();
    assert.deepEqual(
      { ...view },
      {
        id: "r1",
        node: "node-a",
        addresses: ["10.0.0.1"],
        ports: new Set([10_000, 10_001]),
        routes: undefined,
        connectedAt: world.clock.now(),
      },
    );
    const ports = changed();
    r1.send({ type: "ports", ports: [10_007] });
    await ports;
    assert.deepEqual(world.hub.resolvers()[0]?.ports, new Set([10_007]));
    const gone = changed();
    await r1.leave();
    await gone;
    assert.deepEqual(ids(), []);
  });

  it("knows what the ports of a resolver lead to from its hello on, and follows it", async () => {
    const told: (number[] | undefined)[] = [];
    world.hub.onChange((ports) => told.push(ports === undefined ? undefined : [...ports].sort()));
    const route = (resolverPort: number, service: string) => ({ resolverPort, namespace: "shop", service, port: 80 });
    const [first, second] = [route(10_000, "web"), route(10_001, "api")];
    const r1 = await world.join("r1", [10_000, 10_001], [[first], [second]]);
    const known = () => [...(world.hub.resolvers()[0]?.routes?.values() ?? [])];
    assert.deepEqual(known(), [first, second]);
    const moved = changed();
    r1.send({ type: "routes", routes: [route(10_001, "web")] });
    await moved;
    assert.deepEqual(known(), [first, route(10_001, "web")]);
    const closed = changed();
    r1.send({ type: "ports", ports: [10_001] });
    await closed;
    assert.deepEqual(known(), [route(10_001, "web")]);
    assert.deepEqual(told, [undefined, [10_001], [10_000]]);
    await world.join("r2", [10_000], [[]]);
    assert.deepEqual(world.hub.resolvers()[1]?.routes, new Map(), "open, and leads nowhere");
  });

  it("replaces the old session of a resolver that reconnects", async () => {
    const old = await world.join("r1", [1]);
    await world.join("r1", [2]);
    await old.closed;
    assert.deepEqual(ids(), ["r1"]);
    assert.deepEqual(world.hub.resolvers()[0]?.ports, new Set([2]));
  });

  it("tells how many requests a second there are of late, without those of before a session", async () => {
    let told = 1_000;
    const resolvers = [await world.join("r1", [1])];
    /** Both sides are heard of every second: time alone would end a session. */
    const pass = async (seconds: number, perSecond: number) => {
      for (let second = 0; second < seconds; second++) {
        await world.clock.advance(1_000);
        told += perSecond;
        for (const resolver of resolvers) await tell(resolver, { requests: told });
      }
    };
    await tell(resolvers[0]!, { requests: told });
    assert.equal(perSecond(), undefined);
    await pass(20, 0);
    assert.equal(perSecond(), 0);
    await pass(70, 3);
    assert.equal(Math.round(perSecond()!), 3);
    assert.equal(world.hub.requestsPerSecond("shop", "api"), 0);
    // another resolver has numbers of its own, and must be watched for as long
    resolvers.push(await world.join("r2", [1]));
    await tell(resolvers[1]!, { requests: told });
    assert.equal(Math.round(perSecond()!), 3);
    await pass(3, 2);
    assert.equal(perSecond(), undefined);
    await pass(70, 2);
    assert.equal(Math.round(perSecond()!), 4);
    const gone = changed();
    await resolvers.pop()!.leave();
    await gone;
    await resolvers.pop()!.leave();
    while (ids().length > 0) await changed();
    assert.equal(perSecond(), undefined);
  });

  it("ends with a line that is too long, is no JSON, does not fit, or comes before hello", async () => {
    const bad = [
      "x".repeat(SESSION_LINE_BYTES + 1),
      "{\n",
      '{"type":7}\n',
      '{"type":"hello"}\n',
      '{"type":"ports","ports":[1]}\n',
    ];
    for (const text of bad) {
      const resolver = await dialSession(world.port, "r1", "resolver-token");
      assert.ok(resolver instanceof TestResolver);
      resolver.socket.write(text);
      await resolver.closed;
    }
    assert.deepEqual(ids(), []);
    const text = await world.metrics.render();
    assert.match(text, /elasti_session_ends_total\{reason="line-too-long"\} 1/);
    assert.match(text, /elasti_session_ends_total\{reason="bad-line"\} 3/);
    assert.match(text, /elasti_session_ends_total\{reason="no-hello"\} 1/);
  });

  it("overlooks lines of a kind that it does not know", async () => {
    const r1 = await world.join("r1");
    r1.socket.write('{"type":"news","text":"of a later version"}\n');
    await tell(r1, { requests: 1 });
    assert.deepEqual(ids(), ["r1"]);
  });

  it("reads lines cut anywhere", async () => {
    const resolver = await dialSession(world.port, "r1", "resolver-token");
    assert.ok(resolver instanceof TestResolver);
    const line = `${JSON.stringify({ type: "hello", resolver: "r1", namespace: "e", node: "ü", addresses: [], ports: [] })}\n`;
    for (const byte of Buffer.from(line)) resolver.socket.write(Buffer.of(byte));
    await resolver.next("welcome");
    assert.equal(world.hub.resolvers()[0]?.node, "ü");
  });

  it("pings, and gives up a resolver that is silent", async () => {
    const r1 = await world.join("r1");
    const r2 = await world.join("r2");
    await world.clock.advance(3_000);
    await r1.next("ping");
    await world.clock.advance(3_000);
    // a report counts as a sign of life
    await tell(r2, { requests: 1 });
    const gone = changed();
    await world.clock.advance(3_000);
    await gone;
    await r1.closed;
    assert.deepEqual(ids(), ["r2"]);
  });

  it("gives up a session without hello", async () => {
    const resolver = await dialSession(world.port, "r1", "resolver-token");
    assert.ok(resolver instanceof TestResolver);
    await world.clock.advance(9_000);
    await resolver.closed;
  });

  it("leaves no timer behind", async () => {
    await world.join("r1");
    await world.close();
    assert.equal(world.clock.pendingTimers, 0);
  });
});

describe("traffic", () => {
  it("sums all resolvers, and counts nobody before a first report could come", async () => {
    const r1 = await world.join("r1");
    const r2 = await world.join("r2");
    await tell(r1, { requests: 3, inFlight: 1, idleMs: 500 });
    await tell(r2, { requests: 4, held: 2, idleMs: 100 });
    assert.deepEqual(traffic().reporters, []);
    assert.equal(traffic().observedSinceMs, undefined);
    const since = world.clock.now();
    await settle();
    assert.deepEqual(traffic(), {
      requests: 7,
      inFlight: 1,
      held: 2,
      lastRequestAtMs: since - 100,
      reporters: ["r1", "r2"],
      observedSinceMs: since,
    });
    assert.deepEqual(world.hub.traffic("other", "web").requests, 0);
  });

  it("never falls when a resolver leaves, and forgets what was in flight there", async () => {
    const r1 = await world.join("r1");
    await settle();
    await tell(r1, { requests: 9, inFlight: 3, idleMs: 0 });
    const gone = changed();
    await r1.leave();
    await gone;
    const { requests, inFlight, reporters, lastRequestAtMs } = traffic();
    assert.deepEqual([requests, inFlight, reporters], [9, 0, []]);
    assert.equal(lastRequestAtMs, world.clock.now());
  });

  it("goes on from the same total after a reconnect", async () => {
    const mark = world.hub.mark("shop", "web");
    await tell(await world.join("r1"), { requests: 9, idleMs: 10 });
    await tell(await world.join("r1"), { requests: 9, idleMs: 10 });
    assert.equal(world.hub.requestsSince(mark).requests, 9);
    await tell(await world.join("r1"), { requests: 11, idleMs: 10 });
    assert.equal(world.hub.requestsSince(mark).requests, 11);
  });

  it("counts all requests of a new process under an old name", async () => {
    await tell(await world.join("r1"), { requests: 9, idleMs: 10 });
    await tell(await world.join("r1"), { requests: 2, idleMs: 10 });
    assert.equal(traffic().requests, 11);
    await world.clock.advance(5_000);
    await tell(await world.join("r1"), { requests: 2, idleMs: 10 });
    assert.equal(traffic().requests, 13);
  });

  it("says since a mark how many came and whose count may have a gap", async () => {
    const r1 = await world.join("r1");
    const r2 = await world.join("r2");
    await tell(r1, { requests: 5 });
    await settle();
    const mark = world.hub.mark("shop", "web");
    assert.deepEqual(world.hub.requestsSince(mark), { requests: 0, lost: [] });
    await tell(r1, { requests: 6 });
    assert.deepEqual(world.hub.requestsSince(mark), { requests: 1, lost: [] });
    const gone = changed();
    await r2.leave();
    await gone;
    assert.deepEqual(world.hub.requestsSince(mark), { requests: 1, lost: ["r2"] });
    await world.join("r2");
    assert.deepEqual(world.hub.requestsSince(mark).lost, ["r2"]);
  });

  it("knows the newest epoch that was answered", async () => {
    assert.equal(world.hub.answeredEpoch("shop", "web"), 0);
    await tell(await world.join("r1"), { answeredEpoch: 4 });
    await tell(await world.join("r2"), { answeredEpoch: 3 });
    assert.equal(world.hub.answeredEpoch("shop", "web"), 4);
    world.hub.forget("shop", "web");
    assert.equal(world.hub.answeredEpoch("shop", "web"), 0);
  });

  it("ends the session of a resolver that reports more services than there is room for", async () => {
    const small = await startWorld({ hub: { maxServices: 1 } });
    const r1 = await small.join("r1");
    r1.send({ type: "traffic", services: [report(), report({ service: "other" })] });
    await r1.closed;
    await small.close();
  });
});

describe("seal", () => {
  const request = { namespace: "shop", service: "web", epoch: 8, drainEpoch: 7, timeoutMs: 2_000 };
  const agree = (resolver: TestResolver) =>
    resolver.send({ type: "sealed", namespace: "shop", service: "web", epoch: 8, ok: true });

  it("is ok when all listed resolvers agree", async () => {
    const r1 = await world.join("r1");
    const r2 = await world.join("r2");
    await world.join("r3");
    const outcome = world.hub.seal({ ...request, resolvers: ["r1", "r2"] });
    assert.deepEqual(await r1.next("seal"), {
      type: "seal",
      namespace: "shop",
      service: "web",
      epoch: 8,
      drainEpoch: 7,
    });
    await r2.next("seal");
    agree(r1);
    agree(r2);
    assert.deepEqual(await outcome, { ok: true });
  });

  it("is not ok when one refuses", async () => {
    const r1 = await world.join("r1");
    const r2 = await world.join("r2");
    const outcome = world.hub.seal({ ...request, resolvers: ["r1", "r2"] });
    agree(r1);
    r2.send({ type: "sealed", namespace: "shop", service: "web", epoch: 8, ok: false, reason: "in-flight" });
    assert.deepEqual(await outcome, { ok: false, reason: "in-flight", by: "r2" });
  });

  it("is not ok when one says nothing, or answers for another epoch or service", async () => {
    const r1 = await world.join("r1");
    const outcome = world.hub.seal({ ...request, resolvers: ["r1"] });
    await r1.next("seal");
    r1.send({ type: "sealed", namespace: "shop", service: "web", epoch: 7, ok: true });
    r1.send({ type: "sealed", namespace: "shop", service: "other", epoch: 8, ok: true });
    await tell(r1, {});
    await world.clock.advance(2_000);
    assert.deepEqual(await outcome, { ok: false, reason: "timeout", by: "r1" });
  });

  it("is not ok when a session breaks, even of one that has agreed", async () => {
    const r1 = await world.join("r1");
    await world.join("r2");
    const outcome = world.hub.seal({ ...request, resolvers: ["r1", "r2"] });
    await r1.next("seal");
    agree(r1);
    await r1.leave();
    assert.deepEqual(await outcome, { ok: false, reason: "session-lost", by: "r1" });
  });

  it("does not take the word of a later session", async () => {
    await world.join("r1");
    const outcome = world.hub.seal({ ...request, resolvers: ["r1"] });
    agree(await world.join("r1"));
    assert.deepEqual(await outcome, { ok: false, reason: "session-lost", by: "r1" });
  });

  it("needs resolvers, and a session of each", async () => {
    assert.deepEqual(await world.hub.seal({ ...request, resolvers: [] }), {
      ok: false,
      reason: "no-resolvers",
      by: "",
    });
    await world.join("r1");
    assert.deepEqual(await world.hub.seal({ ...request, resolvers: ["r1", "r9"] }), {
      ok: false,
      reason: "no-session",
      by: "r9",
    });
  });

  it("ends with the hub", async () => {
    await world.join("r1");
    const outcome = world.hub.seal({ ...request, resolvers: ["r1"] });
    world.hub.close();
    assert.equal((await outcome).ok, false);
    assert.match(await world.metrics.render(), /elasti_seals_total\{outcome="closed"\} 1/);
  });
});

describe("prove", () => {
  const request = { namespace: "shop", service: "web", address: "10.96.0.7", port: 80, timeoutMs: 10_000 };
  type Prove = Extract<SessionDown, { type: "prove" }>;

  /** Answers a proof; `arrive` says how a dial shows at which resolver, or that it does not. */
  function dialer(
    resolver: TestResolver,
    address: string,
    arrive: (
      openMs: number,
      index: number,
    ) => { at: TestResolver; address?: string; port?: number; openMs?: number } | undefined,
  ): { rounds: number; longest: number[] } {
    const state = { rounds: 0, longest: [] as number[] };
    const service = { namespace: "shop", service: "web" };
    resolver.onLine = (line) => {
      if (line.type !== "prove") return;
      state.rounds += 1;
      state.longest.push(Math.max(...(line as Prove).openMs));
      const dials = (line as Prove).openMs.map((openMs, i) => ({ address, port: 40_000 + i, openMs }));
      dials.forEach((dial, i) => {
        const arrival = arrive(dial.openMs, i);
        if (arrival === undefined) return;
        const { at, ...shown } = arrival;
        at.send({ type: "silent", ...service, peers: [{ ...dial, openMs: dial.openMs + 1, ...shown }] });
      });
      resolver.send({ type: "dialled", ...service, proof: (line as Prove).proof, dials });
    };
    return state;
  }

  it("proves by exact peers, whichever resolver accepted them", async () => {
    const r1 = await world.join("r1");
    const r2 = await world.join("r2");
    dialer(r1, "10.1.0.1", (_, i) => ({ at: i % 2 === 0 ? r1 : r2 }));
    dialer(r2, "10.1.0.2", () => ({ at: r1 }));
    assert.deepEqual(await world.hub.prove({ ...request, resolvers: ["r1", "r2"] }), { ok: true });
    assert.match(await world.metrics.render(), /elasti_proofs_total\{outcome="proven"\} 1/);
  });

  it("proves masqueraded resolvers by durations", async () => {
    const r1 = await world.join("r1");
    const r2 = await world.join("r2");
    let port = 1;
    dialer(r1, "10.1.0.1", () => ({ at: r1, address: "10.0.0.9", port: port++ }));
    dialer(r2, "10.1.0.2", () => ({ at: r1, address: "10.0.0.9", port: port++ }));
    assert.deepEqual(await world.hub.prove({ ...request, resolvers: ["r1", "r2"] }), { ok: true });
  });

  it("dials again while nodes lag, for those alone that are not proven", async () => {
    const r1 = await world.join("r1");
    const r2 = await world.join("r2");
    const first = dialer(r1, "10.1.0.1", () => ({ at: r1 }));
    const second: { rounds: number } = dialer(r2, "10.1.0.2", () => (second.rounds < 3 ? undefined : { at: r1 }));
    const outcome = world.hub.prove({ ...request, resolvers: ["r1", "r2"] });
    for (let i = 0; i < 10 && second.rounds < 3; i++) {
      await tell(r1, {});
      await tell(r2, {});
      await world.clock.advance(1_000);
    }
    assert.deepEqual(await outcome, { ok: true });
    assert.equal(first.rounds, 1);
  });

  describe("on a machine that jitters", () => {
    /** Every second connection is seen 40 ms longer than it was open, every other 40 ms shorter. */
    const jittering = (resolver: TestResolver, opened: (index: number) => boolean = () => true) =>
      dialer(resolver, "10.1.0.1", (openMs, i) =>
        opened(i)
          ? { at: resolver, address: "10.0.0.9", port: i + 1, openMs: Math.max(1, openMs + (i % 2 === 0 ? 40 : -40)) }
          : undefined,
      );
    const scales = ({ longest }: { longest: readonly number[] }) =>
      longest.map((ms) => 2 ** Math.round(Math.log2(ms / 62)));
    /** Lets time pass until it has dialled so often. */
    async function dialled(resolver: TestResolver, state: { rounds: number }, rounds: number): Promise<void> {
      for (let i = 0; i < 40 && state.rounds < rounds; i++) {
        await tell(resolver, {});
        await world.clock.advance(300);
      }
      await tell(resolver, {});
    }

    it("keeps masqueraded connections open longer until they can be told, and begins there the next time", async () => {
      const r1 = await world.join("r1");
      const state = jittering(r1);
      const first = world.hub.prove({ ...request, timeoutMs: 60_000, resolvers: ["r1"] });
      await dialled(r1, state, 4);
      assert.deepEqual(await first, { ok: true });
      assert.deepEqual(scales(state), [1, 2, 4, 8]);
      assert.deepEqual(await world.hub.prove({ ...request, resolvers: ["r1"] }), { ok: true });
      assert.deepEqual(scales(state).slice(4), [8]);
      const third = world.hub.prove({ ...request, timeoutMs: 60_000, resolvers: ["r1"] });
      await dialled(r1, state, 7);
      assert.deepEqual(await third, { ok: true });
      assert.deepEqual(scales(state).slice(5), [4, 8]);
    });

    it("takes from those that can be told how much longer is long enough", async () => {
      const r1 = await world.join("r1");
      const state = dialer(r1, "10.1.0.1", (openMs, i) => ({
        at: r1,
        openMs: Math.max(1, openMs + (i % 4 < 2 ? 40 : -40)),
        ...(i % 2 === 0 ? {} : { address: "10.0.0.9", port: i }),
      }));
      const outcome = world.hub.prove({ ...request, timeoutMs: 15_000, resolvers: ["r1"] });
      await dialled(r1, state, 2);
      assert.deepEqual(await outcome, { ok: true });
      assert.deepEqual(scales(state), [1, 8]);
    });

    it("dials no more for a resolver that is known by durations, where all have arrived", async () => {
      const r1 = await world.join("r1");
      const r2 = await world.join("r2");
      const first = dialer(r1, "10.1.0.1", (_, i) => ({ at: r1, address: "10.0.0.9", port: i + 1 }));
      const second: { rounds: number } = dialer(r2, "10.1.0.2", (openMs, i) => ({
        at: r2,
        address: "10.0.0.8",
        port: i + 1,
        openMs: openMs + (second.rounds < 2 ? 900 : 1),
      }));
      const outcome = world.hub.prove({ ...request, resolvers: ["r1", "r2"] });
      for (let i = 0; i < 40 && second.rounds < 2; i++) {
        await tell(r1, {});
        await tell(r2, {});
        await world.clock.advance(300);
      }
      assert.deepEqual(await outcome, { ok: true });
      assert.equal(first.rounds, 1);
    });

    it("opens no connection that could not be closed in time", async () => {
      const r1 = await world.join("r1");
      const state = dialer(r1, "10.1.0.1", (_, i) => ({ at: r1, openMs: 999, ...(i < 2 ? {} : { port: 9 }) }));
      const outcome = world.hub.prove({ ...request, timeoutMs: 3_000, resolvers: ["r1"] });
      await dialled(r1, state, 2);
      await world.clock.advance(3_000);
      assert.equal((await outcome).ok, false);
      // of 15, by the jitter; of the 3 s two are left when the second round begins
      assert.deepEqual(scales(state).slice(0, 2), [1, 4]);
    });

    it("says that connections cannot be told where they jitter even more", async () => {
      const r1 = await world.join("r1");
      const state = dialer(r1, "10.1.0.1", (_, i) => ({ at: r1, address: "10.0.0.9", port: i + 1, openMs: 999 }));
      const outcome = world.hub.prove({ ...request, timeoutMs: 4_000, resolvers: ["r1"] });
      await dialled(r1, state, 2);
      await world.clock.advance(4_000);
      const detail = "r1: its 10 connections cannot be told among 10 that arrived, by how long they were open";
      assert.deepEqual(await outcome, { ok: false, reason: "not-seen", detail });
    });

    it("keeps nothing open longer where connections end elsewhere", async () => {
      const r1 = await world.join("r1");
      const state = jittering(r1, (i) => i !== 7);
      const outcome = world.hub.prove({ ...request, timeoutMs: 4_000, resolvers: ["r1"] });
      await dialled(r1, state, 4);
      await world.clock.advance(4_000);
      const detail = "r1: of its 10 connections not all arrived at a resolver";
      assert.deepEqual(await outcome, { ok: false, reason: "not-seen", detail });
      assert.deepEqual(new Set(scales(state)), new Set([1]));
    });
  });

  it("is not proven when dials do not arrive until the time is up", async () => {
    const r1 = await world.join("r1");
    dialer(r1, "10.1.0.1", (_, i) => (i === 4 ? undefined : { at: r1 }));
    const outcome = world.hub.prove({ ...request, timeoutMs: 4_000, resolvers: ["r1"] });
    for (let i = 0; i < 4; i++) {
      await tell(r1, {});
      await world.clock.advance(1_000);
    }
    assert.deepEqual(await outcome, {
      ok: false,
      reason: "not-seen",
      detail: "r1: of its 10 connections not all arrived at a resolver",
    });
  });

  it("says what a resolver that cannot dial said", async () => {
    const r1 = await world.join("r1");
    r1.onLine = (line) => {
      if (line.type !== "prove") return;
      const { namespace, service, proof } = line;
      r1.send({ type: "dialled", namespace, service, proof, dials: [], error: "connect ECONNREFUSED" });
    };
    const outcome = world.hub.prove({ ...request, timeoutMs: 1_000, resolvers: ["r1"] });
    await tell(r1, {});
    await world.clock.advance(1_000);
    assert.deepEqual(await outcome, { ok: false, reason: "dial-failed", detail: "r1: connect ECONNREFUSED" });
  });

  it("is not proven by silence, by a broken session, or without resolvers", async () => {
    const r1 = await world.join("r1");
    const silent = world.hub.prove({ ...request, timeoutMs: 1_000, resolvers: ["r1"] });
    await world.clock.advance(1_000);
    const outcome = await silent;
    assert.ok(!outcome.ok && outcome.reason === "not-seen");
    const broken = world.hub.prove({ ...request, resolvers: ["r1"] });
    await r1.next("prove");
    await r1.leave();
    const lost = await broken;
    assert.ok(!lost.ok && lost.reason === "session-lost");
    const given = new AbortController();
    const r2 = await world.join("r2");
    const abandoned = world.hub.prove({ ...request, resolvers: ["r2"], signal: given.signal });
    await r2.next("prove");
    given.abort();
    assert.deepEqual(await abandoned, { ok: false, reason: "closed", detail: "the sleep was given up" });
    const absent = await world.hub.prove({ ...request, resolvers: ["r9"] });
    assert.ok(!absent.ok && absent.reason === "no-session");
    const none = await world.hub.prove({ ...request, resolvers: [] });
    assert.ok(!none.ok && none.reason === "no-resolvers");
    await world.close();
    assert.equal(world.clock.pendingTimers, 0);
  });
});
