/**
 * How many requests one resolver may have on one pod at once. One window per pod; told of every request that begins and
 * ends, so that a window can learn from refusals and latencies.
 */
export interface ReleaseWindow {
  /** Whether one more may be sent while `inFlight` are under way. */
  hasRoom(inFlight: number): boolean;
  /** An answer came after `latencyMs`. */
  answered(latencyMs: number): void;
  /** The pod could not be reached. */
  refused(): void;
}

/** The window that `queue.maxConcurrencyPerPod` names, or none. */
export class FixedWindow implements ReleaseWindow {
  readonly #limit: () => number;

  /** @param limit read at every decision, so that an edit of the spec counts at once */
  constructor(limit: () => number) {
    this.#limit = limit;
  }

  hasRoom(inFlight: number): boolean {
    return inFlight < this.#limit();
  }

  answered(): void {}

  refused(): void {}
}
