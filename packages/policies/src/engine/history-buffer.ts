import { errorCode, errorText, type Logger } from "@elasti/core";
import type { HistoryEntry, HistoryRepository } from "../contracts.ts";

/** Entries in one call on the database. */
const batch = 500;

/**
 * Keeps what is to be recorded until the database has it. While the database is away nothing is lost up to a bound, from which on
 * the oldest decisions go first and actions last, and how many is told.
 */
export class HistoryBuffer {
  readonly #history: Pick<HistoryRepository, "append">;
  readonly #logger: Logger;
  readonly #maxEntries: number;
  #entries: HistoryEntry[] = [];
  #writing: Promise<boolean> | undefined;
  #dropped = 0;

  constructor(history: Pick<HistoryRepository, "append">, logger: Logger, maxEntries = 10_000) {
    this.#history = history;
    this.#logger = logger;
    this.#maxEntries = maxEntries;
  }

  /** Entries that the database does not have yet. */
  get waiting(): number {
    return this.#entries.length;
  }

  /** Entries given up since the start. */
  get dropped(): number {
    return this.#dropped;
  }

  add(...entries: readonly HistoryEntry[]): void {
    this.#entries.push(...entries);
    while (this.#entries.length > this.#maxEntries) {
      const decision = this.#entries.findIndex(({ kind }) => kind === "decision");
      this.#entries.splice(Math.max(0, decision), 1);
      this.#dropped += 1;
      if (this.#dropped === 1 || this.#dropped % 1_000 === 0)
        this.#logger.error({ dropped: this.#dropped, reason: "history-full" }, "entries of history had to be given up");
    }
  }

  /** Writes what waits. @returns whether nothing waits any more */
  flush(): Promise<boolean> {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #write(): Promise<boolean> {
    while (this.#entries.length > 0) {
      const some = this.#entries.slice(0, batch);
      try {
        await this.#history.append(some);
      } catch (error) {
        this.#logger.debug(
          { error: errorText(error), reason: errorCode(error), waiting: this.#entries.length },
          "history not written",
        );
        return false;
      }
      // others may have been added, and the oldest given up, meanwhile
      const written = new Set(some);
      this.#entries = this.#entries.filter((entry) => !written.has(entry));
    }
    return true;
  }
}
