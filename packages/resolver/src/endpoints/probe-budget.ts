import type { Clock, Timer } from "@elasti/core";

type Grant = () => void;

/**
 * Attempts per second for the whole process: a token bucket. While it is empty, services wait in a circle and get one
 * attempt each per round, so that one with a thousand pods does not starve one with a single pod.
 */
export class ProbeBudget {
  readonly #clock: Clock;
  readonly #perMs: number;
  readonly #burst: number;
  #tokens: number;
  #filledAt: number;
  /** Services that wait, in the order of their turns; each bounded by its pods. */
  readonly #waiting = new Map<string, Set<Grant>>();
  #timer: Timer | undefined;

  /** @param perSecond attempts @param burst attempts that may come at once after a quiet time */
  constructor(clock: Clock, perSecond = 2_000, burst = 50) {
    this.#clock = clock;
    this.#perMs = perSecond / 1_000;
    this.#burst = burst;
    this.#tokens = burst;
    this.#filledAt = clock.monotonic();
  }

  /** Calls `grant` once, now or when it is the turn of `service`. Returns what gives the place up. */
  take(service: string, grant: Grant): () => void {
    this.#fill();
    if (this.#waiting.size === 0 && this.#tokens >= 1) {
      this.#tokens -= 1;
      grant();
      return () => {};
    }
    let grants = this.#waiting.get(service);
    if (grants === undefined) {
      grants = new Set();
      this.#waiting.set(service, grants);
    }
    // one place per call, even of the same function
    const own: Grant = () => grant();
    grants.add(own);
    this.#arm();
    return () => {
      const mine = this.#waiting.get(service);
      if (mine?.delete(own) === true && mine.size === 0) this.#waiting.delete(service);
      if (this.#waiting.size === 0) this.#disarm();
    };
  }

  #fill(): void {
    const now = this.#clock.monotonic();
    this.#tokens = Math.min(this.#burst, this.#tokens + (now - this.#filledAt) * this.#perMs);
    this.#filledAt = now;
  }

  #arm(): void {
    this.#timer ??= this.#clock.after(Math.max(1, Math.ceil((1 - this.#tokens) / this.#perMs)), () => {
      this.#timer = undefined;
      this.#serve();
    });
  }

  #disarm(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #serve(): void {
    this.#fill();
    while (this.#tokens >= 1) {
      const first = this.#waiting.entries().next().value;
      if (first === undefined) return;
      const [service, grants] = first;
      const grant = grants.values().next().value!;
      grants.delete(grant);
      this.#waiting.delete(service);
      if (grants.size > 0) this.#waiting.set(service, grants);
      this.#tokens -= 1;
      grant();
    }
    if (this.#waiting.size > 0) this.#arm();
  }
}
