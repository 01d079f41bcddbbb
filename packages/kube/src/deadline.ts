import type { Clock } from "@elasti/core";

/** The reason of an abort that the clock caused. */
export const timedOut = new Error("timed out");

/** One signal for the deadline, the caller's abort and the client's end. */
export class Deadline {
  readonly timeoutMs: number;
  readonly #controller = new AbortController();
  readonly #timer: { cancel(): void };
  readonly #sources: readonly AbortSignal[];

  constructor(clock: Clock, timeoutMs: number, sources: readonly AbortSignal[]) {
    this.timeoutMs = timeoutMs;
    this.#sources = sources;
    this.#timer = clock.after(timeoutMs, () => this.#controller.abort(timedOut));
    for (const source of sources) {
      if (source.aborted) this.#controller.abort(source.reason);
      source.addEventListener("abort", this.#onAbort, { once: true });
    }
  }

  get signal(): AbortSignal {
    return this.#controller.signal;
  }

  readonly #onAbort = (event: Event) => {
    this.#controller.abort((event.target as AbortSignal).reason);
  };

  race<T>(promise: Promise<T>): Promise<T> {
    return new Promise((resolve, reject) => {
      const onAbort = () => reject(this.signal.reason);
      this.signal.addEventListener("abort", onAbort, { once: true });
      if (this.signal.aborted) onAbort();
      promise.then(resolve, reject).finally(() => this.signal.removeEventListener("abort", onAbort));
    });
  }

  stopTimer(): void {
    this.#timer.cancel();
  }

  abort(): void {
    this.end();
    this.#controller.abort(new Error("left"));
  }

  end(): void {
    this.#timer.cancel();
    for (const source of this.#sources) source.removeEventListener("abort", this.#onAbort);
  }
}
