import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import { describe, it } from "node:test";
import { parseAllDocuments } from "yaml";
import { decide, metricsOf, normalizePolicy } from "../../src/index.ts";
import { at, body, context, found, Run } from "./kit.ts";

const page = readFileSync(join(import.meta.dirname, "..", "..", "..", "..", "docs", "policies.md"), "utf8");

/** Blocks of the page that are policies, or the schedules or rules of one. */
const examples = [...page.matchAll(/^```yaml\n([\s\S]*?)^```/gm)]
  .flatMap((match) => parseAllDocuments(match[1]!))
  .map((document): Record<string, unknown> => document.toJS())
  .filter((one) => ["target_type", "schedules", "scale_up_rules"].some((key) => key in one));

/** An example, evaluated once a minute with one reading of all of its metrics. */
class Shown extends Run {
  constructor(name: string, replicas: number, from: string) {
    const targetTypes = { ...context.targetTypes, scaledobject: { needsRef: true } };
    const example = examples.find((one) => one.name === name);
    const { draft } = normalizePolicy(example, { ...context, targetTypes });
    assert.ok(draft !== undefined, `there is no example ${name}`);
    const before = "2026-05-01T00:00:00.000Z";
    super({ ...draft, version: 1, created_at: before, updated_at: before }, replicas, at(from));
  }

  minutes(count: number, value: number): ReturnType<Run["step"]> {
    const intervalMs = 60_000;
    for (let minute = 1; ; minute += 1) {
      this.nowMs += intervalMs;
      const { policy, state, nowMs, target } = this;
      const samples = new Map(
        [...metricsOf(policy).keys()].map((key) => [key, { kind: "value" as const, value, atMs: nowMs }]),
      );
      const decided = decide({ policy, state, nowMs, intervalMs, samples, target });
      this.state = decided.state;
      const { action, desired_replicas: desired } = decided.decision;
      if (target.kind === "found" && action !== "none") this.target = { ...target, replicas: desired! };
      if (minute === count) return decided.decision;
    }
  }
}

describe("docs/policies.md", () => {
  it("has examples", () => assert.ok(examples.length >= 3));

  for (const [index, example] of examples.entries()) {
    it(`shows a policy that can be used, example ${index + 1}`, () => {
      const whole = "target_type" in example ? example : { ...body({ max_replicas: 30 }), ...example };
      const targetTypes = { ...context.targetTypes, scaledobject: { needsRef: true } };
      assert.deepEqual(normalizePolicy(whole, { ...context, targetTypes }).errors, undefined);
    });
  }

  it("has three while people work, and one otherwise", () => {
    const run = new Shown("intranet", 1, "2026-05-05T05:58:00Z");
    assert.equal(run.minutes(1, 0).desired_replicas, 1);
    assert.equal(run.minutes(1, 0).desired_replicas, 3);
    assert.equal(run.minutes(600, 0).desired_replicas, 1);
  });

  it("has half as many again once a queue has been long for two minutes, and fewer once it has been short for ten", () => {
    const run = new Shown("mailer", 4, "2026-05-05T12:00:00Z");
    assert.equal(run.minutes(2, 150).action, "none");
    assert.equal(run.minutes(1, 150).desired_replicas, 6);
    assert.equal(run.minutes(10, 5).action, "none");
    assert.equal(run.minutes(1, 5).desired_replicas, 5);
  });

  it("keeps awake by day, and lets sleep at night with two at most", () => {
    const run = new Shown("storefront", 1, "2026-05-05T12:00:00Z");
    run.target = found(0, { phase: "Asleep" });
    assert.equal(run.minutes(1, 0).wants_awake, true);
    run.target = found(2, { phase: "Serving" });
    assert.equal(run.minutes(2, 90).desired_replicas, 3);
    run.nowMs = at("2026-05-05T20:30:00Z");
    assert.deepEqual([run.minutes(1, 90).desired_replicas, run.minutes(1, 90).wants_awake], [2, false]);
  });

  it("stays within what may be paid for, and says so", () => {
    const run = new Shown("render", 16, "2026-05-05T12:00:00Z");
    const decision = run.minutes(2, 95);
    assert.deepEqual([decision.desired_replicas, decision.held_back?.by], [20, "cost"]);
  });

  it("moves the floor of a ScaledObject as its cron trigger did", () => {
    const run = new Shown("reports", 1, "2026-05-05T05:59:00Z");
    run.target = found(1, { bounds: { min: 1, max: 10 } });
    assert.deepEqual(run.minutes(1, 0).bounds, { min: 5, max: 10 });
  });
});
