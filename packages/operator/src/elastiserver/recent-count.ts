/** Width of a bucket. */
const BUCKET_MS = 5_000;
/** How far back is counted: a minute. */
export const RECENT_MS = 60_000;
/** Less than this says nothing of a rate. */
const LEAST_MS = 10_000;

/** How often something happened of late, in a few buckets. Times are wall-clock ms. */
export class RecentCount {
  readonly #buckets: { readonly index: number; count: number }[] = [];

  add(count: number, nowMs: number): void {
    const index = Math.floor(nowMs / BUCKET_MS);
    const last = this.#buckets.at(-1);
    // a clock that was set back adds to the newest
    if (last !== undefined && last.index >= index) last.count += count;
    else this.#buckets.push({ index, count });
    while (this.#buckets[0]!.index < index - RECENT_MS / BUCKET_MS) this.#buckets.shift();
  }

  /**
   * Per second, over a minute or since `sinceMs` where that is later.
   * @returns undefined where that is too short a time
   */
  perSecond(sinceMs: number, nowMs: number): number | undefined {
    const first = Math.ceil(Math.max(sinceMs, nowMs - RECENT_MS) / BUCKET_MS);
    const elapsedMs = nowMs - first * BUCKET_MS;
    if (elapsedMs < LEAST_MS) return undefined;
    let sum = 0;
    for (const { index, count } of this.#buckets) if (index >= first) sum += count;
    return sum / (elapsedMs / 1_000);
  }
}
