import { errorText, type Logger } from "@elasti/core";

/**
 * Work that follows a change and must not run inside it: it happens in the next turn of the event loop, in order, and
 * never after close. A failure is logged and ends only the piece of work that failed.
 */
export class BackgroundWork {
  readonly #logger: Logger;
  readonly #name: string;
  #closed = false;

  constructor(name: string, logger: Logger) {
    this.#name = name;
    this.#logger = logger;
  }

  run(work: () => void): void {
    setImmediate(() => {
      if (this.#closed) return;
      try {
        work();
      } catch (error) {
        this.#logger.error({ component: this.#name, error: errorText(error) }, "background work failed");
      }
    });
  }

  close(): void {
    this.#closed = true;
  }
}
