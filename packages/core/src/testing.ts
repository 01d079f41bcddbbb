import { BaseClock, type Timer } from "./clock.ts";

interface Pending {
  at: number;
  fn: () => void;
}

/** A clock that stands still until a test moves it. */
export class ManualClock extends BaseClock {
  #now: number;
  readonly #pending: Pending[] = [];

  constructor(startMs = Date.UTC(2026, 0, 1)) {
    super();
    this.#now = startMs;
  }

  now(): number {
    return this.#now;
  }

  monotonic(): number {
    return this.#now;
  }

  after(ms: number, fn: () => void): Timer {
    const entry: Pending = { at: this.#now + Math.max(0, ms), fn };
    this.#pending.push(entry);
    return {
      cancel: () => {
        const index = this.#pending.indexOf(entry);
        if (index >= 0) this.#pending.splice(index, 1);
      },
    };
  }

  /** Timers that have not fired; a closed component leaves none. */
  get pendingTimers(): number {
    return this.#pending.length;
  }

  /** Moves time forward, firing timers in their order and letting promise reactions run between them. */
  async advance(ms: number): Promise<void> {
    const until = this.#now + ms;
    for (;;) {
      await settle();
      let next: Pending | undefined;
      for (const entry of this.#pending) {
        if (entry.at <= until && (next === undefined || entry.at < next.at)) next = entry;
      }
      if (next === undefined) break;
      this.#pending.splice(this.#pending.indexOf(next), 1);
      this.#now = Math.max(this.#now, next.at);
      next.fn();
    }
    this.#now = until;
    await settle();
  }
}

/** Lets promise reactions and immediates that are already due run. */
async function settle(): Promise<void> {
  for (let i = 0; i < 3; i++) await new Promise((resolve) => setImmediate(resolve));
}
