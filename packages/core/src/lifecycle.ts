import { type Clock, systemClock } from "./clock.ts";
import { errorText } from "./errors.ts";
import type { Logger } from "./logger.ts";

/** For so long a process that has closed everything may live on, in ms. */
const LEFT_OPEN_MS = 2_000;

/** Something with a beginning and an end. `close` is idempotent and leaves no socket and no timer. */
export interface Component {
  start?(): Promise<void> | void;
  close(): Promise<void> | void;
}

/**
 * Starts components in the order in which they were added and closes them in reverse, each close bounded by
 * `closeTimeoutMs`, so that one that hangs cannot keep the process.
 */
export class Lifecycle {
  readonly #components: { name: string; component: Component }[] = [];
  readonly #started: { name: string; component: Component }[] = [];
  readonly #logger: Logger;
  readonly #closeTimeoutMs: number;
  readonly #clock: Clock;
  #closing: Promise<void> | undefined;

  constructor(logger: Logger, options: { closeTimeoutMs?: number; clock?: Clock } = {}) {
    this.#logger = logger;
    this.#closeTimeoutMs = options.closeTimeoutMs ?? 30_000;
    this.#clock = options.clock ?? systemClock;
  }

  add<T extends Component>(name: string, component: T): T {
    this.#components.push({ name, component });
    return component;
  }

  /** Starts everything; when one start fails, closes what had started and throws that failure. */
  async start(): Promise<void> {
    for (const entry of this.#components) {
      if (this.#closing !== undefined) return;
      this.#started.push(entry);
      try {
        await entry.component.start?.();
      } catch (error) {
        await this.close();
        throw error;
      }
    }
  }

  close(): Promise<void> {
    this.#closing ??= this.#closeAll();
    return this.#closing;
  }

  async #closeAll(): Promise<void> {
    for (const { name, component } of this.#started.toReversed()) {
      const deadline = Promise.withResolvers<"timeout">();
      const timer = this.#clock.after(this.#closeTimeoutMs, () => deadline.resolve("timeout"));
      try {
        const outcome = await Promise.race([Promise.resolve(component.close()), deadline.promise]);
        if (outcome === "timeout")
          this.#logger.error({ component: name, reason: "close-timeout" }, "component did not close in time");
      } catch (error) {
        this.#logger.error({ component: name, error: errorText(error) }, "component failed to close");
      } finally {
        timer.cancel();
      }
    }
  }
}

/**
 * Runs a process: starts the lifecycle, closes it on SIGTERM or SIGINT, and resolves with the exit code. A second signal
 * ends the process at once.
 */
export async function runUntilSignal(lifecycle: Lifecycle, logger: Logger): Promise<number> {
  const stop = Promise.withResolvers<string>();
  const onSignal = (signal: NodeJS.Signals) => {
    process.once(signal, () => process.exit(1));
    stop.resolve(signal);
  };
  process.once("SIGTERM", onSignal);
  process.once("SIGINT", onSignal);
  try {
    // a start may wait for ever, for an API server that is not there
    await Promise.race([lifecycle.start(), stop.promise]);
  } catch (error) {
    logger.fatal({ error: errorText(error) }, "start failed");
    return 1;
  }
  const signal = await stop.promise;
  logger.info({ signal }, "stopping");
  await lifecycle.close();
  logger.debug("stopped");
  // what a component has left open must not keep the process until it is killed; with nothing open this never comes
  const timer = setTimeout(() => {
    logger.error({ open: process.getActiveResourcesInfo(), reason: "left-open" }, "something is open still, ending");
    process.exit(0);
  }, LEFT_OPEN_MS);
  timer.unref();
  return 0;
}
