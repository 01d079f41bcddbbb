import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { API_VERSION, KIND } from "@elasti/api";
import { type PhaseChange, phaseEntry } from "../../src/lifecycle/phase-entry.ts";

const es = {
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name: "web" },
  spec: { service: "web", scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
};
const change: PhaseChange = {
  es,
  from: "Sealed",
  to: "Asleep",
  why: "scaled to zero",
  ruling: { sleep: undefined, by: undefined },
  wakeReason: "manual",
  byOthers: false,
  before: 3,
  now: 0,
  atMs: 5,
};
const wake: PhaseChange = { ...change, from: "Asleep", to: "Waking", why: "wanted awake", before: undefined, now: 2 };

describe("what the journal is told of a change of phase", () => {
  const rows: [string, PhaseChange, unknown][] = [
    ["a sleep", change, ["sleep", 3, 0, "operator"]],
    [
      "a sleep that an override asked for",
      { ...change, ruling: { sleep: "asleep", by: "ada" } },
      ["sleep", 3, 0, "override:ada"],
    ],
    ["a sleep that another leader had begun", { ...change, before: undefined }, ["sleep", null, 0, "operator"]],
    ["a zero by hand", { ...change, from: "Serving", before: undefined }, ["sleep", null, 0, "manual"]],
    ["a wake for a request", { ...wake, wakeReason: "request" }, ["wake", 0, 2, "operator"]],
    ["a wake by a policy", { ...wake, wakeReason: "policy" }, ["wake", 0, 2, "operator"]],
    ["a wake by hand", { ...wake, byOthers: true }, ["wake", 0, 2, "manual"]],
    ["a wake that was under way when its leader began", wake, ["wake", 0, 2, "operator"]],
    [
      "a wake by an override",
      { ...wake, wakeReason: "override", ruling: { sleep: undefined, by: "ada" } },
      ["wake", 0, 2, "override:ada"],
    ],
    ["the first look at a target at zero", { ...change, from: undefined }, undefined],
    ["a wake that is over", { ...change, from: "Waking", to: "Serving" }, undefined],
    ["a sleep that begins", { ...change, from: "Serving", to: "Draining" }, undefined],
    ["a sleep that was undone", { ...change, from: "Sealed", to: "Serving" }, undefined],
  ];
  for (const [name, given, wanted] of rows) {
    it(name, () => {
      const entry = phaseEntry(given);
      const { action, previousReplicas, newReplicas, triggeredBy } = entry ?? {};
      assert.deepEqual(entry && [action, previousReplicas, newReplicas, triggeredBy], wanted);
    });
  }
});
