import { Backoff, type Clock, type Timer } from "@elasti/core";

/**
 * Runs work per key: never twice at once for one key, once more when the key was added during a run, and again after a
 * delay when it failed. What is bounded by the number of objects needs no bound of its own.
 */
export class KeyedWork {
  readonly #run: (key: string) => Promise<void>;
  readonly #onError: (key: string, error: unknown) => void;
  readonly #clock: Clock;
  /** true: was added again during its run. */
  readonly #running = new Map<string, { again: boolean; done: Promise<void> }>();
  readonly #failing = new Map<string, { backoff: Backoff; timer: Timer | undefined }>();
  #closed = false;

  constructor(options: {
    run: (key: string) => Promise<void>;
    onError: (key: string, error: unknown) => void;
    clock: Clock;
  }) {
    this.#run = options.run;
    this.#onError = options.onError;
    this.#clock = options.clock;
  }

  add(key: string): void {
    if (this.#closed) return;
    const running = this.#running.get(key);
    if (running !== undefined) {
      running.again = true;
      return;
    }
    const entry = { again: false, done: Promise.resolve() };
    this.#running.set(key, entry);
    entry.done = this.#work(key, entry);
  }

  /** Starts nothing more and waits for what runs. */
  async close(): Promise<void> {
    this.#closed = true;
    for (const { timer } of this.#failing.values()) timer?.cancel();
    await Promise.all([...this.#running.values()].map(({ done }) => done));
  }

  async #work(key: string, entry: { again: boolean }): Promise<void> {
    do {
      // several changes of one batch of watch events are one run
      await Promise.resolve();
      entry.again = false;
      try {
        await this.#run(key);
        this.#failing.get(key)?.timer?.cancel();
        this.#failing.delete(key);
      } catch (error) {
        if (!this.#closed) this.#retryLater(key, error);
      }
    } while (entry.again && !this.#closed);
    this.#running.delete(key);
  }

  #retryLater(key: string, error: unknown): void {
    const state = this.#failing.get(key) ?? { backoff: new Backoff(5, 30_000), timer: undefined };
    this.#failing.set(key, state);
    this.#onError(key, error);
    state.timer?.cancel();
    state.timer = this.#clock.after(state.backoff.next(), () => this.add(key));
  }
}
