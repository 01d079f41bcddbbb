/**
 * How many requests one resolver may have on one pod at once. One window per pod; told of every request that ends, so
 * that a window can learn from refusals and latencies.
 */
export interface ReleaseWindow {
  /** Whether one more may be sent while `inFlight` are under way. */
  hasRoom(inFlight: number): boolean;
  /** An answer came after `latencyMs`. */
  answered(latencyMs: number): void;
  /** The pod took no more than `limit`. */
  refused(limit: number): void;
}

/** Answers after which a limit that was learned from a refusal is forgotten. */
const FORGET_AFTER = 1_000;

/**
 * As many as `queue.maxConcurrencyPerPod` says, or any number, until the pod refuses: then no more than it took, and one
 * more with every answer.
 */
export class LearningWindow implements ReleaseWindow {
  readonly #limit: () => number;
  #learned = Number.POSITIVE_INFINITY;
  #answers = 0;

  /** @param limit read at every decision, so that an edit of the spec counts at once */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  hasRoom(inFlight: number): boolean {
    return inFlight < this.#learned && inFlight < this.#limit();
  }

  answered(): void {
    if (this.#learned === Number.POSITIVE_INFINITY) return;
    this.#answers += 1;
    this.#learned = this.#answers >= FORGET_AFTER ? Number.POSITIVE_INFINITY : this.#learned + 1;
  }

  refused(limit: number): void {
    this.#answers = 0;
    // One at a time is always tried: whether the pod can be reached at all is the prober's to say.
    this.#learned = Math.max(1, limit);
  }
}
