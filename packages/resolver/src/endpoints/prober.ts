import type { ProbeStatus } from "@elasti/api";
import type { Clock, Timer } from "@elasti/core";
import type { ProbeBudget } from "./probe-budget.ts";
import { type Attempt, type CheckOptions, tryCheck, tryConnect } from "./probe-check.ts";

const connectTimeoutMs = 1_000;
const minPauseMs = 2;
const maxPauseMs = 250;
/** After the app itself said no. */
const minPauseAfterNoMs = 20;

/** The pause before the next attempt: about 2% of the wait so far, so that the wait is lengthened by 1% on average. */
export function pauseMs(waitedMs: number, last: Attempt): number {
  const least = last === "rejected" ? minPauseAfterNoMs : minPauseMs;
  return Math.min(maxPauseMs, Math.max(least, waitedMs * 0.02));
}

/** A pod to be probed. */
export interface ProbeCandidate {
  readonly uid: string;
  readonly address: string;
  /** A port of the Service on the pod, for a bare connect. */
  readonly port: number;
  /** Only whether it accepts connections: it is Ready, or has no readiness probe. */
  readonly connectOnly: boolean;
}

/** The attempts on one pod, one after another, until it passes or nobody asks any more. */
class PodProbe {
  readonly candidate: ProbeCandidate;
  readonly #probe: ProbeStatus | undefined;
  readonly #clock: Clock;
  readonly #startedAt: number;
  readonly #stop = new AbortController();
  readonly #take: (grant: () => void) => () => void;
  readonly #onPass: () => void;
  #timer: Timer | undefined;
  #leaveQueue: (() => void) | undefined;

  constructor(
    candidate: ProbeCandidate,
    probe: ProbeStatus | undefined,
    deps: { clock: Clock; take: (grant: () => void) => () => void; onPass: () => void },
  ) {
    this.candidate = candidate;
    this.#probe = probe;
    this.#clock = deps.clock;
    this.#take = deps.take;
    this.#onPass = deps.onPass;
    this.#startedAt = deps.clock.monotonic();
    this.#queue();
  }

  #queue(): void {
    this.#leaveQueue = this.#take(() => void this.#attempt());
  }

  async #attempt(): Promise<void> {
    const { signal } = this.#stop;
    const options: CheckOptions = {
      address: this.candidate.address,
      clock: this.#clock,
      connectTimeoutMs,
      signal,
    };
    const { startup, readiness } = this.#probe ?? {};
    let result: Attempt;
    if (this.candidate.connectOnly || (readiness === undefined && startup === undefined)) {
      result = await tryConnect(this.candidate.port, options);
    } else {
      result = startup === undefined ? "passed" : await tryCheck(startup, options);
      if (result === "passed" && readiness !== undefined) result = await tryCheck(readiness, options);
    }
    if (signal.aborted) return;
    if (result === "passed") {
      this.#onPass();
      return;
    }
    const waited = this.#clock.monotonic() - this.#startedAt;
    this.#timer = this.#clock.after(pauseMs(waited, result), () => this.#queue());
  }

  close(): void {
    this.#stop.abort();
    this.#timer?.cancel();
    this.#leaveQueue?.();
  }
}

export interface ProberOptions {
  /** Names the service among those that share the budget. */
  readonly service: string;
  readonly clock: Clock;
  readonly budget: ProbeBudget;
  readonly onPass: (uid: string) => void;
}

/** Probes the pods of one service that its owner names, each until it passes. */
export class Prober {
  readonly #options: ProberOptions;
  readonly #running = new Map<string, PodProbe>();
  #probe: ProbeStatus | undefined;
  #closed = false;

  constructor(options: ProberOptions) {
    this.#options = options;
  }

  /** Pods that are being probed. */
  get size(): number {
    return this.#running.size;
  }

  /** Exactly these from now on. Attempts on pods that stay the same go on. */
  probe(candidates: readonly ProbeCandidate[], probe: ProbeStatus | undefined): void {
    if (this.#closed) return;
    // the objects come from a watch: a new one of the same content is common
    const sameProbe = JSON.stringify(probe) === JSON.stringify(this.#probe);
    this.#probe = probe;
    const wanted = new Map(candidates.map((candidate) => [candidate.uid, candidate]));
    for (const [uid, running] of this.#running) {
      const candidate = wanted.get(uid);
      const known = running.candidate;
      if (
        sameProbe &&
        candidate?.address === known.address &&
        candidate.port === known.port &&
        candidate.connectOnly === known.connectOnly
      )
        continue;
      running.close();
      this.#running.delete(uid);
    }
    for (const candidate of candidates) if (!this.#running.has(candidate.uid)) this.#start(candidate, probe);
  }

  #start(candidate: ProbeCandidate, probe: ProbeStatus | undefined): void {
    const { clock, budget, service, onPass } = this.#options;
    const { uid } = candidate;
    const running = new PodProbe(candidate, probe, {
      clock,
      take: (grant) => budget.take(service, grant),
      onPass: () => {
        this.#running.delete(uid);
        onPass(uid);
      },
    });
    this.#running.set(uid, running);
  }

  close(): void {
    this.#closed = true;
    for (const running of this.#running.values()) running.close();
    this.#running.clear();
  }
}
