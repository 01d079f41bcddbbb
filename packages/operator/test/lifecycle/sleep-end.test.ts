import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { Memories, type ServiceMemory } from "../../src/lifecycle/memory.ts";
import type { Observation, Step } from "../../src/lifecycle/phases.ts";
import { noteCompleted, noteGivenUp } from "../../src/lifecycle/sleep-end.ts";
import { Run } from "../../src/lifecycle/sleep-run.ts";

const draining = { phase: "Draining", wantsAwake: false, fence: "none" } as Observation;
const sealed: Observation = { ...draining, phase: "Sealed" };
const to = (phase: "Serving" | "Sealed" | "Asleep" | "Waking"): Step => ({ do: "set-phase", phase, why: "" });
const nowMs = 1_000;

function remembered(edit: (run: Run) => void = () => {}, requests = 0): ServiceMemory {
  const memory = new Memories().of("default/web");
  memory.run = new Run(8, 1, () => requests, undefined);
  edit(memory.run);
  return memory;
}

describe("noteGivenUp", () => {
  const failed = (run: Run) => {
    run.proof = "failed";
    run.proofDetail = "not-seen: r1";
  };
  const refused = (run: Run) => {
    run.seal = "refused";
  };

  it("overlooks steps that go on with a sleep, or have nothing to do with one", () => {
    for (const [step, o] of [
      [to("Sealed"), draining],
      [to("Asleep"), sealed],
      [to("Waking"), { ...draining, phase: "Asleep" }],
      [{ do: "park", why: "" }, draining],
    ] as [Step, Observation][]) {
      const memory = remembered(failed);
      assert.equal(noteGivenUp(step, o, memory, nowMs, false), undefined);
      assert.deepEqual([memory.failures, memory.routingProblem], [0, undefined]);
    }
  });

  it("tells activity from failures, and lets only failures delay the next sleep", () => {
    const cases: [string, ServiceMemory, Observation, number][] = [
      ["activity", remembered(failed, 1), draining, 0],
      ["activity", remembered(), { ...draining, wantsAwake: true }, 0],
      ["activity", remembered(), { ...sealed, fence: "landed" }, 0],
      ["routing", remembered(failed), draining, 1],
      ["seal", remembered(refused), sealed, 1],
      ["other", remembered(), draining, 1],
    ];
    for (const [cause, memory, o, failures] of cases) {
      assert.equal(noteGivenUp(to("Serving"), o, memory, nowMs, false), cause);
      assert.equal(memory.failures, failures, cause);
      assert.equal(memory.lastActiveMs, failures === 0 ? nowMs : 0, cause);
    }
    const memory = remembered(failed);
    noteGivenUp(to("Serving"), draining, memory, nowMs, false);
    assert.match(memory.routingProblem?.message ?? "", /not proven .*: not-seen: r1$/);
  });

  it("blames nobody for a sleep that nobody leads any more, and makes one that was ordered wait", () => {
    const memory = new Memories().of("default/web");
    assert.equal(noteGivenUp(to("Serving"), draining, memory, nowMs, false), "other");
    assert.deepEqual([memory.failures, memory.lastActiveMs], [0, 0]);
    const ordered = remembered(() => {}, 1);
    assert.equal(noteGivenUp(to("Serving"), draining, ordered, nowMs, true), "activity");
    assert.deepEqual([ordered.failures, ordered.lastActiveMs], [1, 0]);
  });
});

describe("noteCompleted", () => {
  it("forgets former failures once asleep", () => {
    const memory = remembered();
    memory.failures = 3;
    noteCompleted(to("Serving"), draining, memory);
    assert.equal(memory.failures, 3);
    noteCompleted(to("Asleep"), sealed, memory);
    assert.equal(memory.failures, 0);
  });
});
