import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { at, down, found, policyOf, Run, up } from "./kit.ts";

const HOUR = 3_600_000;
const MINUTE = 60_000;

describe("moments", () => {
  const schedules = [
    { name: "morning", cron_expression: "0 8 * * *", desired_replicas: 6, timezone: "Europe/Berlin" },
    { name: "evening", cron_expression: "0 20 * * *", desired_replicas: 2, timezone: "Europe/Berlin" },
  ];
  const start = (more: object = {}, from = "2026-05-05T05:59:00Z") =>
    new Run(policyOf({ schedules, ...more }, "2026-05-05T00:00:00.000Z"), 3, at(from));

  it("set a count once, and leave it to whoever moves it then", () => {
    const run = start();
    assert.equal(run.step().action, "none");
    const decision = run.step();
    assert.deepEqual([decision.action, decision.desired_replicas], ["scheduled", 6]);
    assert.match(decision.triggered_by!, /^schedule:/);
    assert.match(decision.reason, /schedule "morning" of 2026-05-05T06:00:00.000Z wants 6/);
    run.target = found(4);
    assert.equal(run.step().action, "none");
  });

  it("that were missed while nobody ran are caught up, the latest alone and once", () => {
    const run = start();
    run.step();
    const decision = run.step({}, 37 * HOUR);
    assert.deepEqual([decision.action, decision.desired_replicas], ["scheduled", 2]);
    assert.match(decision.reason, /2026-05-06T18:00:00/);
    run.target = found(5);
    assert.equal(run.step().action, "none");
  });

  it("that lie before the policy was made do not come", () => {
    const run = new Run(policyOf({ schedules }, "2026-05-05T07:00:00.000Z"), 3, at("2026-05-05T07:00:00Z"));
    assert.equal(run.step().action, "none");
  });

  it("come too where the policy was changed between them and the evaluation", () => {
    const run = start();
    run.step();
    run.policy = { ...run.policy, updated_at: "2026-05-05T06:00:10.000Z" };
    assert.equal(run.step().desired_replicas, 6);
  });

  it("stay due while they could not be carried out", () => {
    const run = start();
    run.step();
    run.nowMs += MINUTE;
    const { decision, undone } = run.look();
    assert.equal(decision.action, "scheduled");
    run.state = undone;
    assert.equal(run.step().desired_replicas, 6);
  });

  it("know no cooldown", () => {
    const run = start({ scale_up_rules: [up()] }, "2026-05-05T05:59:00Z");
    run.target = found(1);
    assert.equal(run.step({ queue_depth: 150 }).action, "scale_up");
    assert.equal(run.step({ queue_depth: 150 }).desired_replicas, 6);
  });

  it("give way to a rule that needs more, and say so", () => {
    const run = new Run(policyOf({ schedules, scale_up_rules: [up()] }), 3, at("2026-05-05T17:59:30Z"));
    const decision = run.step({ queue_depth: 150 });
    assert.equal(decision.desired_replicas, 5);
    assert.match(decision.reason, /schedule "evening" .* wants 2: the most capacity wins/);
    assert.equal(run.step({ queue_depth: 50 }).action, "none");
  });

  it("go before a rule that needs less", () => {
    const run = start({ scale_down_rules: [down()] });
    run.nowMs += 30_000;
    assert.equal(run.step({ queue_depth: 1 }).desired_replicas, 6);
  });

  it("at once take the most of both", () => {
    const twice = [4, 7, 5].map((desired_replicas) => ({ cron_expression: "0 8 * * *", desired_replicas }));
    const run = new Run(policyOf({ schedules: twice }), 3, at("2026-05-05T07:59:45Z"));
    assert.equal(run.step().desired_replicas, 7);
    assert.equal(run.step().action, "none");
  });

  it("stay within the bounds", () => {
    const run = new Run({ ...policyOf({ schedules }), max_replicas: 5 }, 3, at("2026-05-05T05:59:45Z"));
    const decision = run.step();
    assert.equal(decision.desired_replicas, 5);
    assert.equal(decision.held_back?.by, "bounds");
  });

  it("that are switched off do not come", () => {
    const off = schedules.map((one) => ({ ...one, enabled: false }));
    const run = new Run(policyOf({ schedules: off }), 3, at("2026-05-05T05:59:45Z"));
    assert.equal(run.step().action, "none");
  });

  it("ask for zero until it is reached, where an ElastiService names the target", () => {
    const zero = [{ cron_expression: "0 20 * * *", desired_replicas: 0 }];
    const run = new Run(policyOf({ scale_to_zero: true, schedules: zero }), 3, at("2026-05-05T19:59:45Z"));
    run.target = found(3, { phase: "Serving" });
    for (let round = 0; round < 3; round += 1) {
      run.nowMs += 30_000;
      const { decision, state } = run.look();
      assert.equal(decision.wants_zero, true);
      run.state = state;
    }
    run.target = found(0, { phase: "Asleep" });
    run.step();
    run.target = found(0, { phase: "Serving" });
    run.step();
    run.target = found(1, { phase: "Serving" });
    const woken = run.step();
    assert.deepEqual([woken.wants_zero, woken.action], [false, "none"]);
  });
});

describe("windows", () => {
  const office = { name: "office", start: "0 8 * * 1-5", end: "0 18 * * 1-5", timezone: "Europe/Berlin" };

  it("raise to their least when they open, and give it back when they close where no rule would", () => {
    const run = new Run(policyOf({ schedules: [{ ...office, min_replicas: 4 }] }), 1, at("2026-05-05T05:59:30Z"));
    const opened = run.step();
    assert.deepEqual([opened.action, opened.desired_replicas], ["scheduled", 4]);
    assert.match(opened.reason, /window "office" wants at least 4/);
    assert.deepEqual(opened.windows, [run.policy.schedules[0]!.id]);
    assert.equal(run.step().action, "none");
    const closed = run.step({}, 10 * HOUR);
    assert.deepEqual([closed.action, closed.desired_replicas], ["scheduled", 1]);
    assert.match(closed.reason, /window "office" has closed/);
    assert.equal(run.step().action, "none");
  });

  it("leave the way back to rules that scale down", () => {
    const schedules = [{ ...office, min_replicas: 4 }];
    const policy = policyOf({ cooldown_seconds: 0, schedules, scale_down_rules: [down()] });
    const run = new Run(policy, 1, at("2026-05-05T15:59:30Z"));
    run.step({ queue_depth: 1 }, -30_000);
    assert.equal(run.step({ queue_depth: 50 }, HOUR).action, "none");
    assert.equal(run.step({ queue_depth: 1 }).desired_replicas, 3);
  });

  it("leave what somebody else has moved as it is", () => {
    const run = new Run(policyOf({ schedules: [{ ...office, min_replicas: 4 }] }), 1, at("2026-05-05T15:58:00Z"));
    run.step();
    run.target = found(7);
    run.step();
    assert.equal(run.step({}, HOUR).action, "none");
  });

  it("let rules work between their own least and most", () => {
    const schedules = [{ ...office, min_replicas: 3, max_replicas: 5 }];
    const policy = policyOf({ cooldown_seconds: 0, schedules, scale_up_rules: [up()], scale_down_rules: [down()] });
    const run = new Run(policy, 4, at("2026-05-05T10:00:00Z"));
    const upwards = run.step({ queue_depth: 150 });
    assert.equal(upwards.desired_replicas, 5);
    assert.equal(upwards.held_back?.by, "window");
    assert.equal(upwards.held_back.until, "2026-05-05T16:00:00.000Z");
    run.steps(5, { queue_depth: 1 });
    assert.deepEqual(run.target, found(3));
  });

  it("may lower what the policy has as its least", () => {
    const night = { start: "0 22 * * *", end: "0 6 * * *", min_replicas: 1, max_replicas: 2 };
    const run = new Run(policyOf({ min_replicas: 3, schedules: [night] }), 3, at("2026-05-05T23:00:00Z"));
    const decision = run.step();
    assert.deepEqual([decision.desired_replicas, decision.bounds], [2, { min: 1, max: 2 }]);
  });

  it("that overlap have the highest least and the highest most of those that set one", () => {
    const all = { start: "0 0 * * *", duration: "24h" };
    const schedules = [
      { ...all, min_replicas: 2, max_replicas: 4 },
      { ...all, min_replicas: 3 },
      { ...all, max_replicas: 6 },
    ];
    const run = new Run(policyOf({ schedules }), 3, at("2026-05-05T23:00:00Z"));
    assert.deepEqual(run.step().bounds, { min: 3, max: 6 });
  });

  it("of which one has a least above the most of another let the floor stand, and say so", () => {
    const all = { start: "0 0 * * *", duration: "24h" };
    const schedules = [
      { ...all, min_replicas: 1, max_replicas: 2 },
      { ...all, min_replicas: 5 },
    ];
    const decision = new Run(policyOf({ schedules }), 3, at("2026-05-05T23:00:00Z")).step();
    assert.deepEqual([decision.bounds, decision.desired_replicas], [{ min: 5, max: 5 }, 5]);
    assert.match(decision.reason, /exclude one another: the floor stands/);
  });

  it("with a most of 0 put to sleep, and a rule waits until they close", () => {
    const night = { name: "night", start: "0 22 * * *", end: "0 6 * * *", max_replicas: 0 };
    const policy = policyOf({ scale_to_zero: true, schedules: [night], scale_up_rules: [up()] });
    const run = new Run(policy, 3, at("2026-05-05T23:00:00Z"));
    const decision = run.step({ queue_depth: 50 });
    assert.deepEqual([decision.desired_replicas, decision.wants_zero], [0, true]);
    const held = run.step({ queue_depth: 150 });
    assert.deepEqual([held.action, held.held_back?.by], ["none", "window"]);
    assert.equal(held.held_back?.until, "2026-05-06T06:00:00.000Z");
    assert.equal(run.step({ queue_depth: 150 }, 8 * HOUR).desired_replicas, 2);
  });

  it("with a least wake what is at zero", () => {
    const policy = policyOf({ scale_to_zero: true, schedules: [{ ...office, min_replicas: 2 }] });
    const run = new Run(policy, 0, at("2026-05-05T05:58:00Z"));
    assert.deepEqual([run.step().action, run.step().wants_awake], ["none", false]);
    const decision = run.step({}, 2 * MINUTE);
    assert.deepEqual([decision.desired_replicas, decision.wants_awake], [2, true]);
  });

  it("cross midnight and the change of clocks", () => {
    const night = { start: "0 22 * * *", end: "0 6 * * *", timezone: "Europe/Berlin", min_replicas: 2 };
    const run = new Run(policyOf({ schedules: [night] }, "2026-03-01T00:00:00.000Z"), 1, at("2026-03-28T20:59:45Z"));
    assert.equal(run.step().desired_replicas, 2);
    assert.equal(run.step({}, 7 * HOUR - MINUTE).action, "none");
    assert.equal(run.step({}, MINUTE).desired_replicas, 1);
  });

  it("that come once do so", () => {
    const feast = { start: "2026-05-06T00:00:00+02:00", end: "2026-05-07T00:00:00+02:00", min_replicas: 5 };
    const run = new Run(policyOf({ schedules: [feast] }), 1, at("2026-05-05T21:59:45Z"));
    assert.equal(run.step().desired_replicas, 5);
    assert.equal(run.step({}, 24 * HOUR).desired_replicas, 1);
    assert.equal(run.step({}, 365 * 24 * HOUR).action, "none");
  });
});
