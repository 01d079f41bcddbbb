import { isConflict, isNotFound, type WorkHandler } from "@elasti/kube";

/** How the controllers work: as many keys at a time as one process serves well, and short first pauses, as a controller manager has. */
export const workSettings = { concurrency: 16, backoff: { minMs: 5, maxMs: 30_000 } } as const;

const STALE_PAUSE_MS = 20;

/**
 * A handler for which a stale cache is the usual course of things: what was changed or removed meanwhile is looked at again
 * when the watch has had time to show it, without a word in the log.
 */
export function againWhenStale(run: (key: string) => Promise<void>): WorkHandler {
  return async (key) => {
    try {
      await run(key);
      return undefined;
    } catch (error) {
      if (!isConflict(error) && !isNotFound(error)) throw error;
      return { requeueAfterMs: STALE_PAUSE_MS };
    }
  };
}
