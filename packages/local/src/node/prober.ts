import type { Clock, Timer } from "@elasti/core";
import type { Probe } from "@elasti/kube";
import type { ProbeResult } from "./probe.ts";

/**
 * The worker of one probe of one container run, with the kubelet's periods: the first attempt at once, then one per period
 * counted from there; attempts before `initialDelaySeconds` are skipped, not moved. An outcome counts after as many equal
 * results in a row as the threshold says.
 */
export class Prober {
  readonly #probe: Probe;
  readonly #clock: Clock;
  readonly #attempt: (signal: AbortSignal) => Promise<ProbeResult>;
  readonly #onOutcome: (ok: boolean, message: string) => void;
  readonly #closing = new AbortController();
  readonly #startedAt: number;
  #timer: Timer | undefined;
  #nextAt: number;
  #last: boolean | undefined;
  #run = 0;

  /**
   * @param onOutcome called at every result that has reached its threshold, also when it repeats
   * @param startedAt monotonic ms at which the container started; initialDelaySeconds counts from there
   */
  constructor(options: {
    probe: Probe;
    clock: Clock;
    startedAt: number;
    attempt: (signal: AbortSignal) => Promise<ProbeResult>;
    onOutcome: (ok: boolean, message: string) => void;
  }) {
    this.#probe = options.probe;
    this.#clock = options.clock;
    this.#attempt = options.attempt;
    this.#onOutcome = options.onOutcome;
    this.#startedAt = options.startedAt;
    this.#nextAt = options.clock.monotonic();
  }

  start(): void {
    void this.#tick();
  }

  close(): void {
    this.#timer?.cancel();
    this.#closing.abort();
  }

  async #tick(): Promise<void> {
    const runningMs = this.#clock.monotonic() - this.#startedAt;
    // the kubelet compares whole seconds
    if (Math.floor(runningMs / 1000) >= (this.#probe.initialDelaySeconds ?? 0)) {
      const result = await this.#attempt(this.#closing.signal);
      if (this.#closing.signal.aborted) return;
      this.#count(result);
      if (this.#closing.signal.aborted) return;
    }
    const periodMs = (this.#probe.periodSeconds ?? 10) * 1000;
    // like a ticker: an attempt that outlasts its period is followed at once by one tick, not by all that were missed
    const now = this.#clock.monotonic();
    do this.#nextAt += periodMs;
    while (this.#nextAt + periodMs <= now);
    this.#timer = this.#clock.after(Math.max(0, this.#nextAt - now), () => void this.#tick());
  }

  #count(result: ProbeResult): void {
    if (result.ok === this.#last) this.#run += 1;
    else this.#run = 1;
    this.#last = result.ok;
    const threshold = result.ok ? (this.#probe.successThreshold ?? 1) : (this.#probe.failureThreshold ?? 3);
    if (this.#run >= threshold) this.#onOutcome(result.ok, result.ok ? "" : result.message);
  }
}
