import { type Clock, unlessAborted } from "@elasti/core";
import PQueue from "p-queue";

export interface SharedAnswersOptions {
  readonly clock: Clock;
  /** An answer stands for so long, in ms: a round. */
  readonly keepMs: number;
  /** Questions under way at once; others wait for their turn. */
  readonly concurrency: number;
  /** Different questions under way, waiting or kept. */
  readonly maxEntries: number;
}

interface Entry<T> {
  readonly answer: Promise<T>;
  /** Monotonic. */
  doneAtMs: number | undefined;
}

/** Asks each question once per round, whoever asks, a bounded number of them at once. */
export class SharedAnswers<T> {
  readonly #options: SharedAnswersOptions;
  readonly #queue: PQueue;
  readonly #entries = new Map<string, Entry<T>>();
  readonly #closed = new AbortController();

  constructor(options: SharedAnswersOptions) {
    this.#options = options;
    this.#queue = new PQueue({ concurrency: options.concurrency });
  }

  /**
   * The answer to a question.
   * @param ask is called where no answer of this round is there; its signal aborts when this is closed
   * @returns undefined where there are too many questions already
   * @throws the reason of `signal`, and what `ask` throws
   */
  async get(key: string, ask: (signal: AbortSignal) => Promise<T>, signal: AbortSignal): Promise<T | undefined> {
    signal.throwIfAborted();
    this.#closed.signal.throwIfAborted();
    const known = this.#entries.get(key);
    const entry = known !== undefined && this.#stands(known) ? known : this.#ask(key, ask);
    if (entry === undefined) return undefined;
    // whoever leaves does not take the answer from the others
    return await unlessAborted(entry.answer, AbortSignal.any([signal, this.#closed.signal]));
  }

  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(new Error("closed"));
    await Promise.allSettled([...this.#entries.values()].map(({ answer }) => answer));
    this.#entries.clear();
  }

  #stands({ doneAtMs }: Entry<T>): boolean {
    return doneAtMs === undefined || this.#options.clock.monotonic() - doneAtMs < this.#options.keepMs;
  }

  #ask(key: string, ask: (signal: AbortSignal) => Promise<T>): Entry<T> | undefined {
    const { clock, maxEntries } = this.#options;
    if (this.#entries.size >= maxEntries) {
      for (const [old, entry] of this.#entries) if (!this.#stands(entry)) this.#entries.delete(old);
      if (this.#entries.size >= maxEntries) return undefined;
    }
    const { signal } = this.#closed;
    const entry: Entry<T> = {
      answer: this.#queue
        .add(() => ask(signal), { signal })
        .finally(() => {
          entry.doneAtMs = clock.monotonic();
        }),
      doneAtMs: undefined,
    };
    // everyone who waits may have left
    entry.answer.catch(() => undefined);
    // at the end, so that the oldest come first
    this.#entries.delete(key);
    this.#entries.set(key, entry);
    return entry;
  }
}
