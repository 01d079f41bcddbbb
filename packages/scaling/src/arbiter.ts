/**
 * Who may ask for a replica count.
 * - `hold`: requests wait, or someone asked for a wake
 * - `trigger`: a scaler says Active while the target sleeps
 * - `schedule`: the floor outside the enabled period, when sleeping is not allowed
 * - `sleep`: the sleep machine, the only one that may ask for zero
 */
export type Intent =
  | {
      readonly actor: "hold" | "trigger" | "schedule";
      /** Replicas asked for, at least 1. */
      readonly replicas: number;
      /** For the journal. */
      readonly reason?: string;
    }
  | { readonly actor: "sleep"; readonly reason?: string };

/** `person`: whoever wrote what is there now; it stands when nobody may change it. */
export type Actor = Intent["actor"] | "person";

export interface Observed {
  /** spec.replicas of the target's scale now. */
  readonly replicas: number;
  /** An HPA or ScaledObject has the target while it is awake: from 1 up only its bounds may be moved. */
  readonly autoscaled?: boolean;
}

export interface Loser {
  readonly intent: Intent;
  readonly why: "outranked" | "less-capacity" | "already-so" | "autoscaler-owns";
}

export interface Arbitration {
  /** What to write; undefined: nothing. */
  readonly replicas: number | undefined;
  readonly winner: Actor;
  /** In a fixed order, whatever the order of the intents was. */
  readonly losers: readonly Loser[];
  /** Two intents that exclude one another were given; who wanted what. */
  readonly conflict?: string;
}

type Floor = Exclude<Intent, { actor: "sleep" }>;

/** The higher outranks. A floor beats the sleep machine: outside the enabled period sleeping is not allowed. */
const rank: Readonly<Record<Intent["actor"], number>> = { hold: 3, trigger: 3, schedule: 2, sleep: 1 };
const actorOrder: readonly Intent["actor"][] = ["hold", "trigger", "schedule", "sleep"];

const isFloor = (intent: Intent): intent is Floor => intent.actor !== "sleep";
const capacity = (intent: Intent): number => (isFloor(intent) ? intent.replicas : 0);

/** A total order, so that the result cannot depend on the order of arrival. */
function compare(a: Intent, b: Intent): number {
  return (
    rank[b.actor] - rank[a.actor] ||
    capacity(b) - capacity(a) ||
    actorOrder.indexOf(a.actor) - actorOrder.indexOf(b.actor) ||
    ((a.reason ?? "") < (b.reason ?? "") ? -1 : (a.reason ?? "") > (b.reason ?? "") ? 1 : 0)
  );
}

/**
 * Decides the replica count. What is there is never lowered except to zero, and to zero only by the sleep machine alone: every
 * other intent beside it keeps the target awake.
 */
export function arbitrate(intents: readonly Intent[], observed: Observed): Arbitration {
  const sorted = [...intents].sort(compare);
  const [best] = sorted;
  if (best === undefined) return { replicas: undefined, winner: "person", losers: [] };

  if (!isFloor(best)) {
    const zero = observed.replicas > 0 ? 0 : undefined;
    return { replicas: zero, winner: "sleep", losers: sorted.slice(1).map(lost("already-so")) };
  }

  const floors = sorted.filter(isFloor);
  const sleeps = sorted.filter((intent) => !isFloor(intent));
  const wanted = Math.max(...floors.map((intent) => intent.replicas));
  const losers = [
    ...floors.slice(1).map((intent) => lost(intent.replicas < wanted ? "less-capacity" : "already-so")(intent)),
    ...sleeps.map(lost("outranked")),
  ];
  const conflict =
    sleeps.length === 0 ? {} : { conflict: `${best.actor} asks for ${wanted}, sleep asks for 0: the floor stands` };

  if (wanted <= observed.replicas) {
    return { replicas: undefined, winner: "person", losers: [lost("already-so")(best), ...losers], ...conflict };
  }
  if (observed.autoscaled === true && observed.replicas > 0) {
    return { replicas: undefined, winner: "person", losers: [lost("autoscaler-owns")(best), ...losers], ...conflict };
  }
  // a floor of lower rank still counts: the most capacity that anyone needs
  return { replicas: wanted, winner: best.actor, losers, ...conflict };
}

const lost =
  (why: Loser["why"]) =>
  (intent: Intent): Loser => ({ intent, why });
