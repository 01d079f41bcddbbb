import type { Phase } from "@elasti/api";
import type { Clock } from "@elasti/core";
import type { SealAnswer, SilentPeer } from "./contracts.ts";

/** Silent connections remembered per service between two reports. */
const SILENT_RING = 64;
const NONE = -1;

export interface ServiceCounts {
  readonly requests: number;
  readonly inFlight: number;
  readonly held: number;
  readonly idleMs: number;
  readonly answeredEpoch: number;
}

export interface ServiceEvents {
  /** Some number has changed since the last `snapshot`; called once until then. */
  changed(): void;
  /** What the operator is to know at once: the first request in the present Draining, the first hold. */
  urgent(): void;
  /** Nothing is in flight and nothing is held any more. */
  idle(): void;
  /** A silent connection was remembered. */
  silent(): void;
}

/**
 * What this resolver knows of one service, and the one question that all forwarding asks: may I? No timers: only an observed
 * phase with a newer epoch ever unseals.
 *
 *   observe(Draining, d) -> seal({epoch e > d, drainEpoch d}) = ok -> holds, until observe(_, newer than e)
 */
export class ServiceState {
  readonly #clock: Clock;
  readonly #events: ServiceEvents;
  #phase: Phase = "Serving";
  #epoch = NONE;
  #podsGone = false;
  /** Epoch of the local seal. */
  #sealed = NONE;
  /** Epoch of the Draining that was last seen by itself. */
  #drained = NONE;
  #requestsSinceDrain = 0;
  #requests = 0;
  #inFlight = 0;
  #held = 0;
  #lastRequestAt = NONE;
  #answeredEpoch = 0;
  #dirty = false;
  #silent: SilentPeer[] = [];

  constructor(clock: Clock, events: ServiceEvents) {
    this.#clock = clock;
    this.#events = events;
  }

  get phase(): Phase {
    return this.#phase;
  }

  get epoch(): number {
    return this.#epoch;
  }

  /** Requests that arrived since the present (or last) Draining was seen. */
  get requestsSinceDrain(): number {
    return this.#requestsSinceDrain;
  }

  get inFlight(): number {
    return this.#inFlight;
  }

  get held(): number {
    return this.#held;
  }

  /** Takes what the watch shows; events that are older than what is known change nothing. Returns whether anything did. */
  observe(phase: Phase, epoch: number, podsGone: boolean): boolean {
    if (epoch < this.#epoch) return false;
    if (epoch === this.#epoch) {
      if (podsGone === this.#podsGone) return false;
      this.#podsGone = podsGone;
      return true;
    }
    this.#phase = phase;
    this.#epoch = epoch;
    this.#podsGone = podsGone;
    if (phase === "Draining") {
      this.#drained = epoch;
      this.#requestsSinceDrain = 0;
      this.#silent = [];
    }
    return true;
  }

  /** The ElastiService was made anew under its name: its epochs begin again. Numbers of traffic go on. */
  forget(): void {
    this.#phase = "Serving";
    this.#epoch = NONE;
    this.#podsGone = false;
    this.#sealed = NONE;
    this.#drained = NONE;
    this.#requestsSinceDrain = 0;
  }

  /** Whether requests may be forwarded; if not, every one is held. Which pods can take them is another question. */
  mayForward(): boolean {
    if (this.#sealed !== NONE && this.#epoch <= this.#sealed) return false;
    return this.#phase === "Asleep" ? this.#podsGone : this.#phase !== "Sealed";
  }

  /**
   * Holds from now on, if nothing is under way and nothing came since Draining.
   * @param epoch of the phase Sealed; only a newer one unseals @param drainEpoch of the Draining that this seal ends
   */
  seal(epoch: number, drainEpoch: number): SealAnswer {
    if (this.#drained !== drainEpoch || epoch <= drainEpoch) return { ok: false, reason: "unknown-epoch" };
    const draining = this.#phase === "Draining" && this.#epoch === drainEpoch;
    const sealed = this.#phase === "Sealed" && this.#epoch === epoch;
    if (!draining && !sealed) return { ok: false, reason: "unknown-epoch" };
    if (this.#inFlight > 0) return { ok: false, reason: "in-flight" };
    if (this.#held > 0) return { ok: false, reason: "held" };
    if (this.#requestsSinceDrain > 0) return { ok: false, reason: "request-seen" };
    this.#sealed = Math.max(this.#sealed, epoch);
    return { ok: true };
  }

  /** A request or upgrade that counts as traffic has arrived. */
  countRequest(): void {
    this.#requests += 1;
    this.#lastRequestAt = this.#clock.monotonic();
    this.#requestsSinceDrain += 1;
    this.#changed();
    if (this.#requestsSinceDrain === 1 && this.#phase === "Draining") this.#events.urgent();
  }

  /** Forwarding begins; the epoch to hand to `endForward`. */
  beginForward(): number {
    this.#inFlight += 1;
    this.#changed();
    return this.#epoch;
  }

  /** @param counted whether it counts as traffic @param answeredEpoch what `beginForward` gave, when a pod has answered */
  endForward(counted: boolean, answeredEpoch = 0): void {
    this.#inFlight -= 1;
    if (answeredEpoch > this.#answeredEpoch) this.#answeredEpoch = answeredEpoch;
    // Long requests keep a service busy up to their end, not only to their beginning.
    if (counted) this.#lastRequestAt = this.#clock.monotonic();
    this.#changed();
    this.#tellIdle();
  }

  setHeld(held: number): void {
    if (held === this.#held) return;
    const first = this.#held === 0;
    this.#held = held;
    this.#changed();
    if (first) this.#events.urgent();
    this.#tellIdle();
  }

  /** Whether ends of silent connections are of interest. */
  get provesRouting(): boolean {
    return this.#phase === "Draining";
  }

  recordSilent(peer: SilentPeer): void {
    if (!this.provesRouting) return;
    if (this.#silent.length === SILENT_RING) this.#silent.shift();
    this.#silent.push(peer);
    this.#events.silent();
  }

  takeSilent(): readonly SilentPeer[] {
    const taken = this.#silent;
    this.#silent = [];
    return taken;
  }

  /** The numbers for the session; from here on a change is told again. */
  snapshot(): ServiceCounts {
    this.#dirty = false;
    return this.peek();
  }

  /** The numbers, without taking note of the look. */
  peek(): ServiceCounts {
    return {
      requests: this.#requests,
      inFlight: this.#inFlight,
      held: this.#held,
      idleMs: this.#lastRequestAt === NONE ? -1 : Math.max(0, this.#clock.monotonic() - this.#lastRequestAt),
      answeredEpoch: this.#answeredEpoch,
    };
  }

  #tellIdle(): void {
    if (this.#inFlight === 0 && this.#held === 0) this.#events.idle();
  }

  #changed(): void {
    if (this.#dirty) return;
    this.#dirty = true;
    this.#events.changed();
  }
}
