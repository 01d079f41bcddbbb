/** Where a cooldown stands. */
export interface Cooldown {
  readonly over: boolean;
  /** Milliseconds until it is over if nothing happens; 0 when it is. */
  readonly remainingMs: number;
  /** The activity that it counts from; undefined where none is known, and then it is not over. */
  readonly sinceMs: number | undefined;
}

/**
 * Whether a target has been idle long enough. It counts from the latest of `activityMs` (the last Active verdict, the last
 * wake, the creation), wall-clock times in ms. Without any, or with one in the future (a clock that was set back), it is not
 * over: nothing sleeps on a guess.
 */
export function cooldownOf(options: {
  activityMs: readonly (number | undefined)[];
  cooldownMs: number;
  nowMs: number;
}): Cooldown {
  const { cooldownMs, nowMs } = options;
  let sinceMs: number | undefined;
  for (const at of options.activityMs) {
    if (at !== undefined && !Number.isNaN(at) && (sinceMs === undefined || at > sinceMs)) sinceMs = at;
  }
  if (sinceMs === undefined) return { over: false, remainingMs: cooldownMs, sinceMs };
  const remainingMs = Math.max(0, sinceMs + cooldownMs - nowMs);
  return { over: sinceMs <= nowMs && remainingMs === 0, remainingMs: Math.max(remainingMs, sinceMs - nowMs), sinceMs };
}
