import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { decisionMark } from "../../src/index.ts";
import { at, down, found, INTERVAL, NOON, policyOf, Run, up } from "./kit.ts";

const named = (name: string) => ({ name });

describe("rules", () => {
  it("scale up by a number, and say by what and with which value", () => {
    const decision = new Run(policyOf({ scale_up_rules: [up(named("queue"))] }), 2).step({ queue_depth: 150 });
    assert.equal(decision.action, "scale_up");
    assert.equal(decision.desired_replicas, 4);
    assert.match(decision.triggered_by!, /^rule:/);
    assert.equal(decision.reason, '2 -> 4: "queue" (queue_depth > 100, is 150) wants 4');
    // without what floating point adds to it
    const { reason } = new Run(policyOf({ scale_up_rules: [up()] }), 2).step({ queue_depth: 110 * 1.1 });
    assert.match(reason, /\(queue_depth > 100, is 121\)/);
    assert.equal(decision.held_back, null);
  });

  const shares: [number, number | string, number][] = [
    [4, "50%", 6],
    [1, "10%", 2],
    [3, "50%", 5],
    [7, "200%", 10],
    [4, "-25%", 3],
    [10, "-5%", 9],
    [3, "-50%", 1],
    [5, -2, 3],
    [5, -9, 1],
  ];
  for (const [from, by, to] of shares) {
    it(`move ${from} by ${by} to ${to}`, () => {
      const upwards = typeof by === "number" ? by > 0 : !by.startsWith("-");
      const policy = policyOf(
        upwards ? { scale_up_rules: [up({ scale_by: by })] } : { scale_down_rules: [down({ scale_by: by })] },
      );
      const decision = new Run(policy, from).step({ queue_depth: upwards ? 150 : 5 });
      assert.equal(decision.desired_replicas, to);
    });
  }

  it("let the most capacity win, and say what the others wanted", () => {
    const policy = policyOf({
      scale_up_rules: [up(named("few")), up({ ...named("many"), metric: "latency", scale_by: 5 })],
      scale_down_rules: [{ ...down(named("less")), metric: "errors" }],
    });
    const decision = new Run(policy, 2).step({ queue_depth: 150, latency: 150, errors: 0 });
    assert.equal(decision.desired_replicas, 7);
    assert.match(decision.reason, /"many".*wants 7; "few" wants 4, "less" wants 1: the most capacity wins/);
  });

  it("of two that scale down take the one that leaves more", () => {
    const policy = policyOf({
      scale_down_rules: [down({ scale_by: "-50%" }), down({ metric: "latency", scale_by: -1 })],
    });
    assert.equal(new Run(policy, 8).step({ queue_depth: 1, latency: 1 }).desired_replicas, 7);
  });

  it("do nothing where none holds", () => {
    const decision = new Run(policyOf({ scale_up_rules: [up()] }), 2).step({ queue_depth: 50 });
    assert.deepEqual([decision.action, decision.desired_replicas, decision.triggered_by], ["none", 2, null]);
  });

  it("that are unknown change nothing, and say why", () => {
    const run = new Run(policyOf({ scale_up_rules: [up()], scale_down_rules: [down()] }), 2);
    const decision = run.step({ queue_depth: undefined });
    assert.equal(decision.action, "none");
    assert.equal(decision.held_back?.by, "unknown");
    // with the reason that docs/troubleshooting.md has a heading for
    assert.equal(decision.held_back.message, "a rule: queue_depth: timeout: no answer; unknown data changes nothing");
    assert.equal(decision.rules[0]?.condition.unknown, "queue_depth: timeout: no answer");
    assert.equal(decision.reason, "no rule holds");
  });

  it("are not lowered by one while another, that may need more, is unknown", () => {
    const run = new Run(policyOf({ scale_up_rules: [up({ metric: "latency" })], scale_down_rules: [down()] }), 4);
    assert.equal(run.step({ queue_depth: 1, latency: undefined }).held_back?.by, "unknown");
    assert.equal(run.step({ queue_depth: 1, latency: 1 }).desired_replicas, 3);
  });

  it("scale up by what is known while another is unknown", () => {
    const run = new Run(policyOf({ scale_up_rules: [up(), up({ metric: "latency" })] }), 2);
    assert.equal(run.step({ queue_depth: 150, latency: undefined }).desired_replicas, 4);
  });

  it("do not stop a scale-down by being unknown where they could only scale down too", () => {
    const run = new Run(policyOf({ scale_down_rules: [down(), down({ metric: "latency" })] }), 4);
    assert.equal(run.step({ queue_depth: 1, latency: undefined }).desired_replicas, 3);
  });
});

describe("the cooldown", () => {
  it("holds back a second change of one direction, and says until when", () => {
    const run = new Run(policyOf({ cooldown_seconds: 60, scale_up_rules: [up()] }), 1);
    assert.equal(run.step({ queue_depth: 150 }).action, "scale_up");
    const held = run.step({ queue_depth: 150 });
    assert.equal(held.action, "none");
    assert.equal(held.held_back?.by, "cooldown");
    assert.equal(held.held_back.until, new Date(NOON + INTERVAL + 60_000).toISOString());
    assert.equal(run.step({ queue_depth: 150 }).desired_replicas, 5);
  });

  it("is one per direction, and a direction may have its own", () => {
    const run = new Run(
      policyOf({
        behavior: { scale_down: { cooldown_seconds: 0 } },
        scale_up_rules: [up()],
        scale_down_rules: [down()],
      }),
      1,
    );
    assert.equal(run.step({ queue_depth: 150 }).desired_replicas, 3);
    assert.equal(run.step({ queue_depth: 5 }).desired_replicas, 2);
    assert.equal(run.step({ queue_depth: 5 }).desired_replicas, 1);
    assert.equal(run.step({ queue_depth: 150 }).held_back?.by, "cooldown");
  });

  it("does not begin where nothing was done", () => {
    const run = new Run(policyOf({ scale_up_rules: [up()] }), 1);
    run.state = run.look({ queue_depth: 150 }).undone;
    assert.equal(run.step({ queue_depth: 150 }).action, "scale_up");
  });
});

describe("stabilization", () => {
  it("lowers only to the most that was wanted within its window", () => {
    const behavior = { scale_down: { stabilization_window_seconds: 90, cooldown_seconds: 0 } };
    const run = new Run(policyOf({ behavior, scale_down_rules: [down({ scale_by: -3 })] }), 8);
    run.step({ queue_depth: 50 });
    const held = run.step({ queue_depth: 1 });
    assert.equal(held.held_back?.by, "stabilization");
    assert.equal(held.held_back.until, new Date(NOON + INTERVAL + 90_000).toISOString());
    run.step({ queue_depth: 1 });
    assert.equal(run.step({ queue_depth: 1 }).desired_replicas, 5);
  });

  it("raises only to the least that was wanted within its window", () => {
    const behavior = { scale_up: { stabilization_window_seconds: 60, cooldown_seconds: 0 } };
    const run = new Run(policyOf({ behavior, scale_up_rules: [up()] }), 1);
    run.step({ queue_depth: 1 });
    assert.equal(run.step({ queue_depth: 150 }).held_back?.by, "stabilization");
    assert.equal(run.step({ queue_depth: 150 }).desired_replicas, 3);
  });

  it("begins with what is there after a pause: nobody knows what would have been wanted meanwhile", () => {
    const behavior = { scale_down: { stabilization_window_seconds: 600, cooldown_seconds: 0 } };
    const run = new Run(policyOf({ behavior, scale_down_rules: [down()] }), 8);
    run.steps(18, { queue_depth: 1 });
    assert.equal(run.step({ queue_depth: 1 }, 30 * 60_000).held_back?.by, "stabilization");
    assert.equal(run.step({ queue_depth: 1 }).held_back?.by, "stabilization");
  });
});

describe("steps", () => {
  it("limit what is added within a period, and let go of it as it passes", () => {
    const behavior = { scale_up: { max_replicas_per_period: 3, period_seconds: 90, cooldown_seconds: 0 } };
    const run = new Run(policyOf({ behavior, max_replicas: 50, scale_up_rules: [up({ scale_by: 2 })] }), 1);
    assert.equal(run.step({ queue_depth: 150 }).desired_replicas, 3);
    const limited = run.step({ queue_depth: 150 });
    assert.equal(limited.desired_replicas, 4);
    assert.equal(limited.held_back?.by, "step");
    const stopped = run.step({ queue_depth: 150 });
    assert.equal(stopped.action, "none");
    assert.equal(stopped.held_back?.until, new Date(NOON + INTERVAL + 90_000).toISOString());
    assert.equal(run.step({ queue_depth: 150 }).desired_replicas, 6);
  });

  it("of two limits take the wider, as a HorizontalPodAutoscaler does", () => {
    const behavior = { scale_down: { max_replicas_per_period: 1, max_percent_per_period: 50 } };
    const run = new Run(policyOf({ behavior, scale_down_rules: [down({ scale_by: "-90%" })] }), 8);
    assert.equal(run.step({ queue_depth: 1 }).desired_replicas, 4);
  });

  it("by percent do not stop what is at nothing for ever", () => {
    const behavior = { scale_up: { max_percent_per_period: 100 } };
    const run = new Run(policyOf({ behavior, min_replicas: 0, scale_to_zero: true, scale_up_rules: [up()] }), 0);
    assert.equal(run.step({ queue_depth: 150 }).desired_replicas, 1);
  });
});

describe("bounds", () => {
  it("stop a rule, and say so", () => {
    const run = new Run(policyOf({ max_replicas: 3, scale_up_rules: [up({ scale_by: 5 })] }), 2);
    const decision = run.step({ queue_depth: 150 });
    assert.equal(decision.desired_replicas, 3);
    assert.deepEqual(decision.held_back, { by: "bounds", message: "7 wanted, at most 3" });
  });

  it("bring back what is outside of them, whatever the cooldown", () => {
    const run = new Run(policyOf({ min_replicas: 2, max_replicas: 4 }), 9);
    assert.deepEqual([run.step().desired_replicas, run.step().action], [4, "none"]);
    run.target = found(1);
    const decision = run.step();
    assert.deepEqual([decision.action, decision.desired_replicas, decision.triggered_by], ["scale_up", 2, "bounds"]);
  });

  it("lower what is above them, though a rule would raise it", () => {
    const run = new Run(policyOf({ max_replicas: 4, scale_up_rules: [up()] }), 9);
    const decision = run.step({ queue_depth: 150 });
    assert.deepEqual([decision.desired_replicas, decision.triggered_by], [4, "bounds"]);
    assert.equal(decision.held_back?.by, "bounds");
  });

  it("of cost stop a rule, and say so", () => {
    const run = new Run(
      policyOf({ max_hourly_cost: 0.3, price_per_replica_hour: 0.1, scale_up_rules: [up({ scale_by: 5 })] }),
      1,
    );
    const decision = run.step({ queue_depth: 150 });
    assert.equal(decision.desired_replicas, 3);
    assert.deepEqual(decision.held_back, { by: "cost", message: "6 wanted, max_hourly_cost pays for 3" });
    assert.equal(decision.bounds.max, 3);
  });

  it("of cost never go below one", () => {
    const policy = { ...policyOf({ scale_up_rules: [up()] }), max_hourly_cost: 0.1, price_per_replica_hour: 5 };
    assert.equal(new Run(policy, 0).step({ queue_depth: 150 }).desired_replicas, 1);
  });

  it("let min_replicas be 0 without asking for zero", () => {
    const run = new Run(policyOf({ min_replicas: 0, scale_down_rules: [down({ scale_by: "-100%" })] }), 3);
    const decision = run.step({ queue_depth: 1 });
    assert.deepEqual([decision.desired_replicas, decision.wants_zero], [1, false]);
    run.target = found(0);
    assert.equal(run.step({ queue_depth: 50 }).action, "none");
  });
});

describe("zero", () => {
  const policy = policyOf({ scale_to_zero: true, scale_down_rules: [down()], scale_up_rules: [up()] });

  it("is reached where scale_to_zero allows it", () => {
    const decision = new Run(policy, 1).step({ queue_depth: 1 });
    assert.deepEqual([decision.action, decision.desired_replicas, decision.wants_zero], ["scale_down", 0, true]);
  });

  it("is left as it is by a least, and left behind by a rule", () => {
    const run = new Run({ ...policy, min_replicas: 2 }, 0);
    assert.equal(run.step({ queue_depth: 50 }).action, "none");
    assert.equal(run.step({ queue_depth: 150 }).desired_replicas, 2);
  });

  it("is a vote where an ElastiService names the target: it stands in every round and begins no cooldown", () => {
    const run = new Run(policy, 1);
    run.target = found(1, { phase: "Serving" });
    for (let round = 0; round < 3; round += 1) {
      run.nowMs += INTERVAL;
      const { decision, state } = run.look({ queue_depth: 1 });
      run.state = state;
      assert.deepEqual([decision.wants_zero, decision.held_back], [true, null]);
      assert.equal(state.last_scale_down_at, null);
    }
  });
});

describe("a target that sleeps", () => {
  for (const phase of ["Draining", "Sealed", "Asleep", "Waking"]) {
    it(`is not moved while ${phase}, and moved once it serves`, () => {
      const run = new Run(policyOf({ scale_up_rules: [up()] }), 0);
      run.target = found(0, { phase });
      const decision = run.step({ queue_depth: 150 });
      assert.deepEqual([decision.action, decision.desired_replicas], ["none", 0]);
      assert.equal(decision.held_back?.by, "asleep");
      assert.match(decision.held_back.message, /0 -> 2/);
      run.target = found(1, { phase: "Serving" });
      assert.equal(run.step({ queue_depth: 150 }).desired_replicas, 3);
    });
  }

  it("is not asked to wake by a least of the policy, only by a window's", () => {
    const schedules = [{ start: "0 13 * * *", duration: "1h", min_replicas: 2 }];
    const run = new Run(policyOf({ schedules }), 0);
    run.target = found(0, { phase: "Asleep" });
    const before = run.step();
    assert.deepEqual([before.wants_awake, before.held_back], [false, null]);
    const inside = run.step({}, 3_600_000);
    assert.deepEqual([inside.wants_awake, inside.held_back?.by, inside.action], [true, "asleep", "none"]);
  });

  it("has a moment that came meanwhile applied once it wakes", () => {
    const schedules = [{ cron_expression: "0 13 * * *", desired_replicas: 4 }];
    const run = new Run(policyOf({ schedules }), 0);
    run.target = found(0, { phase: "Asleep" });
    assert.equal(run.step({}, 3_600_000).held_back?.by, "asleep");
    run.target = found(1, { phase: "Serving" });
    assert.deepEqual([run.step().desired_replicas, run.step().action], [4, "none"]);
  });
});

describe("a target that is not there", () => {
  for (const kind of ["missing", "unknown"] as const) {
    it(`is waited for while it is ${kind}, and holds go on`, () => {
      const run = new Run(policyOf({ scale_up_rules: [up({ duration: "1m" })] }), 1);
      run.target = { kind, message: "no such Deployment" };
      for (let round = 0; round < 3; round += 1) {
        const decision = run.step({ queue_depth: 150 });
        assert.deepEqual([decision.action, decision.current_replicas, decision.desired_replicas], ["none", null, null]);
        assert.equal(decision.held_back?.by, kind === "missing" ? "target" : "unknown");
      }
      run.target = found(1);
      assert.equal(run.step({ queue_depth: 150 }).desired_replicas, 3);
    });
  }
});

describe("a target that an autoscaler has", () => {
  const start = (policy = policyOf({ cooldown_seconds: 0, scale_up_rules: [up()], scale_down_rules: [down()] })) => {
    const run = new Run(policy, 3);
    run.target = found(3, { bounds: { min: 1, max: 10 } });
    return run;
  };

  it("has its bounds moved, not its count", () => {
    const run = start();
    const decision = run.step({ queue_depth: 150 });
    assert.deepEqual([decision.action, decision.bounds], ["scale_up", { min: 5, max: 10 }]);
    assert.match(decision.reason, /1\.\.10 -> 5\.\.10/);
    assert.deepEqual(run.step({ queue_depth: 50 }).action, "none");
    assert.deepEqual(run.step({ queue_depth: 1 }).bounds, { min: 4, max: 10 });
  });

  it("is given the policy's bounds, without a cooldown", () => {
    const run = start();
    run.target = found(3, { bounds: { min: 2, max: 20 } });
    const decision = run.step({ queue_depth: 50 });
    assert.deepEqual([decision.bounds, decision.triggered_by], [{ min: 1, max: 10 }, "bounds"]);
    assert.equal(run.state.last_scale_down_at, null);
    assert.equal(run.step({ queue_depth: 50 }).action, "none");
  });

  it("has the floor of a window for as long as it is open", () => {
    const run = start(
      policyOf({ schedules: [{ start: "0 13 * * *", duration: "1h", min_replicas: 4, max_replicas: 6 }] }),
    );
    assert.equal(run.step().action, "none");
    const inside = run.step({}, 3_600_000);
    assert.deepEqual([inside.action, inside.bounds], ["scheduled", { min: 4, max: 6 }]);
    assert.deepEqual(run.step({}, 3_600_000).bounds, { min: 1, max: 10 });
  });
});

describe("a decision", () => {
  it("has one mark while only its values change", () => {
    const run = new Run(policyOf({ scale_up_rules: [up()] }), 1);
    const marks = [1, 2, 3].map((value) => decisionMark(run.look({ queue_depth: value }).decision));
    assert.equal(new Set(marks).size, 1);
    assert.notEqual(decisionMark(run.look({ queue_depth: 150 }).decision), marks[0]);
  });

  it("is a function of what it is given", () => {
    const run = new Run(
      policyOf({ scale_up_rules: [up()], scale_down_rules: [down()] }),
      2,
      at("2026-05-05T12:00:00Z"),
    );
    assert.deepEqual(run.look({ queue_depth: 150 }), run.look({ queue_depth: 150 }));
  });
});
