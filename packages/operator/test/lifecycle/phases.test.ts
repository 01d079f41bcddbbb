import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { next, nextForWake, type Observation, type SleepRun } from "../../src/lifecycle/phases.ts";

const awake: Observation = {
  phase: "Serving",
  epoch: 7,
  drainEpoch: 4,
  phaseAgeMs: 60_000,
  podsGone: false,
  mode: "SelectorSwap",
  lifecycle: "live",
  service: "ok",
  parked: false,
  serviceEpoch: 6,
  slice: "absent",
  unroutedMs: 60_000,
  resolvers: 2,
  publicPods: 1,
  publicReady: 1,
  target: "found",
  replicas: 1,
  podsLeft: 1,
  readyPods: 1,
  trustsReady: true,
  answered: false,
  graceMs: 30_000,
  maySleep: false,
  wantsAwake: false,
  peersSealed: true,
  fence: "none",
  run: undefined,
  autoscalerDue: [],
};

const run: SleepRun = {
  drainEpoch: 8,
  parkWritten: false,
  proof: "none",
  grace: "none",
  look: "none",
  seal: "none",
  targetRead: false,
  zero: "none",
  zeroTries: 0,
  requestsSeen: 0,
};

const draining: Observation = { ...awake, phase: "Draining", epoch: 8, drainEpoch: 8, maySleep: true, run };
const routed: Observation = {
  ...draining,
  slice: "current",
  parked: true,
  publicPods: 0,
  publicReady: 0,
  run: { ...run, parkWritten: true },
};
const sealed: Observation = {
  ...routed,
  phase: "Sealed",
  epoch: 9,
  run: { ...run, parkWritten: true, proof: "ok", grace: "over", look: "idle", targetRead: true },
};
const asleep: Observation = {
  ...awake,
  phase: "Asleep",
  slice: "current",
  replicas: 0,
  podsLeft: 0,
  publicPods: 0,
  publicReady: 0,
  readyPods: 0,
};

/** What a step says in one word. */
function said(o: Observation): string {
  const step = next(o);
  if (step.do === "tell-autoscaler") return `tell ${step.stage}`;
  return step.do === "set-phase" ? step.phase : step.do;
}

describe("from Serving", () => {
  const cases: [string, Partial<Observation>, string][] = [
    ["waits while it is awake", {}, "wait"],
    ["begins to drain when it may sleep", { maySleep: true }, "Draining"],
    ["writes what an override asks for, before it looks whether to sleep", { adjustTo: 3, maySleep: true }, "adjust"],
    ["writes no replicas to what is at zero", { adjustTo: 3, replicas: 0, slice: "current", publicReady: 0 }, "Asleep"],
    ["lets nodes follow the last change first", { maySleep: true, phaseAgeMs: 29_000 }, "wait"],
    ["does not drain without a resolver", { maySleep: true, resolvers: 0 }, "wait"],
    ["takes a leftover park off", { parked: true, slice: "current" }, "unpark"],
    ["leads to resolvers before it takes a park off", { parked: true, slice: "absent" }, "write-slice"],
    ["removes the slice once pods are published", { slice: "current" }, "delete-slice"],
    ["fences a late park before it removes the slice", { slice: "current", serviceEpoch: 3 }, "fence-service"],
    ["keeps the slice while no pod is ready", { slice: "current", publicReady: 0 }, "wait"],
    ["lets resolvers hold when no pod is ready", { publicReady: 0 }, "write-slice"],
    ["follows the resolvers while the slice stands", { slice: "stale", publicReady: 0 }, "write-slice"],
    ["leads to resolvers after a manual scale to zero", { replicas: 0 }, "write-slice"],
    ["is asleep after a manual scale to zero", { replicas: 0, slice: "current", publicReady: 0 }, "Asleep"],
    ["Always: writes the slice first", { mode: "Always" }, "write-slice"],
    ["Always: then parks", { mode: "Always", slice: "current" }, "park"],
    [
      "Always: lets clients through when no resolver is up",
      { mode: "Always", slice: "current", parked: true, resolvers: 0 },
      "unpark",
    ],
    ["is degraded without its Service", { service: "missing" }, "Degraded"],
    ["is degraded without its target", { target: "missing" }, "Degraded"],
    ["deleted: releases when nothing of ours is left", { lifecycle: "restore" }, "release"],
    ["deleted: lets nodes follow before it lets go", { lifecycle: "restore", unroutedMs: 29_000 }, "wait"],
    [
      "deleted: leaves a target at zero that its own autoscaler took there once it was given back",
      { lifecycle: "restore", replicas: 0, publicReady: 0, readyPods: 0 },
      "release",
    ],
    [
      "deleted: wakes a target at zero while nodes may still lead to resolvers",
      { lifecycle: "restore", replicas: 0, publicReady: 0, readyPods: 0, unroutedMs: 29_000 },
      "Asleep",
    ],
    [
      "deleted: wakes a target at zero while its slice stands",
      { lifecycle: "restore", replicas: 0, publicReady: 0, readyPods: 0, slice: "current" },
      "Asleep",
    ],
    [
      "deleted: waits for pods to be published, however long it has been serving",
      { lifecycle: "restore", slice: "current", publicReady: 0, readyPods: 1, phaseAgeMs: 3_600_000 },
      "wait",
    ],
    ["deleted: takes the park off first", { lifecycle: "restore", parked: true, slice: "current" }, "unpark"],
    [
      "deleted: keeps the slice until pods are published",
      { lifecycle: "restore", slice: "current", publicReady: 0, phaseAgeMs: 5 },
      "wait",
    ],
    [
      "deleted: follows the resolvers until pods are published",
      { lifecycle: "restore", slice: "stale", publicReady: 0, phaseAgeMs: 5 },
      "write-slice",
    ],
    [
      "deleted: keeps no slice that leads to nobody",
      { lifecycle: "restore", slice: "stale", publicReady: 0, resolvers: 0, phaseAgeMs: 5 },
      "delete-slice",
    ],
    [
      "deleted: waits for no pod for ever",
      { lifecycle: "restore", slice: "stale", publicReady: 0, readyPods: 0, phaseAgeMs: 120_000 },
      "delete-slice",
    ],
  ];
  for (const [name, change, expected] of cases) it(name, () => assert.equal(said({ ...awake, ...change }), expected));
});

describe("taken over from KubeElasti", () => {
  const up: Observation = { ...awake, phase: undefined, epoch: 0, drainEpoch: 0, slice: "foreign" };
  const down: Observation = { ...up, replicas: 0, podsLeft: 0, publicPods: 0, publicReady: 0, readyPods: 0 };
  const cases: [string, Observation, string][] = [
    ["is served when it is up", up, "Serving"],
    ["loses its slice once it is served", { ...up, phase: "Serving" }, "delete-slice"],
    ["gets a slice of ours while no pod is ready", { ...up, phase: "Serving", publicReady: 0 }, "write-slice"],
    ["keeps its slice while nobody of ours listens", { ...up, phase: "Serving", publicReady: 0, resolvers: 0 }, "wait"],
    ["is woken when it sleeps: requests may wait at its resolvers", down, "scale-up"],
    ["sleeps on until resolvers of ours listen", { ...down, resolvers: 0 }, "wait"],
    ["is woken without them when it is deleted", { ...down, resolvers: 0, lifecycle: "restore" }, "scale-up"],
    ["sleeps on when nothing led to its resolvers", { ...down, slice: "absent" }, "write-slice"],
  ];
  for (const [name, observed, expected] of cases) it(name, () => assert.equal(said(observed), expected));
});

describe("in Draining", () => {
  const changed = (change: Partial<SleepRun>): Partial<Observation> => ({ run: { ...routed.run!, ...change } });
  const cases: [string, Partial<Observation>, string][] = [
    ["writes the slice first", { slice: "absent", parked: false, publicPods: 1, run }, "write-slice"],
    ["then parks", { parked: false, publicPods: 1, run }, "park"],
    ["waits for Kubernetes to empty its slices", { publicPods: 1 }, "wait"],
    ["gives up when Kubernetes does not", { publicPods: 1, phaseAgeMs: 61_000 }, "Serving"],
    ["proves that traffic reaches the resolvers", {}, "start-proof"],
    ["is undone when that is not proven", changed({ proof: "failed" }), "Serving"],
    ["then lets the grace pass", changed({ proof: "ok" }), "start-grace"],
    ["then looks again", changed({ proof: "ok", grace: "over" }), "look-again"],
    ["is undone when it is not idle then", changed({ proof: "ok", grace: "over", look: "not-idle" }), "Serving"],
    ["reads the target before it seals", changed({ proof: "ok", grace: "over", look: "idle" }), "read-target"],
    ["then seals", changed({ proof: "ok", grace: "over", look: "idle", targetRead: true }), "Sealed"],
    ["is undone by a request", changed({ requestsSeen: 1 }), "Serving"],
    ["is undone by activity", { maySleep: false }, "Serving"],
    ["is undone by another leader", { run: undefined }, "Serving"],
    ["is undone by a run of another epoch", changed({ drainEpoch: 5 }), "Serving"],
    ["is undone when it is deleted", { lifecycle: "restore" }, "Serving"],
    ["is undone when the park was reverted", { parked: false }, "Serving"],
    [
      "EndpointSlice: needs neither park nor proof",
      { mode: "EndpointSlice", parked: false, publicPods: 1 },
      "start-grace",
    ],
  ];
  for (const [name, change, expected] of cases) it(name, () => assert.equal(said({ ...routed, ...change }), expected));
});

describe("in Sealed", () => {
  const changed = (change: Partial<SleepRun>): Partial<Observation> => ({ run: { ...sealed.run!, ...change } });
  const cases: [string, Partial<Observation>, string][] = [
    ["asks every resolver to hold", {}, "start-seal"],
    ["scales to zero when all do", changed({ seal: "acked" }), "zero"],
    [
      "waits for the other services of the target",
      { ...changed({ seal: "acked" }), peersSealed: false, phaseAgeMs: 1 },
      "wait",
    ],
    [
      "fences when they do not come",
      { ...changed({ seal: "acked" }), peersSealed: false, phaseAgeMs: 61_000 },
      "fence-target",
    ],
    ["is asleep after the zero", changed({ seal: "acked", zero: "done" }), "Asleep"],
    ["fences when a resolver refuses", changed({ seal: "refused" }), "fence-target"],
    ["is undone without a fence where zero was refused", changed({ seal: "acked", zero: "refused" }), "Serving"],
    [
      "is undone so also where requests wait",
      { ...changed({ seal: "acked", zero: "refused" }), wantsAwake: true },
      "Serving",
    ],
    ["fences after a conflict", changed({ seal: "acked", zero: "conflict" }), "fence-target"],
    [
      "writes again when the outcome is unknown",
      changed({ seal: "acked", zero: "unknown-outcome", zeroTries: 1 }),
      "zero",
    ],
    ["fences when it stays unknown", changed({ seal: "acked", zero: "unknown-outcome", zeroTries: 3 }), "fence-target"],
    ["is undone only behind the fence", { fence: "kept" }, "Serving"],
    [
      "wakes when a zero may have been taken back by another fence",
      { ...changed({ zero: "conflict" }), fence: "kept" },
      "Waking",
    ],
    ["wakes when it does not know whether one was sent", { run: undefined, fence: "kept" }, "Waking"],
    ["fences for a request before the zero", changed({ requestsSeen: 1 }), "fence-target"],
    ["wakes when the zero had landed", { fence: "landed" }, "Waking"],
    ["another leader finishes what has landed", { run: undefined, replicas: 0 }, "Asleep"],
    ["another leader fences what has not", { run: undefined }, "fence-target"],
    ["fences for a hold", { wantsAwake: true }, "fence-target"],
    ["fences when the park was taken off", { ...changed({ seal: "acked" }), parked: false }, "fence-target"],
    [
      "needs no park in mode EndpointSlice",
      { ...changed({ seal: "acked" }), parked: false, mode: "EndpointSlice" },
      "zero",
    ],
    [
      "fences when the Service has gone",
      { ...changed({ seal: "acked" }), service: "missing", parked: false },
      "fence-target",
    ],
  ];
  for (const [name, change, expected] of cases) it(name, () => assert.equal(said({ ...sealed, ...change }), expected));
});

describe("in Degraded, by a Service that cannot be led", () => {
  const degraded: Observation = { ...awake, phase: "Degraded", service: "refused", slice: "current", phaseAgeMs: 5 };
  const cases: [string, Partial<Observation>, string][] = [
    ["removes the slice once pods are published", {}, "delete-slice"],
    ["lets resolvers hold until the pods of its wake are published", { publicReady: 0 }, "wait"],
    ["removes a slice that leads to nobody", { publicReady: 0, resolvers: 0 }, "delete-slice"],
    ["removes the slice where no pod is wanted", { publicReady: 0, replicas: 0 }, "delete-slice"],
    ["waits for no pod for ever", { publicReady: 0, phaseAgeMs: 120_000 }, "delete-slice"],
    ["takes a park off first", { parked: true, publicReady: 0 }, "unpark"],
  ];
  for (const [name, change, expected] of cases)
    it(name, () => assert.equal(said({ ...degraded, ...change }), expected));
});

describe("from Asleep", () => {
  const cases: [string, Partial<Observation>, string][] = [
    ["notes that the pods are gone", {}, "mark-pods-gone"],
    ["waits for the last pods", { podsLeft: 1 }, "wait"],
    ["takes the park off then", { podsGone: true, parked: true }, "unpark"],
    [
      "keeps the park of a target without readiness probe",
      { podsGone: true, parked: true, trustsReady: false },
      "wait",
    ],
    ["Always: parks what was found at zero", { mode: "Always" }, "park"],
    ["Always: keeps the park", { podsGone: true, parked: true, mode: "Always" }, "wait"],
    ["follows the resolvers", { slice: "stale" }, "write-slice"],
    ["scales up for a hold", { wantsAwake: true }, "scale-up"],
    ["is waking once replicas are asked for", { replicas: 1 }, "Waking"],
    ["deleted: scales up", { lifecycle: "restore" }, "scale-up"],
    ["deleted with its namespace: only lets go", { lifecycle: "release", parked: true }, "unpark"],
  ];
  for (const [name, change, expected] of cases) it(name, () => assert.equal(said({ ...asleep, ...change }), expected));
});

describe("in Waking", () => {
  const waking: Observation = { ...asleep, phase: "Waking", replicas: 1, podsGone: true };
  const cases: [string, Partial<Observation>, string][] = [
    ["waits for a pod", {}, "wait"],
    ["serves when one is published", { publicReady: 1 }, "Serving"],
    ["takes off a park that sleep had left", { parked: true }, "unpark"],
    ["waits for old pods first", { parked: true, podsGone: false, phaseAgeMs: 500 }, "wait"],
    ["no readiness probe: parked until a pod has answered", { parked: true, trustsReady: false, readyPods: 1 }, "wait"],
    [
      "no readiness probe and no resolver: clients go to the pods rather than nowhere",
      { parked: true, trustsReady: false, readyPods: 1, resolvers: 0, slice: "absent" },
      "unpark",
    ],
    ["no readiness probe: then not", { parked: true, trustsReady: false, answered: true }, "unpark"],
    ["Always: serves when a pod is ready", { mode: "Always", parked: true, readyPods: 1 }, "Serving"],
    ["falls asleep again when it is taken back", { replicas: 0 }, "Asleep"],
    ["scales up again while somebody waits", { replicas: 0, wantsAwake: true }, "scale-up"],
    ["falls asleep again when it is idle and no pod comes", { maySleep: true, phaseAgeMs: 60_000 }, "Draining"],
    ["deleted: waits for a pod, idle or not", { lifecycle: "restore", maySleep: true, phaseAgeMs: 60_000 }, "wait"],
  ];
  for (const [name, change, expected] of cases) it(name, () => assert.equal(said({ ...waking, ...change }), expected));
});

describe("an autoscaler", () => {
  const due = (...autoscalerDue: Observation["autoscalerDue"]) => ({ autoscalerDue });
  const all = due("paused", "asleep", "waking", "awake", "restored");
  const waking: Observation = { ...asleep, phase: "Waking", replicas: 1, podsGone: true };
  const cases: [string, Observation, string][] = [
    ["scales while the target serves", { ...awake, ...all }, "tell awake"],
    ["is told so before another sleep begins", { ...awake, ...all, maySleep: true }, "tell awake"],
    ["waits for the routes of clients", { ...awake, ...all, parked: true, slice: "current" }, "unpark"],
    ["is paused before clients are led away", { ...draining, ...all }, "tell paused"],
    ["is paused before the seal", { ...routed, ...all }, "tell paused"],
    ["is not told to hold at zero what is not there", { ...sealed, ...all }, "start-seal"],
    ["holds the target at zero when all else is done", { ...asleep, podsGone: true, ...all }, "tell asleep"],
    ["holds nothing at zero whose pods still leave", { ...asleep, podsLeft: 1, ...all }, "wait"],
    ["lets go before a wake", { ...asleep, ...all, wantsAwake: true }, "tell waking"],
    ["lets go of what somebody has scaled up", { ...waking, ...all }, "tell paused"],
    ["lets go of what was taken back", { ...waking, ...all, replicas: 0, wantsAwake: true }, "tell waking"],
    ["stays paused until a pod is ready", { ...waking, ...due("awake") }, "wait"],
    ["gets its values back when all else is", { ...awake, ...all, lifecycle: "restore" }, "tell restored"],
    ["gets them back from a target that is not woken", { ...asleep, ...all, lifecycle: "release" }, "tell restored"],
    [
      "scales without us where the Service is refused",
      { ...awake, ...all, phase: "Degraded", service: "refused" },
      "tell restored",
    ],
  ];
  for (const [name, o, expected] of cases) it(name, () => assert.equal(said(o), expected));
});

describe("a hold at a replica that does not lead", () => {
  const cases: [string, Partial<Observation>, string][] = [
    ["does nothing while it serves", {}, "wait"],
    ["scales up what was scaled to zero by hand", { replicas: 0 }, "scale-up"],
    ["ends Draining", { phase: "Draining" }, "Serving"],
    ["fences Sealed first", { phase: "Sealed" }, "fence-target"],
    ["then wakes, whoever took a zero back", { phase: "Sealed", fence: "kept" }, "Waking"],
    ["or wakes", { phase: "Sealed", fence: "landed" }, "Waking"],
    ["scales up from Asleep", { phase: "Asleep", replicas: 0 }, "scale-up"],
    ["then says so", { phase: "Asleep" }, "Waking"],
  ];
  for (const [name, change, expected] of cases) {
    it(name, () => {
      const step = nextForWake({ ...awake, ...change });
      assert.equal(step.do === "set-phase" ? step.phase : step.do, expected);
    });
  }
});

describe("whatever is observed", () => {
  const observation = fc.record({
    phase: fc.constantFrom("Serving", "Draining", "Sealed", "Asleep", "Waking", "Degraded", undefined),
    epoch: fc.constantFrom(8, 9),
    drainEpoch: fc.constantFrom(0, 8),
    phaseAgeMs: fc.constantFrom(0, 100_000, 200_000),
    podsGone: fc.boolean(),
    mode: fc.constantFrom("SelectorSwap", "EndpointSlice", "Always"),
    lifecycle: fc.constantFrom("live", "restore", "release"),
    service: fc.constantFrom("ok", "missing", "refused"),
    parked: fc.boolean(),
    serviceEpoch: fc.constantFrom(0, 8, 9),
    slice: fc.constantFrom("absent", "stale", "current", "foreign"),
    unroutedMs: fc.constantFrom(0, 100_000),
    resolvers: fc.constantFrom(0, 2),
    publicPods: fc.constantFrom(0, 1),
    publicReady: fc.constantFrom(0, 1),
    target: fc.constantFrom("found", "missing"),
    replicas: fc.constantFrom(0, 1),
    podsLeft: fc.constantFrom(0, 1),
    readyPods: fc.constantFrom(0, 1),
    trustsReady: fc.boolean(),
    answered: fc.boolean(),
    graceMs: fc.constantFrom(0, 30_000),
    maySleep: fc.boolean(),
    wantsAwake: fc.boolean(),
    adjustTo: fc.constantFrom(undefined, 3),
    peersSealed: fc.boolean(),
    fence: fc.constantFrom("none", "kept", "landed"),
    run: fc.option(
      fc.record({
        drainEpoch: fc.constant(8),
        parkWritten: fc.boolean(),
        proof: fc.constantFrom("none", "running", "ok", "failed"),
        grace: fc.constantFrom("none", "running", "over"),
        look: fc.constantFrom("none", "running", "idle", "not-idle"),
        seal: fc.constantFrom("none", "running", "acked", "refused"),
        targetRead: fc.boolean(),
        zero: fc.constantFrom("none", "done", "conflict", "unknown-outcome", "refused"),
        zeroTries: fc.constantFrom(0, 3),
        requestsSeen: fc.constantFrom(0, 1),
      }),
      { nil: undefined },
    ),
    autoscalerDue: fc.subarray(["paused", "asleep", "waking", "awake", "restored"]),
  }) as fc.Arbitrary<Observation>;

  it("pauses an autoscaler before the seal and before a wake, and lets it scale only what serves", () => {
    fc.assert(
      fc.property(observation, (o) => {
        const step = next(o);
        const { autoscalerDue: due } = o;
        if (step.do === "set-phase" && step.phase === "Sealed") assert.equal(due.includes("paused"), false);
        if (step.do === "scale-up" && o.phase !== "Serving" && o.service === "ok")
          assert.equal(due.includes("waking"), false);
        if (step.do === "release") assert.equal(due.includes("restored"), false);
        if (step.do !== "tell-autoscaler") return;
        assert.equal(due.includes(step.stage), true);
        if (step.stage === "awake") assert.deepEqual([o.phase, o.replicas > 0], ["Serving", true]);
        if (step.stage === "asleep") assert.deepEqual([o.phase, o.replicas, o.wantsAwake], ["Asleep", 0, false]);
      }),
      { numRuns: 5_000 },
    );
  });

  it("writes zero only while sealed, acknowledged, idle and unwanted", () => {
    fc.assert(
      fc.property(observation, (o) => {
        if (next(o).do !== "zero") return;
        assert.equal(o.phase, "Sealed");
        assert.equal(o.run?.seal, "acked");
        assert.equal(o.wantsAwake, false);
        assert.equal(o.service, "ok");
        assert.equal(o.parked || o.mode === "EndpointSlice", true);
        assert.equal(o.peersSealed || o.run?.zero === "unknown-outcome", true);
      }),
      { numRuns: 5_000 },
    );
  });

  it("writes what an override asks for only while it serves, and lives", () => {
    fc.assert(
      fc.property(observation, (o) => {
        if (next(o).do !== "adjust") return;
        assert.deepEqual([o.phase, o.lifecycle, o.adjustTo, o.replicas > 0], ["Serving", "live", 3, true]);
      }),
      { numRuns: 5_000 },
    );
  });

  it("leaves Sealed for a forwarding phase only behind the fence", () => {
    fc.assert(
      fc.property(observation, (o) => {
        const step = next(o);
        if (o.phase !== "Sealed" || step.do !== "set-phase") return;
        if (step.phase === "Serving" && o.run?.zero === "refused") return;
        if (step.phase === "Serving" || step.phase === "Waking") assert.notEqual(o.fence, "none");
      }),
      { numRuns: 5_000 },
    );
  });

  it("parks only what leads to a resolver, and removes the slice only from what is not parked", () => {
    fc.assert(
      fc.property(observation, (o) => {
        const step = next(o);
        if (step.do === "park") assert.ok(o.slice === "current" && o.resolvers > 0);
        if (step.do === "delete-slice") assert.equal(o.parked, false);
      }),
      { numRuns: 5_000 },
    );
  });
});
