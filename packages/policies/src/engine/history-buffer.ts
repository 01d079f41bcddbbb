import { errorCode, errorText, type Logger } from "@elasti/core";
import type { HistoryEntry, HistoryRepository } from "../contracts.ts";

/** Entries in one call on the database. */
const batch = 500;

/**
 * Keeps what is to be recorded until the database has it. While the database is away nothing is lost up to a bound, from which on
 * the oldest decisions go first and actions last, and how many is told. What the database refuses for what it says is given up,
 * and told, so that it does not keep everything else from being written.
 */
export class HistoryBuffer {
  readonly #history: Pick<HistoryRepository, "append">;
  readonly #logger: Logger;
  readonly #maxEntries: number;
  #entries: HistoryEntry[] = [];
  #writing: Promise<void> | undefined;
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

  /** Writes what waits. @throws ELASTI_POLICY_DATABASE: what is not written stays */
  flush(): Promise<void> {
    this.#writing ??= this.#write().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #write(): Promise<void> {
    while (this.#entries.length > 0) {
      const some = this.#entries.slice(0, batch);
      await this.#append(some);
      // others may have been added, and the oldest given up, meanwhile
      const written = new Set(some);
      this.#entries = this.#entries.filter((entry) => !written.has(entry));
    }
  }

  /** All or, one by one, all but those that are refused. */
  async #append(entries: readonly HistoryEntry[]): Promise<void> {
    try {
      await this.#history.append(entries);
    } catch (error) {
      if (errorCode(error) === "ELASTI_POLICY_DATABASE") throw error;
      if (entries.length > 1) {
        for (const entry of entries) await this.#append([entry]);
        return;
      }
      this.#dropped += 1;
      this.#logger.error(
        { error: errorText(error), entry: entries[0], reason: "history-refused" },
        "an entry of history was refused",
      );
    }
  }
}
