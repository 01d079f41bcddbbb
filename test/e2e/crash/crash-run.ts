import { setTimeout as pause } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import { type OutboundCall, Stop } from "../stops.ts";
import type { Snapshot } from "./cluster-state.ts";
import {
  byPhase,
  highestOf,
  type Mode,
  modes,
  type Point,
  planRound,
  Recording,
  type Round,
  type Stage,
  stages,
  textOf,
  type Victim,
} from "./points.ts";
import { Slot, sleepy } from "./slot.ts";
import type { Stand } from "./stand.ts";

/** How long a stage may take until the cluster is as after an undisturbed one. */
const settleTimeoutMs = 60_000;
/** How long a service may take to reach its point. */
const arriveTimeoutMs = 20_000;
/** When nobody came to his point for so long, nobody else will; all the sooner when those left come in some runs only. */
const nobodyMs = 4_000;
const unsureMs = 1_000;
/** How long the writer of the port table may take: it begins when all others are stopped, because they would wait for it. */
const lastMs = 1_500;
/** An undisturbed run that changes nothing for so long has come to the end of its stage. */
const stillMs = 1_500;

interface Armed {
  readonly slot: Slot;
  readonly victim: Victim;
  readonly stop: Stop;
}

interface Progress {
  readonly slot: Slot;
  readonly run: string;
  stage: Stage;
  beganAt: number;
  /** The last one that the operator wrote. */
  phase: string;
  readonly counts: Map<string, number>;
  armed: Armed | undefined;
}

/** Goes through whole runs of several services at once, and kills the operator while each of them is at a point of its own. */
export class CrashRun {
  readonly failures: string[] = [];
  answered = 0;
  kills = 0;
  readonly #stand: Stand;
  readonly #progress = new Map<string, Progress>();
  readonly #expected = new Map<string, Snapshot>();
  #recording: Recording | undefined;
  /** Calls about the Lease are no service's: one is armed at a time. */
  #lease: { readonly name: "renew" | "take"; readonly stop: Stop } | undefined;
  readonly #patienceMs: number;
  readonly #leaseSides: ("before" | "after")[] = ["before", "after"];
  /** Points of the Lease at which an operator was killed. */
  leasePoints = 0;
  #tookOver = false;
  #round = 0;

  /** @param patienceMs how long a call may be stopped before its sender gives it up */
  constructor(stand: Stand, patienceMs = 20_000) {
    this.#stand = stand;
    this.#patienceMs = patienceMs;
    stand.stops.add((call) => this.#see(call));
  }

  /** Undisturbed runs: the points, and how things stand at the end of each stage. */
  async record(perMode = 2): Promise<Point[]> {
    const recording = new Recording();
    const slots = await this.#slots(() => perMode, "rec");
    this.#recording = recording;
    for (const stage of stages) {
      for (const slot of slots) await this.#begin(slot, stage);
      await Promise.all(slots.map((slot) => this.#still(slot, stage)));
    }
    this.#recording = undefined;
    await this.#remove(slots);
    return recording.points();
  }

  /** However it ended, nothing is sent any more. */
  async close(): Promise<void> {
    await Promise.all([...this.#progress.values()].map(({ slot }) => slot.quiet()));
  }

  /** One round. @returns the victims that came to their point and were killed there */
  async round(round: Round): Promise<Victim[]> {
    this.#round += 1;
    const widthOf = (mode: Mode) => Math.max(0, ...[...(round.get(mode)?.values() ?? [])].map(({ length }) => length));
    const slots = await this.#slots(widthOf, `r${this.#round}`);
    const alive = new Set(slots);
    const killed: Victim[] = [];
    for (const stage of stages) {
      const chosen = new Map<Slot, Victim>();
      for (const mode of modes) {
        const victims = round.get(mode)?.get(stage) ?? [];
        const free = slots.filter((slot) => slot.mode === mode && alive.has(slot));
        for (const [index, victim] of victims.entries()) {
          const slot = free[index];
          if (slot !== undefined) chosen.set(slot, victim);
        }
      }
      killed.push(...(await this.#stage(stage, alive, chosen)));
    }
    await this.#remove(slots);
    return killed;
  }

  async #slots(widthOf: (mode: Mode) => number, prefix: string): Promise<Slot[]> {
    const { world, prometheus, names } = this.#stand;
    const wanted = modes.flatMap((mode) =>
      Array.from({ length: widthOf(mode) }, (_, index) => ({
        mode,
        name: `${prefix}-${mode.toLowerCase()}-${index}x`,
      })),
    );
    const slots = await Promise.all(
      wanted.map(({ mode, name }) => {
        names.add(name);
        return Slot.start(name, mode, { world, prometheus });
      }),
    );
    for (const slot of slots) {
      const run = slot.name;
      this.#progress.set(slot.name, {
        slot,
        run,
        stage: "create",
        beganAt: 0,
        phase: "none",
        counts: new Map(),
        armed: undefined,
      });
    }
    return slots;
  }

  async #remove(slots: readonly Slot[]): Promise<void> {
    await Promise.all(slots.map((slot) => slot.remove()));
    for (const slot of slots) {
      this.#progress.delete(slot.name);
      this.answered += slot.answered;
      this.failures.push(...slot.failures.map((failure) => `${slot.name}: ${failure}`));
    }
    const { state } = this.#stand;
    await state.until(() => slots.every(({ name }) => state.snapshot(name).pods === 0), settleTimeoutMs);
  }

  async #begin(slot: Slot, stage: Stage): Promise<void> {
    const progress = this.#progress.get(slot.name)!;
    progress.stage = stage;
    progress.beganAt = performance.now();
    progress.counts.clear();
    await slot.begin(stage);
  }

  /** Names and counts a call, records it, and stops it where it is the point of its service. */
  #see(call: OutboundCall): Stop | undefined {
    const named = this.#stand.names.of(call);
    if (named === undefined) return undefined;
    if (named.name.includes("Lease")) {
      const { name, stop } = this.#lease ?? {};
      if (name === undefined || !named.name.endsWith(name)) return undefined;
      this.#lease = undefined;
      return stop;
    }
    const progress = this.#progressOf(call, named.service);
    if (progress === undefined) return undefined;
    const base = byPhase(named.name) ? `${named.name} in phase ${progress.phase}` : named.name;
    progress.phase = / phase (\w+)$/.exec(named.name)?.[1] ?? progress.phase;
    const count = (progress.counts.get(base) ?? 0) + 1;
    progress.counts.set(base, count);
    if (count > highestOf(base)) return undefined;
    const name = count === 1 ? base : `${base} #${count}`;
    const { slot, stage, run, beganAt, armed } = progress;
    this.#recording?.note({ run, mode: slot.mode, stage, name, offsetMs: performance.now() - beganAt });
    if (armed === undefined || armed.victim.point.name !== name || armed.victim.point.stage !== stage) return undefined;
    progress.armed = undefined;
    return armed.stop;
  }

  /** Of the port table it is the service whose row changes; when several do, whichever is armed. */
  #progressOf(call: OutboundCall, service: string | undefined): Progress | undefined {
    if (service !== undefined) return this.#progress.get(service);
    if (!call.path.includes("configmaps") && !call.body.includes("elasti-ports-")) return undefined;
    const all = [...this.#progress.values()];
    return all.find(({ armed }) => armed?.victim.point.lane === "port table") ?? (this.#recording && all[0]);
  }

  async #stage(stage: Stage, alive: Set<Slot>, chosen: Map<Slot, Victim>): Promise<Victim[]> {
    const armed: Armed[] = [];
    const longest = Math.max(0, ...[...chosen.values()].map(({ point }) => point.offsetMs));
    const isLast = (slot: Slot) => chosen.get(slot)?.point.lane === "port table";
    const begin = async (slot: Slot): Promise<void> => {
      const victim = chosen.get(slot);
      if (victim === undefined) return await this.#begin(slot, stage);
      const one = { slot, victim, stop: new Stop(victim.when) };
      this.#progress.get(slot.name)!.armed = one;
      armed.push(one);
      // who comes late to its point begins early, so that all are there at about the same time
      if (!isLast(slot)) await pause(longest - victim.point.offsetMs);
      await this.#begin(slot, stage);
    };
    const slots = [...alive];
    await Promise.all(slots.filter((slot) => !isLast(slot)).map(begin));
    await this.#allThere(armed, slots.some(isLast) ? this.#patienceMs - lastMs : this.#patienceMs);
    for (const slot of slots.filter(isLast)) {
      await begin(slot);
      await within(armed.at(-1)!.stop.arrived, lastMs);
    }
    const there = await this.#arrived(armed);
    if (chosen.size > 0) await this.#kill(stage, slots, there);
    const killed: Victim[] = [];
    for (const { victim, stop } of there) {
      // whose sender lives on was sent by another replica
      if (await within(stop.senderGone, 2_000)) killed.push(victim);
    }
    for (const slot of slots) this.#progress.get(slot.name)!.armed = undefined;
    for (const { stop } of armed) stop.drop();
    await Promise.all(slots.map((slot) => this.#settled(slot, stage, alive, chosen.get(slot))));
    return killed;
  }

  /** Waits until all are at their points, or nobody new comes; for no longer than the calls of the first ones are waited for. */
  async #allThere(armed: readonly Armed[], patienceMs: number): Promise<void> {
    const waiting = new Set(armed);
    for (const one of armed) void one.stop.arrived.then(() => waiting.delete(one));
    const arrivals = () => [...waiting].map(({ stop }) => stop.arrived);
    if (armed.length === 0 || !(await within(Promise.race(arrivals()), arriveTimeoutMs))) return;
    const until = performance.now() + patienceMs;
    while (waiting.size > 0) {
      const sure = [...waiting].some(({ victim }) => victim.point.always);
      const leftMs = Math.min(sure ? nobodyMs : unsureMs, until - performance.now());
      if (!(await within(Promise.race(arrivals()), leftMs))) return;
    }
  }

  /** Those that are stopped now; one whose sender gave up waiting is none. */
  async #arrived(armed: readonly Armed[]): Promise<Armed[]> {
    const there: Armed[] = [];
    for (const one of armed) {
      const arrived = await within(one.stop.arrived, 0);
      if (arrived && !(await within(one.stop.senderGone, 0))) there.push(one);
      else
        console.log(
          `${arrived ? "given up before the kill" : "not reached"}: ${textOf(one.victim)} (${one.slot.name})`,
        );
    }
    return there;
  }

  async #kill(stage: Stage, slots: readonly Slot[], there: readonly Armed[]): Promise<void> {
    const renewal = stage === "wake" ? await this.#renewal() : undefined;
    for (const slot of slots) if (requestsAtKill(stage, slot.mode)) slot.ask();
    await pause(30);
    await this.#die();
    renewal?.drop();
    if (stage === "create") await this.#dieWhileTaking();
    if (!sleepy(stage)) return;
    // what the dead one had sent and the network kept back arrives now
    if (stage === "sleep")
      for (const { stop } of there) if (stop.when === "before") void stop.release().catch(() => {});
    await pause(300);
    await Promise.all(slots.map((slot) => slot.quiet()));
  }

  async #die(): Promise<void> {
    this.kills += 1;
    const another = await this.#stand.kill();
    await another();
  }

  /** Has the leader stopped while it renews its Lease, once on each side. */
  async #renewal(): Promise<Stop | undefined> {
    const when = this.#leaseSides.shift();
    if (when === undefined) return undefined;
    const stop = new Stop(when);
    this.#lease = { name: "renew", stop };
    if (await within(stop.arrived, 2_000)) this.leasePoints += 1;
    return stop;
  }

  /** The one that follows is killed, too, on either side of the write by which it takes the Lease over. */
  async #dieWhileTaking(): Promise<void> {
    if (this.leasePoints > 0 || this.#tookOver) return;
    this.#tookOver = true;
    for (const when of ["before", "after"] as const) {
      const stop = new Stop(when);
      this.#lease = { name: "take", stop };
      this.kills += 1;
      const another = await this.#stand.kill();
      if (await within(stop.arrived, 15_000)) this.leasePoints += 1;
      this.kills += 1;
      const next = await this.#stand.kill();
      stop.drop();
      await next();
      void another;
    }
  }

  /** Waits until things stand as after an undisturbed stage. */
  async #settled(slot: Slot, stage: Stage, alive: Set<Slot>, victim: Victim | undefined): Promise<void> {
    const { state } = this.#stand;
    const expected = this.#expected.get(`${slot.mode} ${stage}`)!;
    if (await state.until(() => isDeepStrictEqual(state.snapshot(slot.name), expected), settleTimeoutMs)) return;
    alive.delete(slot);
    const about = victim === undefined ? `${stage} in mode ${slot.mode}` : textOf(victim);
    const failure = `${slot.name}: killed ${about}: ${difference(expected, state.snapshot(slot.name))}`;
    console.log(failure);
    this.failures.push(failure);
  }

  /** Waits until nothing changes any more, and keeps how things stand then. */
  async #still(slot: Slot, stage: Stage): Promise<void> {
    const { state } = this.#stand;
    const reached = () => {
      const phase = state.elastiService(slot.name)?.status?.phase;
      if (stage === "delete") return phase === undefined;
      return phase === (sleepy(stage) ? "Asleep" : "Serving");
    };
    if (!(await state.until(reached, settleTimeoutMs))) {
      throw new Error(`${slot.name}: ${stage} does not end: ${JSON.stringify(state.snapshot(slot.name))}`);
    }
    let last: Snapshot;
    do {
      last = state.snapshot(slot.name);
    } while (await state.until(() => !isDeepStrictEqual(state.snapshot(slot.name), last), stillMs));
    const key = `${slot.mode} ${stage}`;
    const known = this.#expected.get(key);
    this.#expected.set(key, last);
    if (known !== undefined && !isDeepStrictEqual(known, last)) {
      throw new Error(`two undisturbed runs differ after ${stage} in mode ${slot.mode}: ${difference(known, last)}`);
    }
  }
}

/** Whether it resolves within so many ms. */
async function within(promise: Promise<unknown>, ms: number): Promise<boolean> {
  const over = new AbortController();
  const late = pause(Math.max(0, ms), false, { signal: over.signal }).catch(() => false);
  try {
    return await Promise.race([promise.then(() => true), late]);
  } finally {
    over.abort();
  }
}

function difference(expected: Snapshot, actual: Snapshot): string {
  const keys = Object.keys(expected).filter((key) => !isDeepStrictEqual(expected[key], actual[key]));
  return keys
    .map((key) => `${key}: expected ${JSON.stringify(expected[key])}, is ${JSON.stringify(actual[key])}`)
    .join("; ");
}

/**
 * Of the two sleeps one is disturbed by requests; what the dead one left of the other is for the next one to end alone. In mode
 * EndpointSlice clients reach pods past a seal, and may be reset by one that ends: it sleeps undisturbed.
 */
const requestsAtKill = (stage: Stage, mode: Mode): boolean =>
  stage === "sleep" ? mode !== "EndpointSlice" : stage !== "sleep again";

/** All victims of these points. */
export const victimsOf = (points: readonly Point[]): Victim[] =>
  points.flatMap((point) => (["before", "after"] as const).map((when) => ({ point, when })));

export type { Mode };
export { planRound };
