import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { canonical, decode, encode } from "./codec.ts";
import { explore, type Outcome } from "./explore.ts";
import { broken } from "./properties.ts";
import { type Guard, LAG, start, type World } from "./world.ts";

const base: World = {
  name: "all faults",
  mode: "SelectorSwap",
  trustsReady: true,
  requests: 1,
  sleeps: 1,
  depositions: 1,
  lost: 1,
  restarts: 1,
};

/** Bounds in which everything that can happen is looked at. */
const worlds: readonly World[] = [
  base,
  { ...base, name: "two requests", requests: 2, lost: 0, restarts: 0 },
  { ...base, name: "two sleeps", sleeps: 2, lost: 0, restarts: 0 },
  { ...base, name: "two sleeps, a resolver restarts", sleeps: 2, depositions: 0, lost: 0 },
  { ...base, name: "always through the resolvers", mode: "Always", sleeps: 2, lost: 0, restarts: 0 },
  { ...base, name: "no readiness probe", trustsReady: false, lost: 0 },
];

const figures = (w: World, o: Outcome, ms: number): string =>
  `${w.name}: 2 operators, 2 resolvers, ${w.requests} request(s), ${w.sleeps} sleep(s), ${w.depositions} deposed leader(s), ` +
  `${w.lost} lost answer(s), ${w.restarts} restart(s), a node up to ${LAG} changes late: ` +
  `${o.states} states, ${o.transitions} transitions, ${o.depth} deep, ${Math.round(ms)} ms`;

const told = (o: Outcome): string => [o.violation, ...o.trace.map((label) => `  ${label}`)].join("\n");

function run(w: World): { outcome: Outcome; text: string } {
  const begun = performance.now();
  const outcome = explore(w);
  return { outcome, text: figures(w, outcome, performance.now() - begun) };
}

describe("the protocol loses no request, lets every wake win, and never sleeps while active", () => {
  for (const world of worlds) {
    it(world.name, (t) => {
      const { outcome, text } = run(world);
      t.diagnostic(text);
      assert.equal(outcome.violation, undefined, told(outcome));
      assert.ok(outcome.complete, "not every state was visited");
    });
  }
});

describe("each guard is needed", () => {
  const one: World = { ...base, lost: 0, restarts: 0, sleeps: 2 };
  const guards: Readonly<Record<Guard, string>> = {
    proof: broken.zeroWhileActive,
    "second look": broken.zeroWhileActive,
    seal: broken.zeroWhileActive,
    "fence of the target": broken.zeroAfterWake,
    "fence of the Service": broken.nobody,
    precondition: broken.zeroAfterWake,
    epoch: broken.zeroAfterWake,
    "target read before the seal": broken.zeroAfterWake,
    taint: broken.podEnded,
    "taint without having seen Asleep": broken.podEnded,
    "a new leader reads afresh": broken.nobody,
    "settled nodes": broken.zeroWhileActive,
  };
  for (const [removed, expected] of Object.entries(guards) as [Guard, string][]) {
    it(`without it: ${removed}`, (t) => {
      const world = { ...one, name: `without: ${removed}`, removed };
      const { outcome, text } = run(world);
      t.diagnostic(text);
      t.diagnostic(told(outcome));
      assert.equal(outcome.violation, expected, told(outcome));
    });
  }
});

describe("the notation of states", () => {
  it("brings back what was put in", () => {
    for (const world of worlds) {
      const s = canonical(start(world));
      assert.deepEqual(decode(encode(s)), s);
    }
  });
});
