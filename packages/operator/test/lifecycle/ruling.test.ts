import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { API_VERSION, KIND, OVERRIDE_ANNOTATION } from "@elasti/api";
import { ManualClock } from "@elasti/core/testing";
import type { Override } from "@elasti/scaling";
import { overrideReader } from "../../src/lifecycle/override-of.ts";
import { pinnedWaking, rulingOf, wakeReplicas, wakeWanted } from "../../src/lifecycle/ruling.ts";
import type { PolicyVote } from "../../src/policy-hooks.ts";

const until = "2026-12-24T18:00:00.000Z";
const untilMs = Date.parse(until);
const by = "ada";
const common = { until, untilMs, by };
const of = (kind: "pause" | "awake" | "asleep"): Override => ({ kind, ...common });
const counted = (kind: "pin" | "at-least", replicas: number): Override => ({ kind, replicas, ...common });
const vote: PolicyVote = { idle: "rules ask for zero", floor: { replicas: 3, message: "business hours" }, awake: 2 };

describe("what overrides and policies say of sleeping and waking", () => {
  const rows: [string, Override | undefined, PolicyVote, [unknown, unknown, unknown, boolean, unknown]][] = [
    ["nothing", undefined, {}, [undefined, undefined, undefined, false, undefined]],
    ["a policy's zero", undefined, { idle: "x" }, [undefined, undefined, undefined, false, "x"]],
    ["a window's floor", undefined, vote, [undefined, "PolicyFloor", "policy", false, "rules ask for zero"]],
    [
      "policies that are not known",
      undefined,
      { unknown: "x" },
      [undefined, "PoliciesUnknown", undefined, false, undefined],
    ],
    [
      "a floor beside them",
      undefined,
      { ...vote, unknown: "x" },
      [undefined, "PolicyFloor", "policy", false, vote.idle],
    ],
    ["asleep, beside them", of("asleep"), { unknown: "x" }, ["asleep", undefined, undefined, true, undefined]],
    ["awake", of("awake"), { idle: "x" }, [undefined, "Override", "override", false, undefined]],
    ["at least 2", counted("at-least", 2), vote, [undefined, "Override", "override", false, undefined]],
    ["a pin to 2", counted("pin", 2), { idle: "x" }, [undefined, "Override", "override", false, undefined]],
    ["a pin to 0, against a floor", counted("pin", 0), vote, ["pinned", undefined, undefined, true, undefined]],
    ["asleep, against a floor", of("asleep"), vote, ["asleep", undefined, undefined, true, undefined]],
    ["a pause, of policies too", of("pause"), vote, [undefined, "Override", undefined, true, undefined]],
  ];
  for (const [name, override, says, wanted] of rows) {
    it(name, () => {
      const { sleep, stay, wake, quiet, idle } = rulingOf(override, says);
      assert.deepEqual([sleep, stay?.reason, wake, quiet, idle], wanted);
    });
  }

  it("tells the reason for which it may not sleep", () =>
    assert.equal(rulingOf(of("awake"), {}).stay?.message, `awake until ${until} by ada`));
});

describe("the replicas of a wake", () => {
  const rows: [string, Override | undefined, PolicyVote, number][] = [
    ["what the target asks for", undefined, {}, 2],
    ["more, for a policy", undefined, { awake: 4 }, 4],
    ["more, for a window's floor", undefined, { floor: { replicas: 5, message: "" }, awake: 4 }, 5],
    ["never less", undefined, { awake: 1 }, 2],
    ["more, at the least", counted("at-least", 6), { awake: 4 }, 6],
    ["exactly the pin", counted("pin", 1), { awake: 4 }, 1],
    ["as ever, of what is asleep by order", of("asleep"), {}, 2],
    ["as ever, of what is pinned asleep", counted("pin", 0), {}, 2],
  ];
  for (const [name, override, says, wanted] of rows) {
    it(name, () => assert.equal(wakeReplicas(override, says, 2), wanted));
  }

  it("are those of the moment", async () => {
    const clock = new ManualClock();
    const end = new Date(clock.now() + 1_000).toISOString();
    const record = JSON.stringify({ kind: "at-least", replicas: 5, until: end, by });
    const annotations = { [OVERRIDE_ANNOTATION]: record };
    const wanted = wakeWanted(
      () => ({ replicas: 1, autoscaled: true }),
      { of: () => ({}) },
      overrideReader(clock, () => undefined),
    );
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "web" };
    const es = {
      apiVersion: API_VERSION,
      kind: KIND,
      metadata: { name: "web", annotations },
      spec: { service: "web", scaleTargetRef },
    };
    assert.deepEqual(wanted(es), { replicas: 5, autoscaled: true });
    await clock.advance(1_000);
    assert.deepEqual(wanted(es), { replicas: 1, autoscaled: true });
  });
});

describe("what resolvers are shown of a pin to zero", () => {
  const nowMs = untilMs - 60_000;
  it("is the reason, and its end", () =>
    assert.deepEqual(pinnedWaking(counted("pin", 0), undefined, nowMs), {
      reason: "PinnedAsleep",
      message: `pinned-asleep: pin 0 until ${until} by ada`,
      since: new Date(nowMs).toISOString(),
      certain: true,
      until,
    }));

  it("stays as it is while it stands", () => {
    const before = pinnedWaking(counted("pin", 0), undefined, nowMs);
    assert.deepEqual(pinnedWaking(counted("pin", 0), before, nowMs + 5_000), before);
  });

  it("is nothing for any other override", () => {
    for (const override of [counted("pin", 1), counted("at-least", 1), of("asleep"), of("pause"), of("awake")])
      assert.equal(pinnedWaking(override, undefined, nowMs), undefined);
  });
});
