import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import {
  type Decision,
  decide,
  initialState,
  type NewPolicy,
  normalizePolicy,
  type Policy,
  type PolicyState,
  type TargetObservation,
} from "../../src/index.ts";
import { body, context, found, INTERVAL, NOON, samplesOf, type Values } from "./kit.ts";

const metrics = ["queue_depth", "latency", "errors"] as const;
const operator = fc.constantFrom("gt", "lt", "gte", "lte", "eq");
const comparison = fc.record({
  metric: fc.constantFrom(...metrics),
  operator,
  threshold: fc.integer({ min: 0, max: 3 }),
});
const share = fc.integer({ min: 1, max: 100 });
const rule = (sign: 1 | -1) =>
  fc.record({
    when: fc.oneof(
      comparison,
      fc.record({ any: fc.array(comparison, { minLength: 1, maxLength: 3 }) }),
      fc.record({ all: fc.array(comparison, { minLength: 1, maxLength: 3 }) }),
    ),
    duration_seconds: fc.constantFrom(0, 0, 30, 60),
    scale_by: fc.oneof(
      fc.integer({ min: 1, max: 5 }).map((by) => by * sign),
      share.map((by) => `${by * sign}%`),
    ),
  });
const hour = fc.integer({ min: 0, max: 23 });
const window = fc.record({
  start: hour.map((at) => `0 ${at} * * *`),
  duration: fc.integer({ min: 1, max: 20 }).map((hours) => `${hours}h`),
  min_replicas: fc.option(fc.integer({ min: 0, max: 8 }), { nil: undefined }),
  max_replicas: fc.option(fc.integer({ min: 0, max: 12 }), { nil: undefined }),
});
const moment = fc.record({
  cron_expression: hour.map((at) => `0 ${at} * * *`),
  desired_replicas: fc.integer({ min: 0, max: 12 }),
});
const behavior = fc.record(
  {
    stabilization_window_seconds: fc.constantFrom(0, 60, 120),
    max_replicas_per_period: fc.integer({ min: 1, max: 3 }),
    max_percent_per_period: fc.integer({ min: 10, max: 100 }),
    period_seconds: fc.constantFrom(30, 60),
    cooldown_seconds: fc.constantFrom(0, 30, 90),
  },
  { requiredKeys: [] },
);
const cost = fc.option(
  fc.record({
    max_hourly_cost: fc.integer({ min: 1, max: 100 }).map((cents) => cents / 10),
    price_per_replica_hour: fc.integer({ min: 1, max: 20 }).map((cents) => cents / 10),
  }),
  { nil: {} },
);

/** Bodies that are valid; most are. */
const policy: fc.Arbitrary<Policy> = fc
  .record({
    min_replicas: fc.integer({ min: 0, max: 4 }),
    max_replicas: fc.integer({ min: 3, max: 10 }),
    cooldown_seconds: fc.constantFrom(0, 30, 60),
    scale_to_zero: fc.boolean(),
    cost,
    behavior: fc.record({ scale_up: behavior, scale_down: behavior }, { requiredKeys: [] }),
    scale_up_rules: fc.array(rule(1), { maxLength: 3 }),
    scale_down_rules: fc.array(rule(-1), { maxLength: 3 }),
    schedules: fc.array(fc.oneof(window, moment), { maxLength: 3 }),
  })
  .map(({ cost: price, ...rest }) => normalizePolicy(body({ ...rest, ...price } as Partial<NewPolicy>), context).draft)
  .filter((draft) => draft !== undefined)
  .map((draft) => ({ ...draft, version: 1, created_at: "2026-05-01T00:00:00Z", updated_at: "2026-05-01T00:00:00Z" }));

const reading = fc.option(fc.integer({ min: 0, max: 3 }), { nil: undefined, freq: 6 });
const readings: fc.Arbitrary<Values> = fc.record({ queue_depth: reading, latency: reading, errors: reading });
const round = fc.record({
  values: readings,
  afterMs: fc.constantFrom(INTERVAL, INTERVAL, INTERVAL, 5 * INTERVAL, 3_600_000),
});
const rounds = fc.array(round, { minLength: 1, maxLength: 12 });

interface Seen {
  readonly decision: Decision;
  readonly state: PolicyState;
  readonly before: number;
}

function play(
  one: Policy,
  replicas: number,
  all: readonly { readonly values: Values; readonly afterMs: number }[],
): Seen[] {
  let state = initialState(one.id);
  let nowMs = NOON;
  let target: Extract<TargetObservation, { kind: "found" }> = found(replicas);
  return all.map(({ values, afterMs }) => {
    nowMs += afterMs;
    const before = target.replicas;
    const decided = decide({
      policy: one,
      state,
      nowMs,
      intervalMs: INTERVAL,
      samples: samplesOf(values, nowMs),
      target,
    });
    state = decided.state;
    const { action, desired_replicas: desired } = decided.decision;
    if (action !== "none" && desired !== null) target = { ...target, replicas: desired };
    return { decision: decided.decision, state, before };
  });
}

describe("whatever the policy, the readings and the time", () => {
  it("what is wanted stays within the bounds, is 0 only where that is allowed, and costs no more than it may", () => {
    fc.assert(
      fc.property(policy, fc.integer({ min: 0, max: 20 }), rounds, (one, replicas, all) => {
        for (const { decision, before } of play(one, replicas, all)) {
          const { desired_replicas: desired, bounds } = decision;
          assert.ok(desired !== null && Number.isInteger(desired));
          assert.ok(bounds.min <= bounds.max);
          assert.ok(desired <= bounds.max, `${desired} above ${bounds.max}`);
          assert.ok(desired >= bounds.min || desired === 0, `${desired} below ${bounds.min}`);
          if (desired === 0 && before > 0) assert.ok(one.scale_to_zero);
          if (desired === 0 && !one.scale_to_zero) assert.equal(bounds.min, 0);
          if (decision.wants_awake) assert.ok(desired >= 1);
          const { max_hourly_cost: ceiling, price_per_replica_hour: price } = one;
          if (ceiling !== null && price !== null) assert.ok(desired * price <= ceiling + 1e-9);
        }
      }),
      { numRuns: 400 },
    );
  });

  it("an action changes something, and none changes nothing", () => {
    fc.assert(
      fc.property(policy, fc.integer({ min: 0, max: 20 }), rounds, (one, replicas, all) => {
        for (const { decision, before } of play(one, replicas, all)) {
          const { action, desired_replicas: desired } = decision;
          assert.equal(action === "none", desired === before);
          if (action === "scale_up") assert.ok(desired! > before);
          if (action === "scale_down") assert.ok(desired! < before);
          if (action !== "none") assert.notEqual(decision.triggered_by, null);
          assert.ok(decision.reason.length > 0);
        }
      }),
      { numRuns: 200 },
    );
  });

  it("the order of rules and of schedules makes no difference", () => {
    const shuffled = policy.chain((one) =>
      fc.record({
        one: fc.constant(one),
        up: fc.shuffledSubarray([...one.scale_up_rules], { minLength: one.scale_up_rules.length }),
        down: fc.shuffledSubarray([...one.scale_down_rules], { minLength: one.scale_down_rules.length }),
        schedules: fc.shuffledSubarray([...one.schedules], { minLength: one.schedules.length }),
      }),
    );
    const sorted = ({ rules, windows, ...rest }: Decision) => ({
      ...rest,
      rules: [...rules].sort((a, b) => (a.rule < b.rule ? -1 : 1)),
      windows: [...windows].sort(),
    });
    fc.assert(
      fc.property(shuffled, fc.integer({ min: 0, max: 20 }), rounds, ({ one, up, down, schedules }, replicas, all) => {
        const other = { ...one, scale_up_rules: up, scale_down_rules: down, schedules };
        assert.deepEqual(
          play(one, replicas, all).map(({ decision }) => sorted(decision)),
          play(other, replicas, all).map(({ decision }) => sorted(decision)),
        );
      }),
      { numRuns: 200 },
    );
  });

  it("readings that are all unknown move nothing that only rules would move", () => {
    fc.assert(
      fc.property(policy, fc.integer({ min: 3, max: 3 }), (one, replicas) => {
        const { draft } = {
          draft: { ...one, min_replicas: 0, max_replicas: 10, schedules: [], max_hourly_cost: null },
        };
        const nothing = { values: {}, afterMs: INTERVAL };
        for (const { decision } of play(draft, replicas, [nothing, nothing])) assert.equal(decision.action, "none");
      }),
      { numRuns: 100 },
    );
  });

  it("what is kept stays small", () => {
    fc.assert(
      fc.property(policy, fc.array(round, { minLength: 150, maxLength: 150 }), (one, all) => {
        const { state } = play(one, 3, all).at(-1)!;
        assert.ok(state.changes.length <= 200 && state.recommendations.length <= 150);
        assert.ok(Object.keys(state.schedule_marks).length <= one.schedules.length);
        assert.ok(JSON.stringify(state).length < 20_000);
      }),
      { numRuns: 10 },
    );
  });
});
