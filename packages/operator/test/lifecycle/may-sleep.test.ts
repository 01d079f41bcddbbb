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
  ruling: { sleep: undefined, stay: undefined, idle: undefined },
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

  const cooling = { cooldown: { over: false, remainingMs: 5_000, sinceMs: now } };
  const none: SleepQuestion["ruling"] = { sleep: undefined, stay: undefined, idle: undefined };

  describe("and an override or a policy", () => {
    const busy = { verdict: { ...idle.verdict!, kind: "Active" as const, reason: "AboveThreshold" } };
    const unknown = { verdict: { ...idle.verdict!, kind: "Unknown" as const, reason: "EmptyResult" } };
    const asleep = { ruling: { ...none, sleep: "asleep" as const } };
    const pinned = { ruling: { ...none, sleep: "pinned" as const } };
    const voted = { ruling: { ...none, idle: "rules ask for zero" } };
    const rows: [string, Partial<SleepQuestion>, string | true][] = [
      ["an override that keeps it up", { ruling: { ...none, stay: { reason: "Override", message: "" } } }, "Override"],
      ["a window's floor", { ruling: { ...none, stay: { reason: "PolicyFloor", message: "" } } }, "PolicyFloor"],
      ["a policy's zero stands in for the cooldown", { ...voted, ...cooling }, true],
      ["a policy's zero against an active trigger", { ...voted, ...busy }, "AboveThreshold"],
      ["a policy's zero against an unknown verdict", { ...voted, ...unknown }, "EmptyResult"],
      ["a policy's zero against requests", { ...voted, inFlight: 1 }, "InFlight"],
      ["a policy's zero against a hold", { ...voted, held: 1 }, "Held"],
      ["a policy's zero outside the period", { ...voted, period: { inside: false } }, "OutsideEnabledPeriod"],
      ["a policy's zero after a sleep that failed", { ...voted, notBeforeMs: now + 1 }, "SleepFailed"],
      ["asleep against an active trigger", { ...asleep, ...busy }, true],
      ["asleep against an unknown verdict", { ...asleep, ...unknown }, true],
      ["asleep before anybody asked", { ...asleep, verdict: undefined }, true],
      ["asleep within the cooldown", { ...asleep, ...cooling }, true],
      ["asleep outside the period", { ...asleep, period: { inside: false } }, true],
      ["asleep against a request in flight", { ...asleep, inFlight: 1 }, "InFlight"],
      ["asleep against a hold", { ...asleep, held: 1 }, "Held"],
      ["asleep without a resolver's word", { ...asleep, silentResolvers: ["resolver-1"] }, "ResolverSilent"],
      ["asleep after a sleep that failed", { ...asleep, notBeforeMs: now + 1 }, "SleepFailed"],
      ["asleep against who raises it", { ...asleep, contestedUntilMs: now + 1 }, "Contested"],
      [
        "asleep against an autoscaler",
        { ...asleep, autoscaler: { reason: "AutoscalerPinned", message: "" } },
        "AutoscalerPinned",
      ],
      ["a pin to zero under requests", { ...pinned, ...busy, inFlight: 3, held: 1 }, true],
      ["a pin to zero without a resolver's word", { ...pinned, silentResolvers: ["resolver-1"] }, "ResolverSilent"],
    ];
    for (const [name, change, wanted] of rows) {
      it(name, () => {
        const answer = maySleep({ ...idle, ...change });
        assert.equal(answer.may ? true : answer.reason, wanted);
      });
    }

    it("tells that a policy asked for it", () =>
      assert.deepEqual(maySleep({ ...idle, ...voted, ...cooling }), { may: true, message: "rules ask for zero" }));
  });

  it("says when time alone will change it", () => {
    const answer = maySleep({ ...idle, cooldown: { over: false, remainingMs: 5_000, sinceMs: now } });
    assert.equal(!answer.may && answer.inMs, 5_000);
  });

  it("tells what is not known from what is active", () => {
    const answer = maySleep({ ...idle, verdict: { ...idle.verdict!, kind: "Unknown", reason: "EmptyResult" } });
    assert.equal(!answer.may && answer.unknown, true);
  });
});
