import assert from "node:assert/strict";
import { afterEach, beforeEach, test } from "node:test";
import { silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { FaultInjector, type KubeClient, LeaderElector, type LeaderElectorOptions, type Lease } from "../src/index.ts";
import { answer, ScriptedServer, status } from "./scripted-server.ts";

let server: ScriptedServer;
let clock: ManualClock;
let lease: Lease | undefined;
let version: number;
let opened: { elector: LeaderElector; client: KubeClient }[];

/** A store for one Lease with the API server's rules of resourceVersion. */
beforeEach(async () => {
  server = await new ScriptedServer().start();
  clock = new ManualClock();
  lease = undefined;
  version = 0;
  opened = [];
  server.script = ({ method, body }, response) => {
    if (method === "GET") {
      if (lease === undefined) return answer(response, 404, status(404, "NotFound", "no lease"));
      return answer(response, 200, lease);
    }
    const given = body as Lease;
    if (method === "POST" && lease !== undefined) return answer(response, 409, status(409, "AlreadyExists", "there"));
    if (method === "PUT" && given.metadata.resourceVersion !== lease?.metadata.resourceVersion) {
      return answer(response, 409, status(409, "Conflict", "modified"));
    }
    version += 1;
    lease = { ...given, metadata: { ...given.metadata, resourceVersion: String(version) } };
    answer(response, 200, lease);
  };
});

afterEach(async () => {
  for (const { elector, client } of opened) {
    await settle(elector.close());
    await client.close();
  }
  assert.equal(clock.pendingTimers, 0, "no timer is left");
  await server.close();
});

interface Candidate {
  elector: LeaderElector;
  faults: FaultInjector;
  log: string[];
  client: KubeClient;
}

function candidate(identity: string, options: Partial<LeaderElectorOptions> = {}): Candidate {
  const faults = new FaultInjector({ clock });
  const client = server.client({ clock, transport: faults.transport });
  const log: string[] = [];
  const elector = new LeaderElector({
    client,
    clock,
    logger: silentLogger,
    namespace: "elasti",
    name: "leader",
    identity,
    random: () => 0,
    onStartedLeading: (signal) => {
      log.push("started");
      signal.addEventListener("abort", () => log.push("aborted"));
    },
    onStoppedLeading: () => void log.push("stopped"),
    ...options,
  });
  opened.push({ elector, client });
  elector.start();
  return { elector, faults, log, client };
}

/** Real sockets need real turns of the loop: small steps of the clock until `condition` holds, at most `maxMs`. */
async function until(condition: () => boolean, maxMs: number, stepMs = 50): Promise<void> {
  for (let passed = 0; passed <= maxMs; passed += stepMs) {
    if (condition()) return;
    await turns();
    await clock.advance(stepMs);
  }
  assert.fail(`did not happen within ${maxMs} ms`);
}

async function pass(ms: number): Promise<void> {
  for (let passed = 0; passed < ms; passed += 50) {
    await clock.advance(50);
    await turns();
  }
}

/** Lets requests on loopback come to their end. */
async function turns(): Promise<void> {
  for (let i = 0; i < 5; i++) await new Promise((resolve) => setImmediate(resolve));
}

async function settle(promise: Promise<void>): Promise<void> {
  let done = false;
  void promise.finally(() => {
    done = true;
  });
  await until(() => done, 60_000);
}

test("one of two leads and renews; the other takes over at once when the Lease is given back", async () => {
  const a = candidate("a");
  await until(() => a.elector.isLeader, 5_000);
  const b = candidate("b");
  await pass(30_000);
  assert.deepEqual([a.elector.isLeader, b.elector.isLeader, b.elector.leader], [true, false, "a"]);
  assert.equal(lease!.spec.leaseDurationSeconds, 15);
  assert.match(lease!.spec.renewTime!, /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z$/);
  const before = clock.now();
  await settle(a.elector.close());
  assert.deepEqual(a.log, ["started", "aborted", "stopped"]);
  assert.equal(lease!.spec.holderIdentity, "");
  await until(() => b.elector.isLeader, 5_000);
  assert.ok(clock.now() - before < 3_000);
  assert.deepEqual([lease!.spec.holderIdentity, lease!.spec.leaseTransitions], ["b", 1]);
});

test("a leader that cannot renew stops before anybody else may lead", async () => {
  const a = candidate("a");
  await until(() => a.elector.isLeader, 5_000);
  const b = candidate("b");
  await pass(4_000);
  a.faults.cut({}, "before-send");
  const cutAt = clock.now();
  await until(() => !a.elector.isLeader, 20_000);
  assert.ok(clock.now() - cutAt <= 10_100, `${clock.now() - cutAt}`);
  assert.equal(b.elector.isLeader, false);
  await until(() => a.log.includes("stopped"), 1_000);
  await until(() => b.elector.isLeader, 20_000);
  assert.ok(clock.now() - cutAt >= 13_000, "no sooner than a lease after the last renewal");
  a.faults.clear();
  await until(() => a.elector.leader === "b", 5_000);
  assert.equal(a.elector.isLeader, false);
});

test("expiry is counted from when the Lease was seen to change, whatever the holder's clock says", async () => {
  const times = { acquireTime: "1970-01-01T00:00:00.000000Z", renewTime: "1970-01-01T00:00:00.000000Z" };
  lease = {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: "leader", namespace: "elasti", resourceVersion: "0" },
    spec: { holderIdentity: "x", leaseDurationSeconds: 15, leaseTransitions: 4, ...times },
  };
  const a = candidate("a");
  await pass(14_000);
  assert.equal(a.elector.isLeader, false);
  await until(() => a.elector.isLeader, 5_000);
  assert.equal(lease!.spec.leaseTransitions, 5);
});

test("a leader whose Lease was taken stops at once", async () => {
  const a = candidate("a");
  await until(() => a.elector.isLeader, 5_000);
  version += 1;
  lease = {
    ...lease!,
    metadata: { ...lease!.metadata, resourceVersion: String(version) },
    spec: { ...lease!.spec, holderIdentity: "thief" },
  };
  await until(() => a.log.includes("stopped"), 2_500);
  assert.equal(a.elector.isLeader, false);
});

test("a renewal that never comes back does not outlast the deadline", async () => {
  const a = candidate("a");
  await until(() => a.elector.isLeader, 5_000);
  const held = a.faults.hold({ verb: "update" });
  await until(() => held.hits > 0, 3_000);
  await until(() => a.log.includes("stopped"), 11_000);
  held.release();
});

test("closing waits for the leader's work before the Lease is given back", async () => {
  const work = Promise.withResolvers<void>();
  const a = candidate("a", { onStartedLeading: () => work.promise });
  await until(() => a.elector.isLeader, 5_000);
  const closed = a.elector.close();
  await pass(500);
  assert.equal(lease!.spec.holderIdentity, "a");
  work.resolve();
  await settle(closed);
  assert.equal(lease!.spec.holderIdentity, "");
});

test("work that does not end keeps the Lease until it expires by itself", async () => {
  const a = candidate("a", { onStartedLeading: () => new Promise(() => {}) });
  await until(() => a.elector.isLeader, 5_000);
  await settle(a.elector.close());
  assert.equal(lease!.spec.holderIdentity, "a");
});

test("two that start at the same moment do not both lead", async () => {
  const [a, b] = [candidate("a"), candidate("b")];
  await until(() => a.elector.isLeader || b.elector.isLeader, 5_000);
  await pass(10_000);
  assert.equal([a, b].filter(({ elector }) => elector.isLeader).length, 1);
});
