import type { Clock } from "@elasti/core";
import type { Health, Scaler, Verdict } from "@elasti/scaling";

/** Stands in for triggers that cannot be used: Unknown, with the fields that are wrong, until they are corrected. */
export class UnusableTriggers implements Scaler {
  readonly #message: string;
  readonly #clock: Clock;

  constructor(message: string, clock: Clock) {
    this.#message = message;
    this.#clock = clock;
  }

  async isHealthy(): Promise<Health> {
    return { kind: "Unhealthy", reason: "TriggerInvalid", message: this.#message };
  }

  async shouldScaleToZero(): Promise<Verdict> {
    return { kind: "Unknown", reason: "TriggerInvalid", message: this.#message, sampledAtMs: this.#clock.now() };
  }

  shouldScaleFromZero(): Promise<Verdict> {
    return this.shouldScaleToZero();
  }

  async close(): Promise<void> {}
}
