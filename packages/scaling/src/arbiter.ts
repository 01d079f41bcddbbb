import { clashes, compare, isZeroAsked, markOf, type Standing, standingOf } from "./arbiter-standing.ts";

interface Said {
  /** Who exactly asks, such as `rule:<id>`: with the numbers it tells one intent from another. */
  readonly by?: string;
  /** For the journal. It may differ from one time to the next, and changes nothing. */
  readonly reason?: string;
}

/**
 * Who may ask for a replica count, and for what.
 * - `override`: a person, until a moment. `pin`: exactly so many; `at-least`: a floor (awake is a floor of 1); `asleep`: zero,
 *   but for requests; `pause`: nothing is done by itself, requests still wake
 * - `hold`: requests wait, or someone asked for a wake
 * - `trigger`: a scaler says Active while the target sleeps
 * - `schedule`: the floor outside the enabled period, when sleeping is not allowed
 * - `sleep`: the sleep machine, the only door to zero where an ElastiService names the target
 * - `window`: bounds of a schedule or a policy; a `min` of 1 or more wakes and forbids sleep
 * - `cost`: a ceiling
 * - `rule`: so many, within the bounds; 0 asks for sleep
 */
export type Intent = Said &
  (
    | { readonly actor: "override"; readonly ask: "pin" | "at-least"; readonly replicas: number }
    | { readonly actor: "override"; readonly ask: "asleep" | "pause" }
    /** Replicas asked for, at least 1. */
    | { readonly actor: "hold" | "trigger" | "schedule"; readonly replicas: number }
    | { readonly actor: "sleep" }
    | { readonly actor: "window"; readonly min?: number; readonly max?: number }
    | { readonly actor: "cost"; readonly max: number }
    | { readonly actor: "rule"; readonly replicas: number }
  );

/** `person`: whoever wrote what is there now; it stands when nobody may change it, or nobody has to. */
export type Actor = Intent["actor"] | "person";

export interface Bounds {
  readonly min: number;
  readonly max: number;
}

export interface Observed {
  /** spec.replicas of the target's scale now. */
  readonly replicas: number;
  /** An HPA or ScaledObject has the target while it is awake: from 1 up only its bounds may be moved. */
  readonly autoscaled?: boolean;
  /** Of the autoscaler now. Left out: they may not be moved. */
  readonly bounds?: Bounds;
  /** What its author gave it: what stands where no intent speaks of one of the two. Left out: `bounds`. */
  readonly ownBounds?: Bounds | undefined;
  /** An ElastiService names the target: to zero it goes by the sleep machine alone, and by rules it is not woken. */
  readonly named?: boolean;
  /**
   * `intent` of the arbitration before, if that was done, or had nothing to do: a change by hand since then stands for as long
   * as the same intent wins. To be forgotten when a write failed, and when the target has slept.
   */
  readonly last?: string | undefined;
}

export interface Loser {
  readonly intent: Intent;
  /**
   * `one-door`: zero is for the sleep machine to write. `by-hand`: somebody changed the target after this intent had been done.
   * `asleep`: it does not wake.
   */
  readonly why: "outranked" | "less-capacity" | "already-so" | "autoscaler-owns" | "one-door" | "by-hand" | "asleep";
}

export interface Arbitration {
  /** What to write; undefined: nothing. */
  readonly replicas: number | undefined;
  /** What to write to the autoscaler; then `replicas` is undefined. An override's pin has both the same. */
  readonly bounds?: Bounds;
  readonly winner: Actor;
  /** Tells the winning intent from others, whether or not there is anything to do; undefined without any. */
  readonly intent?: string;
  /** In a fixed order, whatever the order of the intents was. */
  readonly losers: readonly Loser[];
  /** Intents that exclude one another were given; who wanted what. */
  readonly conflict?: string;
  /** Zero won, and only the sleep machine may write it. */
  readonly wantsZero?: true;
}

type Why = Loser["why"];

/**
 * Decides the replica count. The order: an override's pin, a hold or wake, the sleep machine, bounds of windows, rules; within
 * a class the most capacity. A floor beats a ceiling, and sleep. No ceiling goes below 1: zero has to be asked for. While a
 * hold or trigger asks, nothing is lowered. The result does not depend on the order of the intents.
 */
export function arbitrate(intents: readonly Intent[], observed: Observed): Arbitration {
  const sorted = [...intents].sort(compare);
  if (sorted.length === 0) return { replicas: undefined, winner: "person", losers: [] };
  const standing = standingOf(sorted);
  const conflict = clashes(sorted, standing);
  // replicas written at zero say nothing of the bounds that follow once it is up
  const byBounds = observed.autoscaled === true && observed.replicas > 0;
  const intent = `${markOf(standing)}${byBounds ? " as bounds" : ""}`;
  const result = (winner: Intent | undefined, outcome: Outcome, kept?: Why): Arbitration => ({
    ...outcome,
    winner: winner === undefined || kept !== undefined ? "person" : winner.actor,
    intent,
    losers: sorted
      .filter((one) => kept !== undefined || one !== winner)
      .map((one) => ({ intent: one, why: one === winner && kept !== undefined ? kept : whyLost(one, standing) })),
    ...(conflict === "" ? {} : { conflict }),
  });

  const { sleep, zero } = standing;
  if (zero !== undefined && zero === sleep) return result(sleep, { replicas: observed.replicas > 0 ? 0 : undefined });
  const handled = observed.last === intent;
  if (zero !== undefined && (observed.named === true || observed.replicas === 0)) {
    const why = observed.replicas === 0 ? "already-so" : "one-door";
    return result(zero, { replicas: undefined, wantsZero: true }, why);
  }

  if (byBounds) {
    const { best } = standing;
    const moved = observed.bounds === undefined ? undefined : boundsOf(standing, observed.bounds, observed.ownBounds);
    if (moved === undefined) {
      const enough = zero === undefined && wantedOf(standing, observed) === observed.replicas;
      return result(best, { replicas: undefined }, enough ? "already-so" : "autoscaler-owns");
    }
    const same = moved.min === observed.bounds?.min && moved.max === observed.bounds.max;
    if (same || handled) return result(best, { replicas: undefined }, same ? "already-so" : "by-hand");
    return result(best, { replicas: undefined, bounds: moved });
  }

  const wanted = wantedOf(standing, observed);
  const winner = winnerOf(standing, wanted);
  if (wanted === observed.replicas) return result(winner, { replicas: undefined }, "already-so");
  if (handled && standing.byHand) return result(winner, { replicas: undefined }, "by-hand");
  // rules move what is awake; to wake there are floors
  if (observed.replicas === 0 && observed.named === true && standing.pin === undefined && standing.floor === 0) {
    return result(winner, { replicas: undefined }, "asleep");
  }
  return result(winner, { replicas: wanted });
}

type Outcome = Pick<Arbitration, "replicas" | "bounds" | "wantsZero">;

function wantedOf({ pin, zero, rule, floor, ceiling, wake }: Standing, { replicas }: Observed): number {
  if (pin !== undefined) return pin.replicas;
  if (zero !== undefined) return 0;
  const within = Math.max(floor, Math.min(rule?.replicas ?? replicas, ceiling));
  return wake ? Math.max(within, replicas) : within;
}

/** Whose intent made it `wanted`: a floor's, a ceiling's, or else a rule's. */
function winnerOf({ best, zero, pin, rule, floors, floor, ceiling, ceilings }: Standing, wanted: number): Intent {
  if (pin !== undefined || zero !== undefined) return pin ?? zero ?? best;
  if (floors[0] !== undefined && wanted === floor && (rule === undefined || rule.replicas < floor)) return floors[0];
  if (wanted === ceiling && (rule === undefined || rule.replicas > ceiling)) return ceilings[0] ?? best;
  return rule ?? best;
}

/** What the autoscaler's bounds should be, or undefined where no intent has anything to say of them. */
function boundsOf(
  { pin, zero, rule, ceiling, ceilings, floors }: Standing,
  now: Bounds,
  own: Bounds = now,
): Bounds | undefined {
  if (pin !== undefined) return { min: pin.replicas, max: pin.replicas };
  if (zero !== undefined) return zero.actor === "rule" ? { min: 0, max: own.max } : { min: 0, max: 0 };
  const asked = rule === undefined ? [] : [Math.min(rule.replicas, ceiling)];
  let least = 0;
  for (const intent of floors) {
    if (intent.actor === "window") asked.push(intent.min ?? 0);
    else if (intent.actor === "override" && "replicas" in intent) least = Math.max(least, intent.replicas);
  }
  if (asked.length === 0 && least === 0 && ceilings.length === 0) return undefined;
  const min = Math.max(asked.length === 0 ? Math.min(own.min, ceiling) : Math.max(...asked), least);
  return { min, max: Math.max(min, ceilings.length === 0 ? own.max : ceiling) };
}

function whyLost(intent: Intent, standing: Standing): Why {
  const { pin, zero, rule, floor, floors, ceiling, ceilings } = standing;
  if (pin !== undefined) {
    if (intent.actor !== "override" || intent.ask !== "pin") return "outranked";
    return intent.replicas < pin.replicas ? "less-capacity" : "already-so";
  }
  if (zero !== undefined) return isZeroAsked(intent) ? "already-so" : "outranked";
  if (floors.includes(intent)) {
    const asked = intent.actor === "window" ? intent.min : "replicas" in intent ? intent.replicas : 0;
    return (asked ?? 0) < floor ? "less-capacity" : "already-so";
  }
  if (ceilings.includes(intent)) return floor > ceiling ? "outranked" : "already-so";
  if (intent.actor === "rule" && rule !== undefined && intent.replicas < rule.replicas) return "less-capacity";
  return intent === rule && rule.replicas >= floor && rule.replicas <= ceiling ? "already-so" : "outranked";
}
