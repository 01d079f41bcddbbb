import { Backoff, type Clock, errorText, type Logger } from "@elasti/core";
import PQueue from "p-queue";
import { retryAfterMs } from "./errors.ts";

/** A `Retry-After` is honoured up to so long. */
const longestAskedMs = 300_000;

/** What a handler may ask for: to be called again for the same key after a while, even if nothing happens. */
export interface WorkResult {
  readonly requeueAfterMs?: number | undefined;
}

/** Brings the world of one key to what it should be. A throw leads to another call after a pause that grows. */
export type WorkHandler = (key: string, signal: AbortSignal) => Promise<WorkResult | undefined> | Promise<void>;

export interface WorkQueueOptions {
  clock: Clock;
  logger: Logger;
  /** Keys handled at the same time. */
  concurrency?: number;
  /** Pauses after failures of one key. */
  backoff?: { minMs: number; maxMs: number };
  random?: () => number;
}

/**
 * A queue of keys with the rules of client-go's: a key waits once however often it is added, is never handled twice at the
 * same time, and is handled again when it was added while it was handled.
 *
 *     add ──> waiting ──> running ──> (done)
 *              ^  ^          │ added meanwhile
 *     after ms ┘  └──────────┘
 */
export class WorkQueue {
  readonly #options: WorkQueueOptions;
  readonly #pool: PQueue;
  readonly #waiting = new Set<string>();
  readonly #running = new Set<string>();
  readonly #dirty = new Set<string>();
  readonly #delayed = new Map<string, { at: number; timer: { cancel(): void } }>();
  readonly #backoffs = new Map<string, { backoff: Backoff; failures: number }>();
  readonly #stop = new AbortController();
  #handler: WorkHandler | undefined;
  #closing: Promise<void> | undefined;

  constructor(options: WorkQueueOptions) {
    this.#options = options;
    this.#pool = new PQueue({ concurrency: options.concurrency ?? 4, autoStart: false });
  }

  /** Keys that wait for their turn; those that wait for their time are not among them. */
  get waiting(): number {
    return this.#waiting.size;
  }

  get running(): number {
    return this.#running.size;
  }

  get delayed(): number {
    return this.#delayed.size;
  }

  /** Keys of which the last handling failed. */
  get failing(): number {
    return this.#backoffs.size;
  }

  add(key: string): void {
    if (this.#closing !== undefined || this.#waiting.has(key)) return;
    if (this.#running.has(key)) {
      this.#dirty.add(key);
      return;
    }
    this.#waiting.add(key);
    void this.#pool.add(() => this.#handle(key));
  }

  /** Adds `key` after `ms`; of several such wishes for one key the earliest holds. */
  addAfter(key: string, ms: number): void {
    if (this.#closing !== undefined) return;
    if (ms <= 0) {
      this.add(key);
      return;
    }
    const at = this.#options.clock.monotonic() + ms;
    const former = this.#delayed.get(key);
    if (former !== undefined && former.at <= at) return;
    former?.timer.cancel();
    const timer = this.#options.clock.after(ms, () => {
      this.#delayed.delete(key);
      this.add(key);
    });
    this.#delayed.set(key, { at, timer });
  }

  /** Adds `key` after a pause that grows with every call until `forget`. @param atLeastMs what a server asked for */
  addRateLimited(key: string, atLeastMs = 0): void {
    const { backoff: { minMs, maxMs } = { minMs: 100, maxMs: 60_000 }, random } = this.#options;
    let entry = this.#backoffs.get(key);
    if (entry === undefined) {
      entry = { backoff: new Backoff(minMs, maxMs, random), failures: 0 };
      this.#backoffs.set(key, entry);
    }
    entry.failures += 1;
    this.addAfter(key, Math.max(entry.backoff.next(), Math.min(atLeastMs, longestAskedMs)));
  }

  /** Makes the next pause of `key` the shortest again. */
  forget(key: string): void {
    this.#backoffs.delete(key);
  }

  /** Failures of `key` in a row. */
  retries(key: string): number {
    return this.#backoffs.get(key)?.failures ?? 0;
  }

  /** Keys added before are kept for it. */
  start(handler: WorkHandler): void {
    if (this.#handler !== undefined) throw new TypeError("work queue was started already");
    this.#handler = handler;
    if (this.#closing === undefined) this.#pool.start();
  }

  /** Resolves when nothing runs and nothing waits for its turn. */
  async onIdle(): Promise<void> {
    while (this.#waiting.size + this.#running.size > 0) await this.#pool.onIdle();
  }

  /**
   * Takes no more keys, drops those that wait, and waits for the handlers that run; after `deadlineMs` (10 s) their signal
   * aborts and they are left.
   */
  close(options: { deadlineMs?: number } = {}): Promise<void> {
    this.#closing ??= this.#close(options.deadlineMs ?? 10_000);
    return this.#closing;
  }

  async #close(deadlineMs: number): Promise<void> {
    this.#pool.clear();
    this.#waiting.clear();
    this.#dirty.clear();
    for (const { timer } of this.#delayed.values()) timer.cancel();
    this.#delayed.clear();
    this.#backoffs.clear();
    if (this.#running.size > 0) {
      const late = Promise.withResolvers<"late">();
      const timer = this.#options.clock.after(deadlineMs, () => late.resolve("late"));
      const outcome = await Promise.race([this.#pool.onIdle(), late.promise]);
      timer.cancel();
      if (outcome === "late") {
        this.#options.logger.warn({ reason: "deadline", keys: [...this.#running].slice(0, 10) }, "handlers were left");
      }
    }
    this.#stop.abort(new Error("work queue is closed"));
  }

  async #handle(key: string): Promise<void> {
    this.#waiting.delete(key);
    if (this.#closing !== undefined) return;
    this.#running.add(key);
    try {
      const result = await this.#handler!(key, this.#stop.signal);
      this.#running.delete(key);
      this.forget(key);
      if (result?.requeueAfterMs !== undefined) this.addAfter(key, result.requeueAfterMs);
    } catch (error) {
      this.#running.delete(key);
      if (this.#closing !== undefined) return;
      this.addRateLimited(key, retryAfterMs(error));
      this.#options.logger.warn({ key, retries: this.retries(key), error: errorText(error) }, "will try again");
    } finally {
      if (this.#dirty.delete(key)) this.add(key);
    }
  }
}
