import type { Clock, Logger } from "@elasti/core";

/** What a drain needs of the data path. */
export interface Drainable {
  readonly holds: number;
  readonly inFlight: number;
  /** Answers ask clients to close. */
  beginDrain(): void;
  stopAccepting(): void;
  /** Resolves when nothing is held and nothing is in flight. */
  whenIdle(): Promise<void>;
  /** Answers what is still held. */
  refuseHolds(): void;
}

export interface DrainOptions {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly path: Drainable;
  /** Told first: from here on the process is not ready. */
  readonly onBegin: () => void;
  readonly settleMs: number;
  readonly limitMs: number;
}

/**
 * The end of a resolver that loses nothing:
 *
 *   not ready, `Connection: close` ─▶ settle: everyone learns it ─▶ no more accepts ─▶ holds, requests and
 *   WebSockets end, or the limit passes ─▶ what is still held is answered 503
 */
export class Drain {
  readonly #options: DrainOptions;
  #running: Promise<void> | undefined;

  constructor(options: DrainOptions) {
    this.#options = options;
  }

  close(): Promise<void> {
    this.#running ??= this.#run();
    return this.#running;
  }

  async #run(): Promise<void> {
    const { clock, logger, path, onBegin, settleMs, limitMs } = this.#options;
    onBegin();
    path.beginDrain();
    logger.info({ held: path.holds, inFlight: path.inFlight, reason: "drain-begins" }, "draining");
    if (settleMs > 0) await clock.sleep(settleMs);
    path.stopAccepting();
    const limit = Promise.withResolvers<"limit">();
    const timer = clock.after(limitMs, () => limit.resolve("limit"));
    const end = await Promise.race([path.whenIdle().then(() => "idle" as const), limit.promise]);
    timer.cancel();
    if (end === "limit") {
      logger.warn(
        { held: path.holds, inFlight: path.inFlight, reason: "drain-limit" },
        "drain limit reached; what is still held is answered 503, what runs is cut",
      );
      path.refuseHolds();
    }
    logger.info({ reason: "drain-ended", end }, "drained");
  }
}
