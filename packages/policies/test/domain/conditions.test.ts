import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type Condition, conditionKey, type NewPolicy } from "../../src/index.ts";
import { down, INTERVAL, policyOf, Run, up, type Values } from "./kit.ts";

const leaf = (metric: string, duration?: string): Condition =>
  ({ metric, operator: "gt", threshold: 100, ...(duration === undefined ? {} : { duration }) }) as Condition;
const withRule = (rule: object, more: Partial<NewPolicy> = {}) =>
  policyOf({ cooldown_seconds: 0, scale_up_rules: [up(rule)], ...more });
const group = (when: Condition, more: object = {}) =>
  policyOf({ cooldown_seconds: 0, scale_up_rules: [{ when, scale_by: 1, ...more }] });

describe("a hold", () => {
  it("has to last as long as it is said", () => {
    const run = new Run(withRule({ duration: "2m" }), 1);
    const decisions = Array.from({ length: 6 }, () => run.step({ queue_depth: 150 }));
    assert.deepEqual(
      decisions.map((one) => one.action),
      ["none", "none", "none", "none", "scale_up", "scale_up"],
    );
    assert.equal(decisions[2]?.rules[0]?.condition.held_seconds, 60);
  });

  it("is broken by a reading that does not meet it", () => {
    const run = new Run(withRule({ duration: "1m" }), 1);
    const values = [150, 150, 50, 150, 150, 150];
    assert.deepEqual(
      values.map((queue_depth) => run.step({ queue_depth }).action),
      ["none", "none", "none", "none", "none", "scale_up"],
    );
  });

  it("is broken by unknown data: a gap of the metric does not count as held", () => {
    const run = new Run(withRule({ duration: "1m" }), 1);
    const values = [150, 150, undefined, 150, 150, 150];
    assert.deepEqual(
      values.map((queue_depth) => run.step({ queue_depth }).action),
      ["none", "none", "none", "none", "none", "scale_up"],
    );
  });

  it("is broken by a time in which nobody evaluated", () => {
    const run = new Run(withRule({ duration: "5m" }), 1);
    run.steps(4, { queue_depth: 150 });
    const decision = run.step({ queue_depth: 150 }, 10 * 60_000);
    assert.equal(decision.action, "none");
    assert.equal(decision.rules[0]?.condition.held_seconds, 0);
  });

  it("survives a restart and a round that came late", () => {
    const run = new Run(withRule({ duration: "3m" }), 1);
    run.steps(3, { queue_depth: 150 });
    run.state = JSON.parse(JSON.stringify(run.state));
    run.step({ queue_depth: 150 }, 2.5 * INTERVAL);
    assert.equal(run.step({ queue_depth: 150 }, 2.5 * INTERVAL).action, "scale_up");
  });

  it("begins anew where the clock was set back behind its beginning", () => {
    const run = new Run(withRule({ duration: "1m" }), 1);
    run.steps(2, { queue_depth: 150 });
    assert.equal(run.step({ queue_depth: 150 }, -45_000).rules[0]?.condition.held_seconds, 0);
    assert.equal(run.step({ queue_depth: 150 }, -3_600_000).rules[0]?.condition.held_seconds, 0);
  });

  it("is kept by a change of the policy that keeps its condition", () => {
    const run = new Run(withRule({ duration: "2m" }), 1);
    run.steps(4, { queue_depth: 150 });
    run.policy = withRule({ duration: "2m", scale_by: 4, name: "other" }, { scale_down_rules: [down()] });
    assert.equal(run.step({ queue_depth: 150 }).desired_replicas, 5);
  });

  it("is kept by a change of how long it must last", () => {
    const run = new Run(withRule({ duration: "1h" }), 1);
    run.steps(4, { queue_depth: 150 });
    run.policy = withRule({ duration: "2m" });
    assert.equal(run.step({ queue_depth: 150 }).action, "scale_up");
  });

  it("is not kept by another threshold", () => {
    const run = new Run(withRule({ duration: "2m" }), 1);
    run.steps(5, { queue_depth: 150 });
    run.policy = withRule({ duration: "2m", threshold: 120 });
    assert.equal(run.step({ queue_depth: 150 }).action, "none");
  });

  it("is forgotten with its condition", () => {
    const run = new Run(withRule({ duration: "2m" }), 1);
    run.steps(2, { queue_depth: 150 });
    run.policy = policyOf();
    run.step();
    assert.deepEqual(run.state.holds, {});
  });
});

describe("groups", () => {
  type Row = [string, Condition, Values, "scale_up" | "none", boolean];
  const both = (word: "any" | "all"): Condition =>
    word === "any" ? { any: [leaf("latency"), leaf("errors")] } : { all: [leaf("latency"), leaf("errors")] };
  const rows: Row[] = [
    ["all: both", both("all"), { latency: 150, errors: 150 }, "scale_up", false],
    ["all: one is not enough", both("all"), { latency: 150, errors: 50 }, "none", false],
    ["all: one unknown is unknown", both("all"), { latency: 150, errors: undefined }, "none", true],
    ["all: one false is false, whatever is unknown", both("all"), { latency: 50, errors: undefined }, "none", false],
    ["any: one", both("any"), { latency: 50, errors: 150 }, "scale_up", false],
    ["any: none", both("any"), { latency: 50, errors: 50 }, "none", false],
    ["any: one is enough, whatever is unknown", both("any"), { latency: 150, errors: undefined }, "scale_up", false],
    ["any: unknown beside false is unknown", both("any"), { latency: 50, errors: undefined }, "none", true],
    [
      "groups in groups",
      { any: [leaf("queue_depth"), both("all")] },
      { queue_depth: 1, latency: 150, errors: 150 },
      "scale_up",
      false,
    ],
  ];
  for (const [name, when, values, action, unknown] of rows) {
    it(name, () => {
      const decision = new Run(group(when), 1).step(values);
      assert.equal(decision.action, action);
      assert.equal(decision.held_back?.by === "unknown", unknown);
    });
  }

  it("hold each condition for its own time", () => {
    const run = new Run(group({ all: [leaf("latency", "1m"), leaf("errors", "2m")] }), 1);
    const values = { latency: 150, errors: 150 };
    assert.equal(run.steps(4, values).action, "none");
    assert.deepEqual(
      run.look({ ...values }).decision.rules[0]?.condition.parts?.map((part) => part.held),
      [true, false],
    );
    assert.equal(run.step(values).action, "scale_up");
  });

  it("hold as a whole, on top of the times of their parts", () => {
    const run = new Run(group({ any: [leaf("latency", "1m"), leaf("errors")] }, { duration: "1m" }), 1);
    run.steps(2, { latency: 150, errors: 50 });
    run.steps(2, { latency: 150, errors: 50 });
    assert.equal(run.step({ latency: 50, errors: 150 }).action, "scale_up");
  });

  it("say with which values they fired", () => {
    const decision = new Run(group({ any: [leaf("latency"), leaf("errors")] }), 1).step({ latency: 50, errors: 170 });
    assert.match(decision.reason, /\(errors > 100, is 170\)/);
  });

  it("have keys that say nothing of places", () => {
    const one: Condition = { all: [leaf("latency"), leaf("errors")] };
    assert.equal(conditionKey(one), conditionKey({ all: [leaf("errors"), leaf("latency")] }));
    assert.notEqual(conditionKey(one), conditionKey({ any: [leaf("latency"), leaf("errors")] }));
  });
});
