import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { API_VERSION, type ElastiService, KIND } from "@elasti/api";
import { Memories, runOf } from "../../src/lifecycle/memory.ts";
import { Run } from "../../src/lifecycle/sleep-run.ts";

const es = (generation: number): ElastiService => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name: "web", namespace: "default", generation },
  spec: { service: "web", scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
});

describe("runOf", () => {
  it("ends a sleep with an edit of the spec that it was begun for", () => {
    const memory = new Memories().of("default/web");
    assert.equal(runOf(es(1), memory), undefined);
    memory.run = new Run(4, 1, () => 0);
    assert.equal(runOf(es(1), memory), memory.run);
    assert.equal(runOf(es(2), memory), undefined);
  });

  it("ends a sleep by order with the order, and one without goes on whatever is ordered", () => {
    const memory = new Memories().of("default/web");
    memory.run = new Run(4, 1, () => 0, "asleep");
    assert.deepEqual(
      (["asleep", "pinned", undefined] as const).map((ordered) => runOf(es(1), memory, ordered) === memory.run),
      [true, false, false],
    );
    memory.run = new Run(4, 1, () => 0);
    assert.equal(runOf(es(1), memory, "asleep"), memory.run);
  });
});
