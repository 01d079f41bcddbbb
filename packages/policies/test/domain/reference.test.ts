import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Condition, normalizePolicy, policyBody } from "../../src/index.ts";
import { at, body, context, policyOf, Run, up } from "./kit.ts";

/** One test for each thing of rules and schedules that the framework this API comes from got wrong; the names say which. */
describe("what the reference got wrong", () => {
  it("AND was promised, OR built", () => {
    const over = (metric: string): Condition => ({ metric, operator: "gt", threshold: 100 });
    const when = { all: [over("latency"), over("errors")] };
    const run = new Run(policyOf({ scale_up_rules: [{ when, scale_by: 1 }] }), 1);
    assert.equal(run.step({ latency: 150, errors: 50 }).action, "none");
    assert.equal(run.step({ latency: 150, errors: 150 }).action, "scale_up");
  });

  it("schedules were stored and never run", () => {
    const schedules = [{ cron_expression: "0 8 * * *", desired_replicas: 4 }];
    const run = new Run(policyOf({ schedules }), 1, at("2026-05-05T07:59:45Z"));
    assert.equal(run.step().desired_replicas, 4);
  });

  it("min_replicas: 0 was refused", () => {
    assert.equal(normalizePolicy(body({ min_replicas: 0 }), context).draft?.min_replicas, 0);
  });

  it("a bad cron was answered 500", () => {
    const schedules = [{ cron_expression: "61 8 * * *", desired_replicas: 4 }];
    const { errors } = normalizePolicy(body({ schedules }), context);
    assert.deepEqual(
      errors?.map(({ field }) => field),
      ["schedules[0].cron_expression"],
    );
  });

  it("a change recreated rules and lost their holds", () => {
    const run = new Run(policyOf({ scale_up_rules: [up({ duration: "2m" })] }), 1);
    run.steps(4, { queue_depth: 150 });
    const changed = normalizePolicy({ ...policyBody(run.policy), max_replicas: 20 }, context, run.policy).draft!;
    assert.equal(changed.scale_up_rules[0]?.id, run.policy.scale_up_rules[0]?.id);
    run.policy = { ...run.policy, ...changed };
    assert.equal(run.step({ queue_depth: 150 }).action, "scale_up");
  });

  it("a gap of the metric counted as held", () => {
    const run = new Run(policyOf({ scale_up_rules: [up({ duration: "2m" })] }), 1);
    run.steps(3, { queue_depth: 150 });
    run.steps(1, { queue_depth: undefined });
    assert.equal(run.steps(4, { queue_depth: 150 }).action, "none");
    assert.equal(run.step({ queue_depth: 150 }).action, "scale_up");
  });

  it("the limit of cost was ignored", () => {
    const cost = { max_hourly_cost: 2, price_per_replica_hour: 1 };
    const decision = new Run(policyOf({ ...cost, scale_up_rules: [up({ scale_by: 5 })] }), 1).step({
      queue_depth: 150,
    });
    assert.deepEqual([decision.desired_replicas, decision.held_back?.by], [2, "cost"]);
  });
});
