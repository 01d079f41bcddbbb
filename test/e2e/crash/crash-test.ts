import assert from "node:assert/strict";
import type { World, WorldOptions } from "../world.ts";
import { CrashRun, victimsOf } from "./crash-run.ts";
import { drawn, modes, planRound, textOf, type Victim } from "./points.ts";
import { Stand } from "./stand.ts";

export interface CrashTestOptions {
  readonly startWorld: (options: WorldOptions) => Promise<World>;
  /** An address by which operator and resolvers reach the proxies of this process. */
  readonly host: string;
  /** Of the kill points; all by default. */
  readonly share?: number;
  /** Draws them. */
  readonly seed?: string;
  /** Services of each mode that share a kill, each at a point of its own. */
  readonly width?: number;
  readonly operatorEnv?: Readonly<Record<string, string>>;
  /** With a Lease that has to run out: how long a call may be stopped before the operator gives it up. */
  readonly patienceMs?: number;
  /**
   * So many of the points that came in every recorded run may come in no further one, because what they are in reply to met with
   * something else; more on a busy machine, and most where stopped calls are given up before all the others are there.
   */
  readonly unreachedShare?: number;
}

export interface CrashReport {
  /** How many points. */
  readonly line: string;
  /** Requests without the app's answer, and stages that ended otherwise than the undisturbed one. */
  readonly failures: readonly string[];
}

/** How often a point that came in every recorded run is tried: under load a service may come to it after the kill. */
const tries = 3;

/**
 * Lists every call that the operator makes in the undisturbed life of a service (created, asleep, woken, asleep again, deleted)
 * in each routing mode; kills the operator before and after each, and looks whether every request was answered by the app and
 * each stage ended as the undisturbed one.
 */
export async function crashTest(options: CrashTestOptions): Promise<CrashReport> {
  const {
    startWorld,
    host,
    share = 1,
    seed = "",
    width = 12,
    operatorEnv = {},
    patienceMs,
    unreachedShare = 0.1,
  } = options;
  const stand = await Stand.start({ startWorld, host, operatorEnv, realLease: patienceMs !== undefined });
  const run = new CrashRun(stand, patienceMs);
  try {
    const points = await run.record();
    const victims = drawn(victimsOf(points), share, seed, textOf);
    const tried = new Map<Victim, number>();
    let waiting = victims;
    const killed: Victim[] = [];
    let rounds = 0;
    for (; waiting.length > 0; rounds += 1) {
      const { round, left } = planRound(waiting, width);
      const reached = new Set(await run.round(round));
      killed.push(...reached);
      const missed = waiting.filter((victim) => !reached.has(victim) && !left.includes(victim));
      for (const victim of missed) tried.set(victim, (tried.get(victim) ?? 0) + 1);
      const again = missed.filter((victim) => victim.point.always && tried.get(victim)! < tries);
      waiting = [...left, ...again];
    }
    const missed = victims.filter((victim) => !killed.includes(victim));
    for (const victim of missed) console.log(`did not come again: ${textOf(victim)}`);
    const sure = missed.filter(({ point }) => point.always);
    assert.ok(sure.length <= unreachedShare * victims.length, `not reached: ${sure.map(textOf).join("; ")}`);
    const perMode = modes.map((mode) => `${mode} ${points.filter((point) => point.mode === mode).length}`).join(", ");
    const total = killed.length + run.leasePoints;
    const sides = (["before", "after"] as const)
      .map((side) => `${killed.filter(({ when }) => when === side).length} ${side}`)
      .join(", ");
    const line =
      `crash: ${points.length} calls (${perMode}); killed at ${total} of ${victims.length + leaseSides} points ` +
      `(${sides}, ${run.leasePoints} of the Lease) by ${run.kills} kills in ${rounds} rounds; ${run.answered} requests`;
    return { line, failures: run.failures };
  } finally {
    await run.close();
    await stand.close();
  }
}

/** Taking and renewing the Lease, before and after. */
const leaseSides = 4;
