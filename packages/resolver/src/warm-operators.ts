import type { Clock, Timer } from "@elasti/core";

/** Asks every replica of the operator something that changes nothing. */
export interface Warmable {
  /** Never fails. */
  warm(): Promise<void>;
}

/** Less than any of the idle times that it keeps from passing: of the connections (30 s), and of a token's review (60 s). */
const everyMs = 20_000;

/**
 * Keeps the way to the operators warm while nothing is asked of them, so that the first request after an hour wakes as fast
 * as the next one: a connection is open, and the operator knows the token.
 */
export class WarmOperators {
  readonly #operators: Warmable;
  readonly #clock: Clock;
  #timer: Timer | undefined;
  #closed = false;

  constructor(options: { operators: Warmable; clock: Clock }) {
    this.#operators = options.operators;
    this.#clock = options.clock;
  }

  start(): Promise<void> {
    void this.#round();
    return Promise.resolve();
  }

  close(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    return Promise.resolve();
  }

  async #round(): Promise<void> {
    await this.#operators.warm();
    if (!this.#closed) this.#timer = this.#clock.after(everyMs, () => void this.#round());
  }
}
