import { type ElastiService, specDefaults, splitKey } from "@elasti/api";
import { type Clock, errorText, type Logger, type Timer } from "@elasti/core";
import { type Scaler, spreadOffsetMs, type Verdict } from "@elasti/scaling";
import PQueue from "p-queue";
import type { Verdicts } from "./lifecycle/contracts.ts";

/** One scaler for all triggers of an ElastiService, or the reason why there is none. */
export type ScalerFor = (es: ElastiService) => Scaler;

export interface SleepLoopOptions {
  clock: Clock;
  logger: Logger;
  /** Between two rounds of one service (POLLING_INTERVAL), in ms. */
  intervalMs: number;
  /** Rounds at once, over all services. */
  concurrency: number;
  scalerFor: ScalerFor;
  elastiService: (key: string) => ElastiService | undefined;
  /** A round has ended. `news` is false where a target that sleeps stays idle for the reason that it was idle for. */
  onVerdict: (key: string, verdict: Verdict, news: boolean) => void;
}

/** After so many rounds without news the next counts as some: what no event told of is seen then. */
const ROUNDS_WITHOUT_NEWS = 9;

interface Watched {
  scaler: Scaler;
  /** What the scaler was made from. */
  madeFrom: string;
  timer: Timer | undefined;
  latest: Verdict | undefined;
  /** Rounds since the last that was news. */
  quietRounds: number;
}

/** Asks the triggers of every ElastiService in turn, while this replica leads. */
export class SleepLoop implements Verdicts {
  readonly #options: SleepLoopOptions;
  readonly #queue: PQueue;
  readonly #watched = new Map<string, Watched>();
  #stopped = new AbortController();

  constructor(options: SleepLoopOptions) {
    this.#options = options;
    this.#queue = new PQueue({ concurrency: options.concurrency });
    this.#stopped.abort();
  }

  /** Begins to ask; services are told by `watch`. */
  start(): void {
    this.#stopped = new AbortController();
  }

  /** Takes up a service, or the change of its triggers. */
  watch(key: string): void {
    const es = this.#options.elastiService(key);
    if (this.#stopped.signal.aborted || es === undefined) return;
    const madeFrom = JSON.stringify([es.spec.triggers, es.spec.cooldownPeriod, es.spec.service, es.spec.routing?.mode]);
    const known = this.#watched.get(key);
    if (known?.madeFrom === madeFrom) return;
    if (known !== undefined) this.forget(key);
    const watched: Watched = {
      scaler: this.#options.scalerFor(es),
      madeFrom,
      timer: undefined,
      latest: undefined,
      quietRounds: 0,
    };
    this.#watched.set(key, watched);
    // the first round comes at once: a restarted operator is to know soon
    this.#schedule(key, watched, 0);
  }

  forget(key: string): void {
    const watched = this.#watched.get(key);
    if (watched === undefined) return;
    this.#watched.delete(key);
    watched.timer?.cancel();
    watched.scaler.close().catch((error) => {
      this.#options.logger.warn({ error: errorText(error) }, "scaler failed to close");
    });
  }

  latest(key: string): Verdict | undefined {
    return this.#watched.get(key)?.latest;
  }

  async look(key: string, notBeforeMs: number, signal: AbortSignal): Promise<Verdict> {
    const watched = this.#watched.get(key);
    if (watched === undefined)
      return unknown("NotWatched", "the triggers are not being asked", this.#options.clock.now());
    return await this.#ask(key, watched, AbortSignal.any([signal, this.#stopped.signal]), notBeforeMs);
  }

  /** Stops asking and lets the scalers go. */
  async close(): Promise<void> {
    this.#stopped.abort();
    const scalers = [...this.#watched.values()];
    this.#watched.clear();
    for (const { timer } of scalers) timer?.cancel();
    await Promise.all(scalers.map(({ scaler }) => scaler.close()));
    await this.#queue.onIdle();
  }

  #schedule(key: string, watched: Watched, delayMs: number): void {
    watched.timer = this.#options.clock.after(delayMs, () => {
      void this.#queue.add(() => this.#round(key, watched));
    });
  }

  async #round(key: string, watched: Watched): Promise<void> {
    const { signal } = this.#stopped;
    const { clock, intervalMs, onVerdict, logger } = this.#options;
    if (signal.aborted || this.#watched.get(key) !== watched) return;
    try {
      const verdict = await this.#ask(key, watched, signal);
      if (signal.aborted || this.#watched.get(key) !== watched) return;
      const same =
        this.#isAsleep(key) &&
        verdict.kind === "Idle" &&
        watched.latest?.kind === "Idle" &&
        watched.latest.reason === verdict.reason;
      watched.quietRounds = same && watched.quietRounds < ROUNDS_WITHOUT_NEWS ? watched.quietRounds + 1 : 0;
      watched.latest = verdict;
      onVerdict(key, verdict, watched.quietRounds === 0);
    } catch (error) {
      if (!signal.aborted) logger.error({ ...splitKey(key), error: errorText(error) }, "asking the triggers failed");
    }
    if (signal.aborted || this.#watched.get(key) !== watched) return;
    const now = clock.now();
    const offset = spreadOffsetMs(key, intervalMs);
    this.#schedule(key, watched, intervalMs - ((((now - offset) % intervalMs) + intervalMs) % intervalMs));
  }

  async #ask(key: string, watched: Watched, signal: AbortSignal, notBeforeMs?: number): Promise<Verdict> {
    const options = notBeforeMs === undefined ? {} : { notBeforeMs };
    return this.#isAsleep(key)
      ? await watched.scaler.shouldScaleFromZero(signal, options)
      : await watched.scaler.shouldScaleToZero(signal, options);
  }

  #isAsleep(key: string): boolean {
    return this.#options.elastiService(key)?.status?.phase === "Asleep";
  }
}

const unknown = (reason: string, message: string, sampledAtMs: number): Verdict => ({
  kind: "Unknown",
  reason,
  message,
  sampledAtMs,
});

/** Seconds after the last activity before the target may sleep. */
export const cooldownMsOf = (es: ElastiService): number =>
  (es.spec.cooldownPeriod ?? specDefaults.cooldownSeconds) * 1_000;
