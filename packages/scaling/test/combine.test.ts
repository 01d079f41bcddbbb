import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { ManualClock } from "@elasti/core/testing";
import fc from "fast-check";
import {
  CombinedScaler,
  combineHealth,
  combineVerdicts,
  type Health,
  type Scaler,
  scalingErrors,
  type Verdict,
} from "../src/index.ts";
import { scalerContract } from "./scaler-contract.ts";

const signal = new AbortController().signal;
const kinds = ["Active", "Idle", "Unknown"] as const;
const verdict = (kind: Verdict["kind"], sampledAtMs = 1): Verdict => ({
  kind,
  reason: `${kind}Reason`,
  message: `it is ${kind}`,
  sampledAtMs,
});
const healthy: Health = { kind: "Healthy", reason: "Up", message: "up" };

function fixed(verdictNow: () => Verdict, healthNow: () => Health = () => healthy): Scaler {
  let closed = false;
  const open = (given: AbortSignal) => {
    given.throwIfAborted();
    if (closed) throw scalingErrors.ELASTI_SCALE_CLOSED("closed");
  };
  const say = async (given: AbortSignal, options: { notBeforeMs?: number } = {}) => {
    open(given);
    const now = verdictNow();
    return now.sampledAtMs < (options.notBeforeMs ?? 0) ? { ...now, kind: "Unknown" as const, reason: "Old" } : now;
  };
  return {
    isHealthy: async (given) => {
      open(given);
      return healthNow();
    },
    shouldScaleToZero: say,
    shouldScaleFromZero: say,
    close: async () => {
      closed = true;
    },
  };
}

scalerContract("CombinedScaler", async () => {
  const clock = new ManualClock();
  let state: "active" | "idle" | "gone" = "idle";
  const names = { active: "Active", idle: "Idle", gone: "Unknown" } as const;
  const child = fixed(
    () => verdict(names[state], clock.now()),
    () => (state === "gone" ? { ...healthy, kind: "Unhealthy" } : healthy),
  );
  const still = fixed(() => verdict("Idle", clock.now()));
  return {
    scaler: new CombinedScaler([
      { name: "triggers[0]", scaler: still },
      { name: "triggers[1]", scaler: child },
    ]),
    now: () => clock.now(),
    samples: () => undefined,
    dispose: async () => {},
    become: async (to) => {
      await clock.advance(1_000);
      state = to;
    },
  };
});

describe("several triggers", () => {
  it("any Active is Active, all Idle is Idle, otherwise Unknown", () => {
    fc.assert(
      fc.property(fc.array(fc.constantFrom(...kinds), { minLength: 1, maxLength: 6 }), (all) => {
        const { kind } = combineVerdicts(all.map((one, i) => ({ name: `triggers[${i}]`, verdict: verdict(one) })));
        const expected = all.includes("Active") ? "Active" : all.every((one) => one === "Idle") ? "Idle" : "Unknown";
        assert.equal(kind, expected);
      }),
    );
  });

  it("shows the reason of each that is Unknown, and is as old as the oldest sample", () => {
    const combined = combineVerdicts([
      { name: "triggers[0]", verdict: verdict("Unknown", 7) },
      { name: "triggers[1]", verdict: verdict("Idle", 3) },
      { name: "triggers[2]", verdict: verdict("Unknown", 9) },
    ]);
    assert.equal(combined.sampledAtMs, 3);
    assert.match(combined.message, /triggers\[0\]: UnknownReason, it is Unknown; triggers\[2\]/);
  });

  it("none at all is Unknown and not healthy", () => {
    assert.equal(combineVerdicts([]).kind, "Unknown");
    assert.equal(combineHealth([]).kind, "Unhealthy");
  });

  it("an idle one whose source cannot be believed does not let the target sleep, and does not wake it", async () => {
    for (const kind of ["Unhealthy", "NoSeries"] as const) {
      const scaler = new CombinedScaler([
        { name: "triggers[0]", scaler: fixed(() => verdict("Idle")) },
        {
          name: "triggers[1]",
          scaler: fixed(
            () => verdict("Idle"),
            () => ({ kind, reason: "Gap", message: "m" }),
          ),
        },
      ]);
      const toZero = await scaler.shouldScaleToZero(signal);
      assert.deepEqual([toZero.kind, toZero.reason], ["Unknown", "Gap"]);
      assert.equal((await scaler.shouldScaleFromZero(signal)).kind, "Idle");
    }
  });
});
