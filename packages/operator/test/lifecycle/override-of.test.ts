import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { OVERRIDE_ANNOTATION } from "@elasti/api";
import { ManualClock } from "@elasti/core/testing";
import { overrideReader } from "../../src/lifecycle/override-of.ts";

describe("the override that counts for an ElastiService", () => {
  const clock = new ManualClock(Date.UTC(2026, 4, 4));
  const record = (kind: string, inMs: number) =>
    JSON.stringify({ kind, until: new Date(clock.now() + inMs).toISOString(), by: "ada" });
  const active = record("awake", 60_000);
  const other = record("pause", 60_000);
  const over = record("awake", -1);
  const rows: [string, string | undefined, string | undefined, [string, string | undefined, boolean]][] = [
    ["none", undefined, undefined, ["none", undefined, false]],
    ["its own", active, undefined, ["active", active, false]],
    ["its target's", undefined, active, ["active", active, true]],
    ["its own before its target's", active, other, ["active", active, false]],
    ["its own that cannot be read: somebody meant something", "?", active, ["invalid", "?", false]],
    ["its target's once its own is over", over, active, ["active", active, true]],
    ["its own that is over, for there is no other", over, undefined, ["expired", over, false]],
    ["its target's that cannot be read", undefined, "?", ["invalid", "?", true]],
  ];
  for (const [name, own, targets, wanted] of rows) {
    it(`is ${name}`, () => {
      const es = {
        metadata: { name: "web", annotations: own === undefined ? {} : { [OVERRIDE_ANNOTATION]: own } },
        spec: { service: "web", scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
      };
      const { found, record, onTarget } = overrideReader(clock, () => targets)(es);
      assert.deepEqual([found.state, record, onTarget], wanted);
    });
  }
});
