import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import { type ResolverTraffic, TrafficScaler } from "../src/index.ts";
import { scalerContract } from "./scaler-contract.ts";

const signal = new AbortController().signal;
const COOLDOWN = 60_000;
const SILENCE = 9_000;

function fixture() {
  const clock = new ManualClock();
  const state: { required: string[]; reports: ResolverTraffic[] } = { required: ["r1", "r2"], reports: [] };
  const scaler = new TrafficScaler({
    source: { traffic: () => state },
    service: { namespace: "default", name: "web" },
    clock,
    cooldownMs: COOLDOWN,
    silenceMs: SILENCE,
  });
  const report = (resolver: string, more: Partial<ResolverTraffic> = {}): ResolverTraffic => ({
    resolver,
    heardAtMs: clock.now(),
    observedSinceMs: clock.now() - COOLDOWN,
    inFlight: 0,
    held: 0,
    lastRequestAtMs: undefined,
    ...more,
  });
  return { clock, state, scaler, report };
}

scalerContract("TrafficScaler", async () => {
  const { clock, state, scaler, report } = fixture();
  return {
    scaler,
    now: () => clock.now(),
    samples: () => undefined,
    dispose: async () => {},
    become: async (to) => {
      await clock.advance(5_000);
      state.reports = to === "gone" ? [] : [report("r1"), report("r2", { inFlight: to === "active" ? 1 : 0 })];
    },
  };
});

describe("TrafficScaler", () => {
  type Make = (f: ReturnType<typeof fixture>) => ResolverTraffic[];
  const rows: [string, Make, "Active" | "Idle" | "Unknown", string][] = [
    ["nothing for the cooldown", ({ report }) => [report("r1"), report("r2")], "Idle", "NoTraffic"],
    ["a request in flight", ({ report }) => [report("r1", { inFlight: 1 }), report("r2")], "Active", "InFlight"],
    ["a request held", ({ report }) => [report("r1", { held: 1 }), report("r2")], "Active", "InFlight"],
    [
      "a request just within the cooldown",
      ({ report, clock }) => [report("r1", { lastRequestAtMs: clock.now() - COOLDOWN + 1 }), report("r2")],
      "Active",
      "RecentRequest",
    ],
    [
      "a request as long ago as the cooldown",
      ({ report, clock }) => [report("r1", { lastRequestAtMs: clock.now() - COOLDOWN }), report("r2")],
      "Idle",
      "NoTraffic",
    ],
    [
      "traffic at a resolver that need not report, others silent",
      ({ report }) => [report("r9", { inFlight: 1 })],
      "Active",
      "InFlight",
    ],
    ["one that never reported", ({ report }) => [report("r1")], "Unknown", "ResolverSilent"],
    [
      "one that fell silent",
      ({ report, clock }) => [report("r1"), report("r2", { heardAtMs: clock.now() - SILENCE - 1 })],
      "Unknown",
      "ResolverSilent",
    ],
    [
      "too short a watch, as after a start",
      ({ report, clock }) => [report("r1"), report("r2", { observedSinceMs: clock.now() - COOLDOWN + 1 })],
      "Unknown",
      "WatchedTooShortly",
    ],
    [
      "a short watch of a resolver that knows its last request",
      ({ report, clock }) => [
        report("r1"),
        report("r2", { observedSinceMs: clock.now(), lastRequestAtMs: clock.now() - COOLDOWN }),
      ],
      "Idle",
      "NoTraffic",
    ],
  ];
  for (const [name, make, kind, reason] of rows) {
    it(`says ${kind} (${reason}) on ${name}`, async () => {
      const all = fixture();
      all.state.reports = make(all);
      const verdict = await all.scaler.shouldScaleToZero(signal);
      assert.deepEqual([verdict.kind, verdict.reason], [kind, reason]);
    });
  }

  it("says Unknown when no resolver serves the service", async () => {
    const all = fixture();
    all.state.required = [];
    assert.equal((await all.scaler.shouldScaleToZero(signal)).reason, "NoResolver");
  });

  it("wants reports from after the moment asked for", async () => {
    const { state, report, scaler, clock } = fixture();
    state.reports = [report("r1"), report("r2")];
    await clock.advance(100);
    assert.equal((await scaler.shouldScaleToZero(signal)).kind, "Idle");
    assert.equal((await scaler.shouldScaleToZero(signal, { notBeforeMs: clock.now() })).reason, "ReportTooOld");
  });
});
