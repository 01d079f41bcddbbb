/** The p-th percentile (0 to 1) by the nearest rank; NaN of nothing. */
export function percentile(values: readonly number[], p: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(p * sorted.length) - 1)] ?? Number.NaN;
}

export const median = (values: readonly number[]): number => {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1
    ? sorted[middle]!
    : ((sorted[middle - 1] ?? Number.NaN) + (sorted[middle] ?? Number.NaN)) / 2;
};

/**
 * Median of `a` minus median of `b`, with the middle 95% of what samples drawn anew from them give (bootstrap). The draws are
 * the same in every run.
 */
export function differenceOfMedians(a: readonly number[], b: readonly number[]): { median: number; ci95: number[] } {
  const random = seededRandom(1);
  const again = (values: readonly number[]) => values.map(() => values[Math.floor(random() * values.length)]!);
  const differences = Array.from({ length: 4_000 }, () => median(again(a)) - median(again(b)));
  return { median: median(a) - median(b), ci95: [percentile(differences, 0.025), percentile(differences, 0.975)] };
}

/** mulberry32: the same numbers for the same seed. */
function seededRandom(seed: number): () => number {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}

/** Milliseconds with one decimal; null of nothing, as JSON has no NaN. */
export const rounded = (ms: number): number | null => (Number.isFinite(ms) ? Math.round(ms * 10) / 10 : null);

/** Says what goes on, where it does not mix with the figures. */
export function tell(text: string): void {
  process.stderr.write(`${text}\n`);
}

/** A whole number above 0 from the command line. */
export function count(name: string, text: string): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < 1) throw new RangeError(`--${name} ${text}: expected a whole number above 0`);
  return value;
}
