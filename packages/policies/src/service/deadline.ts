import type { Clock } from "@elasti/core";

/** Does something for so long at most: the signal that it gets aborts when the time is over or the caller leaves. */
export async function within<T>(
  clock: Clock,
  ms: number,
  caller: AbortSignal,
  work: (signal: AbortSignal, isLate: () => boolean) => Promise<T>,
): Promise<T> {
  const late = new AbortController();
  const timer = clock.after(ms, () => late.abort());
  try {
    return await work(AbortSignal.any([caller, late.signal]), () => late.signal.aborted);
  } finally {
    timer.cancel();
  }
}
