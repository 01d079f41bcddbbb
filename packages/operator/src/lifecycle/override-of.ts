import { type ElastiService, OVERRIDE_ANNOTATION } from "@elasti/api";
import type { Clock } from "@elasti/core";
import { type OverrideState, overrideAt } from "@elasti/scaling";

/** The override that counts for an ElastiService. */
export interface FoundOverride {
  readonly found: OverrideState;
  /** As it was written. */
  readonly record: string | undefined;
  /** It stands on the target, and not on the ElastiService. */
  readonly onTarget: boolean;
}

/** The override that counts for an ElastiService now: a look-up in memory. */
export type OverrideReader = (es: Pick<ElastiService, "metadata" | "spec">) => FoundOverride;

/**
 * People put an override on the ElastiService or on the workload that it scales. One on the ElastiService comes first; where it
 * has none, or one that is over, the workload's counts.
 * @param ofTarget the annotation of its target
 */
export function overrideReader(
  clock: Clock,
  ofTarget: (es: Pick<ElastiService, "metadata" | "spec">) => string | undefined,
): OverrideReader {
  return (es) => {
    const nowMs = clock.now();
    const record = es.metadata.annotations?.[OVERRIDE_ANNOTATION];
    const own = { found: overrideAt(record, nowMs), record, onTarget: false };
    if (own.found.state === "active" || own.found.state === "invalid") return own;
    const targets = ofTarget(es);
    return targets === undefined ? own : { found: overrideAt(targets, nowMs), record: targets, onTarget: true };
  };
}
