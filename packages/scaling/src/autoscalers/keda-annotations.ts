/**
 * What a ScaledObject is told by annotations, as a pure function: from the annotations it has and the stage that it should be
 * in, to the one write that is missing. Every write also carries the record of what the annotations were before us, so it can
 * be undone by whoever finds it: nothing is remembered anywhere else, and a crash between two writes loses nothing.
 */

/** KEDA scales neither way, its HPA is removed. */
export const PAUSED = "autoscaling.keda.sh/paused";
/** KEDA scales to this number, then pauses: at "0" itself a scale-down, so written only when the target is at zero. */
export const PAUSED_REPLICAS = "autoscaling.keda.sh/paused-replicas";
/** KEDA (2.18 and later) takes the triggers for active when it decides between zero and one; from one up its HPA goes on as ever. */
export const FORCE_ACTIVATION = "autoscaling.keda.sh/force-activation";
/** Ours: the former values of the others, and what we wrote instead. */
export const RECORD = "elasti.truefoundry.com/autoscaler-former";

/**
 * - `paused`: KEDA keeps its hands off, whatever the replicas are
 * - `asleep`: the same, and holds the target at zero; nothing to write for a sleep from which somebody has begun to wake it
 * - `waking`: paused, and marked so that no late write of the sleep can hold the target at zero any more
 * - `awake`: KEDA scales between its bounds, but not from one to zero, which is ours alone
 * - `restored`: as if we had never been there
 */
export type AutoscalerStage = "paused" | "asleep" | "waking" | "awake" | "restored";
export const autoscalerStages: readonly AutoscalerStage[] = ["paused", "asleep", "waking", "awake", "restored"];

export type Annotations = Readonly<Record<string, string>>;

/** What a merge patch sets, and (null) takes off. */
export type AnnotationChange = Readonly<Record<string, string | null>>;

export interface ScaledObjectState {
  readonly annotations: Annotations;
  /** By its spec KEDA may take the target from one to zero. */
  readonly mayZero: boolean;
  /** An ElastiService names it: KubeElasti then wrote `paused` and `paused-replicas` together, without a record. */
  readonly named: boolean;
  /** Names the sleep of the target, unlike any other; several where several ElastiServices share the target. */
  readonly sleeps: readonly string[];
}

const keys = [PAUSED, PAUSED_REPLICAS, FORCE_ACTIVATION] as const;
type Key = (typeof keys)[number];

interface Entry {
  /** Value before us; null: there was none. */
  readonly was: string | null;
  /** Value that we wrote. Found otherwise, somebody has changed it since, and theirs is the one to put back. */
  readonly now: string | null;
}
type Entries = Partial<Record<Key, Entry>>;

interface Former {
  readonly entries: Entries;
  /** The sleep from which the target is being woken. */
  readonly woken: string | undefined;
  /** What a scaling policy has moved (policy-bounds.ts); kept as it is. */
  readonly policy: unknown;
}

/** KEDA reads booleans so: whatever is not one counts as true. */
export function isOn(value: string | null | undefined): boolean {
  return value !== null && value !== undefined && !/^(0|f|false)$/i.test(value);
}

/** The record as far as it can be read. */
function recordOf(text: string | undefined): Former {
  const none: Former = { entries: {}, woken: undefined, policy: undefined };
  if (text === undefined) return none;
  let parsed: unknown;
  try {
    parsed = JSON.parse(text);
  } catch {
    return none;
  }
  if (typeof parsed !== "object" || parsed === null) return none;
  const isValue = (value: unknown): value is string | null => value === null || typeof value === "string";
  const entries: Entries = {};
  for (const key of keys) {
    const entry: unknown = (parsed as Record<string, unknown>)[key];
    if (typeof entry !== "object" || entry === null || !("was" in entry) || !("now" in entry)) continue;
    if (isValue(entry.was) && isValue(entry.now)) entries[key] = { was: entry.was, now: entry.now };
  }
  const woken = "woken" in parsed && typeof parsed.woken === "string" ? parsed.woken : undefined;
  return { entries, woken, policy: "policy" in parsed ? parsed.policy : undefined };
}

/** Whether something of ours stands on it. */
export const isTouched = (annotations: Annotations | undefined): boolean => annotations?.[RECORD] !== undefined;

/** Each annotation as it would be without us. */
function formerOf(state: ScaledObjectState): Record<Key, string | null> {
  const { annotations, named } = state;
  const { entries } = recordOf(annotations[RECORD]);
  const former = (key: Key): string | null => {
    const value = annotations[key] ?? null;
    const entry = entries[key];
    return entry !== undefined && entry.now === value ? entry.was : value;
  };
  const leftByKubeElasti =
    named && !isTouched(annotations) && annotations[PAUSED] === "true" && annotations[PAUSED_REPLICAS] === "0";
  return {
    [PAUSED]: leftByKubeElasti ? null : former(PAUSED),
    [PAUSED_REPLICAS]: leftByKubeElasti ? null : former(PAUSED_REPLICAS),
    [FORCE_ACTIVATION]: former(FORCE_ACTIVATION),
  };
}

/** Replicas at which the user, not us, has paused KEDA. */
export function pinnedReplicas(state: ScaledObjectState): string | undefined {
  return formerOf(state)[PAUSED_REPLICAS] ?? undefined;
}

/** Our pause stands. */
export function isPausedByUs({ annotations }: Pick<ScaledObjectState, "annotations">): boolean {
  return (
    recordOf(annotations[RECORD]).entries[PAUSED]?.now === (annotations[PAUSED] ?? null) && isOn(annotations[PAUSED])
  );
}

/** The annotation's value at a stage. A person's own pause, of either kind, stays what it is. */
function wanted(key: Key, stage: AutoscalerStage, state: ScaledObjectState, former: string | null): string | null {
  switch (key) {
    case PAUSED:
      return stage !== "awake" && stage !== "restored" && !isOn(former) ? "true" : former;
    case PAUSED_REPLICAS:
      return stage === "asleep" && former === null ? "0" : former;
    case FORCE_ACTIVATION: {
      if (isOn(former)) return former;
      if (stage === "awake") return state.mayZero ? "true" : former;
      // without meaning under a pause: what stands there stands until the target sleeps, which saves a write
      const ours = state.annotations[key] === "true";
      return (stage === "paused" || stage === "waking") && ours ? "true" : former;
    }
  }
}

/** The write that brings a ScaledObject to a stage, or undefined where it is there. */
export function nextAnnotations(state: ScaledObjectState, stage: AutoscalerStage): AnnotationChange | undefined {
  const { annotations, sleeps } = state;
  const found = formerOf(state);
  const { woken, policy } = recordOf(annotations[RECORD]);
  const isWoken = woken !== undefined && sleeps.includes(woken);
  if (stage === "asleep" && isWoken) return undefined;
  const entries: Entries = {};
  const change: Record<string, string | null> = {};
  for (const key of keys) {
    const former = found[key];
    const value = wanted(key, stage, state, former);
    if (value !== former) entries[key] = { was: former, now: value };
    if (value !== (annotations[key] ?? null)) change[key] = value;
  }
  const mark = markAt(stage, woken, sleeps);
  const former = {
    ...entries,
    ...(mark === undefined ? {} : { woken: mark }),
    ...(policy === undefined ? {} : { policy }),
  };
  const record = Object.keys(former).length === 0 ? null : JSON.stringify(former);
  if (record !== (annotations[RECORD] ?? null)) change[RECORD] = record;
  return Object.keys(change).length === 0 ? undefined : change;
}

/** A wake is marked until another pod serves: whoever decided to hold the target at zero before finds the object changed. */
function markAt(stage: AutoscalerStage, woken: string | undefined, sleeps: readonly string[]): string | undefined {
  if (stage === "waking") return woken !== undefined && sleeps.includes(woken) ? woken : sleeps[0];
  return stage === "paused" ? woken : undefined;
}
