import { type AnnotationChange, type Annotations, PAUSED_REPLICAS, RECORD } from "./keda-annotations.ts";

/**
 * What a scaling policy moves on an autoscaler, as a pure function: its bounds, and with KEDA the number at which it is pinned.
 * The former values stand in the same record as those of the sleep machine, so that either can write without forgetting what the
 * other has to put back, and whoever finds the object can undo it.
 */

/** What is read of an autoscaler: fields that are left out have its kind's defaults. */
export interface BoundsState {
  readonly annotations: Annotations;
  readonly min: number | undefined;
  readonly max: number | undefined;
}

export interface WantedBounds {
  /** The policy's id: whose values stand there. */
  readonly policy: string;
  readonly min: number;
  readonly max: number;
  /** Replicas at which KEDA is to be paused. */
  readonly pinned?: number;
}

/** The one write that is missing: fields of the spec, and annotations; null takes off. */
export interface BoundsChange {
  readonly min?: number | null;
  readonly max?: number | null;
  readonly annotations: AnnotationChange;
}

interface Moved<T> {
  readonly was: T | null;
  readonly now: T | null;
}
interface PolicyRecord {
  readonly by: string;
  readonly min?: Moved<number>;
  readonly max?: Moved<number>;
  readonly pinned?: Moved<string>;
}

/** The policy that has moved the bounds of an autoscaler; undefined where none has. */
export function boundsMovedBy(annotations: Annotations | undefined): string | undefined {
  return policyOf(parsedRecord(annotations?.[RECORD]))?.by;
}

/** Whether the record says anything but what a policy has moved. */
export function isTouchedBesidePolicy(annotations: Annotations | undefined): boolean {
  const text = annotations?.[RECORD];
  if (text === undefined) return false;
  const { policy, ...others } = parsedRecord(text);
  return policy === undefined || Object.keys(others).length > 0;
}

/** The bounds as they would be without a policy; undefined is the default of the kind. */
export function formerBounds(state: BoundsState): {
  readonly min: number | undefined;
  readonly max: number | undefined;
} {
  const record = policyOf(parsedRecord(state.annotations[RECORD]));
  return { min: before(record?.min, state.min) ?? undefined, max: before(record?.max, state.max) ?? undefined };
}

/**
 * The write that gives an autoscaler the bounds of a policy, or undefined where it has them. What a person has changed since
 * then stands until the policy wants something else.
 */
export function nextBounds(state: BoundsState, wanted: WantedBounds): BoundsChange | undefined {
  const whole = parsedRecord(state.annotations[RECORD]);
  const record = policyOf(whole);
  const min = moved(record?.min, state.min, wanted.min);
  const max = moved(record?.max, state.max, wanted.max);
  const pin = state.annotations[PAUSED_REPLICAS];
  const pinned = wanted.pinned === undefined ? undefined : moved<string>(record?.pinned, pin, String(wanted.pinned));
  const unpinned = pinned === undefined && record?.pinned !== undefined && record.pinned.now === (pin ?? null);
  const next: PolicyRecord = {
    by: wanted.policy,
    ...(min.entry === undefined ? {} : { min: min.entry }),
    ...(max.entry === undefined ? {} : { max: max.entry }),
    ...(pinned?.entry === undefined ? {} : { pinned: pinned.entry }),
  };
  const holds = next.min !== undefined || next.max !== undefined || next.pinned !== undefined;
  const text = recordText(whole, holds ? next : undefined);
  return change(state, {
    ...(min.write === undefined ? {} : { min: min.write }),
    ...(max.write === undefined ? {} : { max: max.write }),
    annotations: {
      ...(pinned?.write === undefined ? {} : { [PAUSED_REPLICAS]: pinned.write }),
      ...(unpinned ? { [PAUSED_REPLICAS]: record.pinned?.was ?? null } : {}),
      [RECORD]: text,
    },
  });
}

/** The write that puts back what was there before any policy, or undefined where nothing of one is left. */
export function restoredBounds(state: BoundsState): BoundsChange | undefined {
  const whole = parsedRecord(state.annotations[RECORD]);
  const record = policyOf(whole);
  if (record === undefined) return undefined;
  const stands = <T>(entry: Moved<T> | undefined, value: T | undefined): entry is Moved<T> =>
    entry !== undefined && entry.now === (value ?? null) && entry.was !== entry.now;
  const pin = state.annotations[PAUSED_REPLICAS];
  return change(state, {
    ...(stands(record.min, state.min) ? { min: record.min.was } : {}),
    ...(stands(record.max, state.max) ? { max: record.max.was } : {}),
    annotations: {
      ...(stands(record.pinned, pin) ? { [PAUSED_REPLICAS]: record.pinned.was } : {}),
      [RECORD]: recordText(whole, undefined),
    },
  });
}

/** A field on its way to what is wanted: what to write, and what the record then says of it. */
function moved<T>(
  entry: Moved<T> | undefined,
  value: T | undefined,
  wanted: T,
): { readonly write?: T; readonly entry: Moved<T> | undefined } {
  // ours stood there once already: whoever changed it since is left alone
  if (entry !== undefined && entry.now === wanted) return { entry };
  const was = before(entry, value);
  // as it was before us, there is nothing to put back
  if (was === wanted) return value === wanted ? { entry: undefined } : { write: wanted, entry: undefined };
  return value === wanted ? { entry: { was, now: wanted } } : { write: wanted, entry: { was, now: wanted } };
}

/** A value as it would be without us. */
function before<T>(entry: Moved<T> | undefined, value: T | undefined): T | null {
  return entry !== undefined && entry.now === (value ?? null) ? entry.was : (value ?? null);
}

function change(state: BoundsState, wanted: BoundsChange): BoundsChange | undefined {
  const annotations = Object.fromEntries(
    Object.entries(wanted.annotations).filter(([key, value]) => value !== (state.annotations[key] ?? null)),
  );
  const fields = "min" in wanted || "max" in wanted;
  return fields || Object.keys(annotations).length > 0 ? { ...wanted, annotations } : undefined;
}

function parsedRecord(text: string | undefined): Readonly<Record<string, unknown>> {
  if (text === undefined) return {};
  try {
    const parsed: unknown = JSON.parse(text);
    return isRecord(parsed) ? parsed : {};
  } catch {
    return {};
  }
}

/** The record without, or with another part of the policy; null where nothing is left to say. */
function recordText(whole: Readonly<Record<string, unknown>>, policy: PolicyRecord | undefined): string | null {
  const { policy: _, ...rest } = whole;
  const next = policy === undefined ? rest : { ...rest, policy };
  return Object.keys(next).length === 0 ? null : JSON.stringify(next);
}

function policyOf(whole: Readonly<Record<string, unknown>>): PolicyRecord | undefined {
  const { policy } = whole;
  if (!isRecord(policy) || typeof policy.by !== "string") return undefined;
  const min = entryOf(policy.min, isCount);
  const max = entryOf(policy.max, isCount);
  const pinned = entryOf(policy.pinned, isText);
  return {
    by: policy.by,
    ...(min === undefined ? {} : { min }),
    ...(max === undefined ? {} : { max }),
    ...(pinned === undefined ? {} : { pinned }),
  };
}

function entryOf<T>(value: unknown, is: (value: unknown) => value is T): Moved<T> | undefined {
  if (!isRecord(value)) return undefined;
  const { was, now } = value;
  if (!(was === null || is(was)) || !(now === null || is(now))) return undefined;
  return { was, now };
}

const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
const isCount = (value: unknown): value is number => Number.isInteger(value) && (value as number) >= 0;
const isText = (value: unknown): value is string => typeof value === "string";
