/** Exponential delays with jitter. */
export class Backoff {
  readonly #minMs: number;
  readonly #maxMs: number;
  readonly #random: () => number;
  #attempt = 0;

  /** @param minMs first delay @param maxMs delays stop growing here @param random replaced by tests */
  constructor(minMs: number, maxMs: number, random: () => number = Math.random) {
    this.#minMs = minMs;
    this.#maxMs = maxMs;
    this.#random = random;
  }

  /** The next delay in ms: between half and all of min * 2^attempt, at most max. */
  next(): number {
    const full = Math.min(this.#maxMs, this.#minMs * 2 ** Math.min(this.#attempt, 30));
    this.#attempt += 1;
    return full / 2 + (full / 2) * this.#random();
  }

  reset(): void {
    this.#attempt = 0;
  }
}
