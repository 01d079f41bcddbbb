import type { ElastiService, Raise } from "@elasti/api";

/** Two raises by others within this time are a contest. */
export const contestWindowMs = 600_000;
/** How long a contested service is left awake, from the later of the two. */
export const contestPauseMs = 3_600_000;
/** A raise that is older decides nothing any more. */
const keptMs = contestWindowMs + contestPauseMs;
/**
 * Raises kept in status. Enough to lose no contest that still holds: of more raises than this within `keptMs` two neighbours
 * among the newest are closer than the window.
 */
export const maxRaises = 8;

/** Who contests the replicas, and until when the service is left alone. */
export interface Contest {
  readonly untilMs: number;
  /** The later of the two raises. */
  readonly raise: Raise;
}

/** The raises to keep once `raise` has come. */
export function withRaise(raises: readonly Raise[] | undefined, raise: Raise): Raise[] {
  const nowMs = Date.parse(raise.time);
  const kept = (raises ?? []).filter(({ time, epoch }) => nowMs - Date.parse(time) < keptMs && epoch !== raise.epoch);
  return [...kept, raise].slice(-maxRaises);
}

/**
 * Whether others raise the target from zero against the sleeps: twice in ten minutes, counted only for the spec that there
 * is now. Whoever edits the ElastiService begins anew.
 */
export function contestOf({ metadata, status }: Pick<ElastiService, "metadata" | "status">, nowMs: number) {
  const raises = (status?.raises ?? []).filter(({ generation }) => generation === metadata.generation);
  let contest: Contest | undefined;
  for (const [index, raise] of raises.entries()) {
    const before = raises[index - 1];
    if (before === undefined) continue;
    const at = Date.parse(raise.time);
    if (at - Date.parse(before.time) <= contestWindowMs) contest = { untilMs: at + contestPauseMs, raise };
  }
  return contest !== undefined && nowMs < contest.untilMs ? contest : undefined;
}
