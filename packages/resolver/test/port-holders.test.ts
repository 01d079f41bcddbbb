import assert from "node:assert/strict";
import { describe, test } from "node:test";
import fc from "fast-check";
import { type Holding, nextHolding } from "../src/port-holders.ts";

const lagMs = 10;
const held = (holder: string): Holding => ({ holder, until: undefined });
const contested: Holding = { holder: undefined, until: undefined };
const givenUp = (holder: string | undefined, until: number): Holding => ({ holder, until });

describe("nextHolding", () => {
  const cases: [string, Holding | undefined, string[], number, Holding | undefined][] = [
    ["nobody asks", undefined, [], 0, undefined],
    ["one asks", undefined, ["a"], 0, held("a")],
    ["two ask at once", undefined, ["a", "b"], 0, contested],
    ["a second asks", held("a"), ["a", "b"], 0, held("a")],
    ["the holder leaves", held("a"), [], 5, givenUp("a", 15)],
    ["the holder leaves, and one waits", held("a"), ["b"], 5, givenUp("a", 15)],
    ["another asks meanwhile", givenUp("a", 15), ["b"], 14, givenUp("a", 15)],
    ["the holder comes back", givenUp("a", 15), ["a", "b"], 14, held("a")],
    ["time is up, and one waits", givenUp("a", 15), ["b"], 15, held("b")],
    ["time is up, and two wait", givenUp("a", 15), ["b", "c"], 15, contested],
    ["time is up, and nobody waits", givenUp("a", 15), [], 15, undefined],
    ["two still ask", contested, ["a", "b"], 5, contested],
    ["a third asks, too", contested, ["a", "b", "c"], 5, contested],
    ["of two one leaves", contested, ["b"], 5, givenUp(undefined, 15)],
    ["and comes back", givenUp(undefined, 15), ["a", "b"], 14, givenUp(undefined, 15)],
    ["and is forgotten", givenUp(undefined, 15), ["b"], 15, held("b")],
  ];
  for (const [what, before, claimants, nowMs, after] of cases) {
    test(what, () => assert.deepEqual(nextHolding(before, new Set(claimants), nowMs, lagMs), after));
  }

  const moves = fc.array(
    fc.record({ service: fc.constantFrom("a", "b", "c"), claims: fc.boolean(), passMs: fc.nat(15) }),
    { maxLength: 60 },
  );

  test("a port leads to nobody else before the lag is over, and in the end to whoever is left", () => {
    fc.assert(
      fc.property(moves, (list) => {
        const claimants = new Set<string>();
        const leftAt = new Map<string, number>();
        let nowMs = 0;
        let holding: Holding | undefined;
        let last: string | undefined;
        const decide = () => {
          holding = nextHolding(holding, claimants, nowMs, lagMs);
          const holder = holding?.holder;
          if (holder === undefined || holder === last) return;
          assert.ok(claimants.has(holder), "it goes to one that claims it");
          if (last !== undefined) assert.ok(nowMs - leftAt.get(last)! >= lagMs, "the former one has had its time");
          last = holder;
        };
        for (const { service, claims, passMs } of list) {
          nowMs += passMs;
          decide();
          if (claims) claimants.add(service);
          else if (claimants.delete(service)) leftAt.set(service, nowMs);
          decide();
        }
        const [left] = claimants;
        for (const other of [...claimants].slice(1)) claimants.delete(other);
        decide();
        for (let times = 0; times < 2; times++) {
          nowMs += lagMs;
          decide();
        }
        assert.equal(holding?.holder, left);
      }),
    );
  });
});
