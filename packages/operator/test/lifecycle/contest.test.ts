import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { ElastiService, Raise } from "@elasti/api";
import { contestOf, contestPauseMs, maxRaises, withRaise } from "../../src/lifecycle/contest.ts";

const start = Date.UTC(2026, 0, 1, 12);
const minutes = (count: number): number => count * 60_000;
const raise = (atMinutes: number, epoch = atMinutes, generation = 1): Raise => ({
  time: new Date(start + minutes(atMinutes)).toISOString(),
  epoch,
  generation,
});
const es = (raises: Raise[], generation = 1): Pick<ElastiService, "metadata" | "status"> => ({
  metadata: { name: "web", generation },
  status: { raises },
});

describe("a contest", () => {
  const cases: [string, Raise[], number, number | undefined][] = [
    ["is none without raises", [], 0, undefined],
    ["is none after one raise", [raise(0)], 1, undefined],
    ["is one after two within ten minutes, for an hour from the second", [raise(0), raise(10)], 11, 70],
    ["is none after two that are further apart", [raise(0), raise(11)], 12, undefined],
    ["is over after the hour", [raise(0), raise(5)], 65, undefined],
    ["goes on from its last raise", [raise(0), raise(5), raise(9)], 66, 69],
    ["is not ended by a later raise that comes alone", [raise(0), raise(5), raise(30)], 40, 65],
    ["does not count raises against another spec", [raise(0, 1, 0), raise(5)], 6, undefined],
  ];
  for (const [name, raises, atMinutes, until] of cases) {
    it(name, () => {
      const contest = contestOf(es(raises), start + minutes(atMinutes));
      assert.equal(contest?.untilMs, until === undefined ? undefined : start + minutes(until));
    });
  }

  it("ends when the spec is changed", () => {
    assert.equal(contestOf(es([raise(0), raise(5)], 2), start + minutes(6)), undefined);
  });
});

describe("the raises that are kept", () => {
  it("are those that may decide something", () => {
    assert.deepEqual(withRaise(undefined, raise(3)), [raise(3)]);
    assert.deepEqual(withRaise([raise(0), raise(60)], raise(75)), [raise(60), raise(75)]);
  });

  it("have one of each phase", () => {
    assert.deepEqual(withRaise([raise(0, 7)], raise(1, 7)), [raise(1, 7)]);
  });

  it("are bounded, and no contest is lost by that", () => {
    // two close together, and from then on as many as can come without a further contest
    let raises: Raise[] = [raise(0), raise(5)];
    for (let at = 16; at < 65; at += 11) raises = withRaise(raises, raise(at));
    assert.equal(contestOf(es(raises), start + minutes(64))?.untilMs, start + minutes(5) + contestPauseMs);
    for (let at = 65; at < 200; at += 1) raises = withRaise(raises, raise(at));
    assert.equal(raises.length, maxRaises);
  });
});
