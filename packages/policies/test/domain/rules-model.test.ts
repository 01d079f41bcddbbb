import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { INTERVAL, NOON, policyOf, Run, type Values } from "./kit.ts";

/**
 * A model of rules that is nothing but tables: every round a row, every condition a column of yes, no and unknown. It knows no
 * keys, no state and no code of the engine's.
 */
type Truth = boolean | undefined;
interface Rule {
  readonly metric: "queue_depth" | "latency" | "errors";
  readonly threshold: number;
  readonly rounds: number;
  readonly by: number;
}

/** Whether a rule fires in a round: yes in it and in as many rounds before as it has to hold, all without a pause. */
function fires(rule: Rule, column: readonly Truth[], index: number): Truth {
  if (column[index] === undefined) return undefined;
  for (let back = 0; back <= rule.rounds; back += 1) {
    if (index - back < 0 || column[index - back] !== true) return false;
  }
  return true;
}

function modelled(ups: readonly Rule[], downs: readonly Rule[], table: readonly Values[], max: number): number[] {
  const columnOf = (rule: Rule, upwards: boolean): Truth[] =>
    table.map((row) => {
      const value = row[rule.metric];
      if (value === undefined) return undefined;
      return upwards ? value > rule.threshold : value < rule.threshold;
    });
  let count = 5;
  return table.map((_, index) => {
    const up = ups.map((rule) => ({ rule, fired: fires(rule, columnOf(rule, true), index) }));
    const down = downs.map((rule) => ({ rule, fired: fires(rule, columnOf(rule, false), index) }));
    const more = up.filter(({ fired }) => fired === true).map(({ rule }) => count + rule.by);
    const less = down.filter(({ fired }) => fired === true).map(({ rule }) => count - rule.by);
    if (more.length > 0) count = Math.max(...more);
    else if (less.length > 0 && !up.some(({ fired }) => fired === undefined)) count = Math.max(...less);
    count = Math.max(1, Math.min(count, max));
    return count;
  });
}

const rule = fc.record({
  metric: fc.constantFrom("queue_depth" as const, "latency" as const, "errors" as const),
  threshold: fc.integer({ min: 1, max: 3 }),
  rounds: fc.integer({ min: 0, max: 3 }),
  by: fc.integer({ min: 1, max: 4 }),
});
const reading = fc.option(fc.integer({ min: 0, max: 4 }), { nil: undefined, freq: 8 });
const row = fc.record({ queue_depth: reading, latency: reading, errors: reading });

describe("rules and a model of tables", () => {
  it("come to the same counts", () => {
    fc.assert(
      fc.property(
        fc.array(rule, { maxLength: 3 }),
        fc.array(rule, { maxLength: 3 }),
        fc.array(row, { minLength: 1, maxLength: 15 }),
        (ups, downs, table) => {
          const body = (one: Rule, upwards: boolean) => ({
            metric: one.metric,
            operator: upwards ? ("gt" as const) : ("lt" as const),
            threshold: one.threshold,
            duration_seconds: (one.rounds * INTERVAL) / 1_000,
            scale_by: upwards ? one.by : -one.by,
          });
          const policy = policyOf({
            cooldown_seconds: 0,
            scale_up_rules: ups.map((one) => body(one, true)),
            scale_down_rules: downs.map((one) => body(one, false)),
          });
          const run = new Run(policy, 5, NOON);
          const counts = table.map((values) => run.step(values).desired_replicas);
          assert.deepEqual(counts, modelled(ups, downs, table, 10));
        },
      ),
      { numRuns: 400 },
    );
  });
});
