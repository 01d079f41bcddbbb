import type { Clock } from "./clock.ts";

interface Remembered<T> {
  answer: Promise<T>;
  /** From then on whoever asks has it asked again in the background. */
  renewFrom: number;
  /** Clock.monotonic() after which it is asked again; infinite while the question is under way. */
  until: number;
}

export interface AnswerCacheOptions<T> {
  /** How long an answer may be given again, in ms. */
  readonly keepMs: (answer: T) => number;
  /** Whether an answer is asked for again, in the background, once half of its time is over. */
  readonly renews?: (answer: T) => boolean;
  readonly maxEntries: number;
  /** Questions under way at once. */
  readonly maxPending: number;
  /** What a question beyond `maxPending` is rejected with. */
  readonly busy: () => Error;
}

/**
 * Keeps answers of someone who is slow or busy. A question that is under way is asked once; a rejection is no answer: it is not kept,
 * and what was known stands until its time is over. The least recently used go first.
 */
export class AnswerCache<T> {
  readonly #clock: Clock;
  readonly #options: AnswerCacheOptions<T>;
  readonly #entries = new Map<string, Remembered<T>>();
  #pending = 0;

  constructor(clock: Clock, options: AnswerCacheOptions<T>) {
    this.#clock = clock;
    this.#options = options;
  }

  /** @throws what `ask` throws, or `busy()` */
  async get(key: string, ask: () => Promise<T>): Promise<T> {
    const known = this.#entries.get(key);
    this.#entries.delete(key);
    if (known !== undefined && this.#clock.monotonic() < known.until) {
      this.#entries.set(key, known);
      if (this.#clock.monotonic() >= known.renewFrom) this.#renew(key, known, ask);
      return known.answer;
    }
    if (this.#pending >= this.#options.maxPending) throw this.#options.busy();
    const entry: Remembered<T> = {
      answer: this.#ask(ask),
      until: Number.POSITIVE_INFINITY,
      renewFrom: Number.POSITIVE_INFINITY,
    };
    this.#entries.set(key, entry);
    this.#trim();
    try {
      this.#settle(entry, await entry.answer);
    } catch {
      // the next one asks again
      if (this.#entries.get(key) === entry) this.#entries.delete(key);
    }
    return entry.answer;
  }

  async #ask(ask: () => Promise<T>): Promise<T> {
    this.#pending += 1;
    try {
      return await ask();
    } finally {
      this.#pending -= 1;
    }
  }

  /** Asks again before the answer is too old, so that nobody who keeps asking ever waits for it. */
  #renew(key: string, known: Remembered<T>, ask: () => Promise<T>): void {
    if (this.#pending >= this.#options.maxPending) return;
    known.renewFrom = Number.POSITIVE_INFINITY;
    this.#ask(ask).then(
      (answer) => {
        if (this.#entries.get(key) !== known) return;
        known.answer = Promise.resolve(answer);
        this.#settle(known, answer);
      },
      () => {},
    );
  }

  #settle(entry: Remembered<T>, answer: T): void {
    const keepMs = this.#options.keepMs(answer);
    entry.until = this.#clock.monotonic() + keepMs;
    const renews = this.#options.renews?.(answer) ?? false;
    entry.renewFrom = renews ? entry.until - keepMs / 2 : Number.POSITIVE_INFINITY;
  }

  #trim(): void {
    for (const key of this.#entries.keys()) {
      if (this.#entries.size <= this.#options.maxEntries) return;
      this.#entries.delete(key);
    }
  }
}
