import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { maySleep, type SleepQuestion } from "../../src/lifecycle/may-sleep.ts";

const now = Date.UTC(2026, 0, 1, 12);
const idle: SleepQuestion = {
  nowMs: now,
  cooldown: { over: true, remainingMs: 0, sinceMs: now - 900_000 },
  verdict: { kind: "Idle", reason: "BelowThreshold", message: "0 < 1", sampledAtMs: now - 1_000 },
  verdictMaxAgeMs: 90_000,
  period: { inside: true },
  inFlight: 0,
  held: 0,
  silentResolvers: [],
  notBeforeMs: 0,
  blind: undefined,
  contestedUntilMs: undefined,
  autoscaler: undefined,
};

describe("whether a target may sleep", () => {
  it("is a yes when everything is known and idle", () =>
    assert.deepEqual(maySleep(idle), { may: true, message: "0 < 1" }));

  const cases: [string, Partial<SleepQuestion>, string][] = [
    [
      "an active trigger",
      { verdict: { ...idle.verdict!, kind: "Active", reason: "AboveThreshold" } },
      "AboveThreshold",
    ],
    ["an unknown verdict", { verdict: { ...idle.verdict!, kind: "Unknown", reason: "EmptyResult" } }, "EmptyResult"],
    ["no verdict yet", { verdict: undefined }, "NotAskedYet"],
    ["an old verdict", { verdict: { ...idle.verdict!, sampledAtMs: now - 90_001 } }, "VerdictTooOld"],
    ["being outside the period", { period: { inside: false } }, "OutsideEnabledPeriod"],
    ["a period that cannot be read", { period: { inside: false, problem: "schedule: x" } }, "EnabledPeriodInvalid"],
    ["a request in flight", { inFlight: 1 }, "InFlight"],
    ["a held request", { held: 1 }, "Held"],
    ["a resolver that does not report", { silentResolvers: ["resolver-1"] }, "ResolverSilent"],
    ["the cooldown", { cooldown: { over: false, remainingMs: 5_000, sinceMs: now } }, "Cooldown"],
    ["a sleep that failed a while ago", { notBeforeMs: now + 7_000 }, "SleepFailed"],
    [
      "traffic that resolvers do not see",
      { blind: { reason: "SelectorReverted", message: "reverted" } },
      "SelectorReverted",
    ],
    ["others who raise it again and again", { contestedUntilMs: now + 60_000 }, "Contested"],
    ["an autoscaler", { autoscaler: { reason: "AutoscalerPinned", message: "at 5" } }, "AutoscalerPinned"],
  ];
  for (const [name, change, reason] of cases) {
    it(`is a no for ${name}`, () => {
      const answer = maySleep({ ...idle, ...change });
      assert.equal(answer.may, false);
      assert.equal(!answer.may && answer.reason, reason);
    });
  }

  it("says when time alone will change it", () => {
    const answer = maySleep({ ...idle, cooldown: { over: false, remainingMs: 5_000, sinceMs: now } });
    assert.equal(!answer.may && answer.inMs, 5_000);
  });

  it("tells what is not known from what is active", () => {
    const answer = maySleep({ ...idle, verdict: { ...idle.verdict!, kind: "Unknown", reason: "EmptyResult" } });
    assert.equal(!answer.may && answer.unknown, true);
  });
});
