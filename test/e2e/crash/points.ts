import { createHash } from "node:crypto";

export const modes = ["SelectorSwap", "EndpointSlice", "Always"] as const;
export type Mode = (typeof modes)[number];

/** One whole life of a service under Elasti. */
export const stages = ["create", "sleep", "wake", "sleep again", "delete"] as const;
export type Stage = (typeof stages)[number];

/** A call of an undisturbed run: killing the operator there must change nothing. */
export interface Point {
  readonly mode: Mode;
  readonly stage: Stage;
  /** What the call is, and the how manieth of its kind within the stage. */
  readonly name: string;
  /** Services share what carries it, so that of these only so many can be stopped at once; undefined for no bound. */
  readonly lane: Lane | undefined;
  /** When it came, in ms from the beginning of the stage. */
  readonly offsetMs: number;
  /** It came in every recorded run; others depend on what happens to meet. */
  readonly always: boolean;
}

export type Lane = "port table" | "Event" | "Prometheus";
export const laneWidth: Readonly<Record<Lane, number>> = { "port table": 1, Event: 1, Prometheus: 3 };

/** A point and the side of it on which the operator is killed. */
export interface Victim {
  readonly point: Point;
  readonly when: "before" | "after";
}

export const textOf = ({ point, when }: Victim): string =>
  `${when} "${point.name}" of ${point.stage} in mode ${point.mode}`;

export function laneOf(name: string): Lane | undefined {
  if (name.includes("port table")) return "port table";
  if (name.includes("Event")) return "Event";
  return name.startsWith("Prometheus") ? "Prometheus" : undefined;
}

/**
 * The how manieth of its kind is still a point of its own: the same question goes to two resolvers; a write may be made again
 * after a conflict, or by the other of those who wake. Queries and renewals go on as long as the operator lives.
 */
export const highestOf = (name: string): number => (laneOf(name) === undefined && !/ status /.test(name) ? 2 : 1);

/** Whether what the name says needs the phase with it, because the call is made in several. */
export const byPhase = (name: string): boolean => name.startsWith("Prometheus") || / status /.test(name);

/**
 * Conditions are written where nothing else is due; a slice again where the resolvers did not open a port together; a phase
 * again after a conflict.
 */
const dependsOnTiming = (name: string): boolean =>
  /status conditions in phase|replace resolver slice/.test(name) ||
  (name.endsWith("#2") && !name.startsWith("session"));

interface Seen {
  readonly run: string;
  readonly mode: Mode;
  readonly stage: Stage;
  readonly name: string;
  readonly offsetMs: number;
}

/** Makes the list of points from recorded runs: whatever their order was, the same calls give the same list. */
export class Recording {
  readonly #seen: Seen[] = [];
  readonly #runs = new Map<Mode, Set<string>>();

  note(seen: Seen): void {
    this.#seen.push(seen);
    const runs = this.#runs.get(seen.mode) ?? new Set();
    this.#runs.set(seen.mode, runs.add(seen.run));
  }

  points(): Point[] {
    const groups = new Map<string, Seen[]>();
    for (const seen of this.#seen) {
      const lane = laneOf(seen.name);
      // what services share does not depend on their mode
      if (lane !== undefined && seen.mode !== "SelectorSwap") continue;
      const key = [modes.indexOf(seen.mode), stages.indexOf(seen.stage), seen.name].join(" ");
      groups.set(key, [...(groups.get(key) ?? []), seen]);
    }
    return [...groups.entries()]
      .sort(([a], [b]) => (a < b ? -1 : 1))
      .map(([, [first, ...others]]) => {
        const { mode, stage, name } = first!;
        const offsets = [first!, ...others].map(({ offsetMs }) => offsetMs);
        const runs = new Set([first!, ...others].map(({ run }) => run)).size;
        // the port table takes the rows of several services in one write
        const everywhere = runs === this.#runs.get(mode)?.size || laneOf(name) === "port table";
        const always = everywhere && !dependsOnTiming(name);
        return { mode, stage, name, lane: laneOf(name), offsetMs: Math.min(...offsets), always };
      });
  }
}

/** A share of them, drawn by a seed: the same seed draws the same. */
export function drawn<T>(all: readonly T[], share: number, seed: string, keyOf: (one: T) => string): T[] {
  const rank = (one: T) =>
    createHash("sha256")
      .update(`${seed} ${keyOf(one)}`)
      .digest("hex");
  const ranked = all.map((one) => ({ one, rank: rank(one) })).sort((a, b) => (a.rank < b.rank ? -1 : 1));
  const kept = new Set(ranked.slice(0, Math.ceil(all.length * share)).map(({ one }) => one));
  return all.filter((one) => kept.has(one));
}

/** Which victim each of the services of one mode is in each stage of one round. */
export type Round = ReadonlyMap<Mode, ReadonlyMap<Stage, readonly Victim[]>>;

/** Spreads victims over rounds of `width` services per mode, within the bounds of the lanes. @returns the first round, and who is left */
export function planRound(victims: readonly Victim[], width: number): { round: Round; left: Victim[] } {
  const round = new Map<Mode, Map<Stage, Victim[]>>();
  const lanes = new Map<string, number>();
  const left: Victim[] = [];
  for (const victim of victims) {
    const { mode, stage, lane } = victim.point;
    const perStage = round.get(mode) ?? new Map<Stage, Victim[]>();
    round.set(mode, perStage);
    const chosen = perStage.get(stage) ?? [];
    perStage.set(stage, chosen);
    const laneKey = `${stage} ${lane}`;
    const taken = lanes.get(laneKey) ?? 0;
    if (chosen.length >= width || (lane !== undefined && taken >= laneWidth[lane])) left.push(victim);
    else {
      chosen.push(victim);
      if (lane !== undefined) lanes.set(laneKey, taken + 1);
    }
  }
  return { round, left };
}
