import v8 from "node:v8";
import type { Clock, Timer } from "./clock.ts";
import type { Component } from "./lifecycle.ts";

/** Between two looks, in ms. */
const LOOK_MS = 20_000;
/** Least between two collections, in ms: what is compiled anew after one, and the next one, cost CPU time. */
const REST_MS = 300_000;
/** A process that used less of a core than this since the last look is idle. */
const IDLE_SHARE = 0.02;
/** Less than so many bytes more than the last collection has left are not worth another one. */
const WORTH_BYTES = 3 * 1_024 ** 2;

export interface IdleMemoryOptions {
  readonly clock: Clock;
  /** CPU time used since the start, in ms. */
  readonly cpuMs?: () => number;
  /** Bytes that the heap holds without using them. */
  readonly spareBytes?: () => number;
  /** Collects all garbage and gives free pages back; undefined where the process may not. */
  readonly collect?: (() => void) | undefined;
}

/**
 * Gives memory back to the system once a process has become idle: what loading, lists and requests have left in the heap, which V8
 * itself keeps. It takes about 20 ms, and hundreds with a heap of hundreds of MB, and is done again only after something has
 * happened: of a large heap much stays spare whatever is collected. Needs `--expose-gc`
 * (docs/decisions/0005-memory.md).
 */
export class IdleMemory implements Component {
  readonly #clock: Clock;
  readonly #cpuMs: () => number;
  readonly #spareBytes: () => number;
  readonly #collect: (() => void) | undefined;
  #seenCpuMs = 0;
  /** Spare bytes that were left after the last collection, or since. */
  #leftBytes = 0;
  #timer: Timer | undefined;

  constructor({ clock, cpuMs = usedCpuMs, spareBytes = heapSpare, collect = collector() }: IdleMemoryOptions) {
    this.#clock = clock;
    this.#cpuMs = cpuMs;
    this.#spareBytes = spareBytes;
    this.#collect = collect;
  }

  start(): void {
    if (this.#collect !== undefined) this.#lookAgain();
  }

  close(): void {
    this.#timer?.cancel();
  }

  #look(): void {
    const idle = this.#cpuMs() - this.#seenCpuMs < IDLE_SHARE * LOOK_MS;
    const spare = this.#spareBytes();
    // pages are swept, and given back, after the collection too
    this.#leftBytes = Math.min(this.#leftBytes, spare);
    if (!idle || spare - this.#leftBytes < WORTH_BYTES) {
      this.#lookAgain();
      return;
    }
    this.#collect?.();
    this.#leftBytes = this.#spareBytes();
    this.#timer = this.#clock.after(REST_MS, () => this.#lookAgain());
  }

  #lookAgain(): void {
    this.#seenCpuMs = this.#cpuMs();
    this.#timer = this.#clock.after(LOOK_MS, () => this.#look());
  }
}

function usedCpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1_000;
}

function heapSpare(): number {
  const { total_physical_size: held, used_heap_size: used } = v8.getHeapStatistics();
  return held - used;
}

function collector(): (() => void) | undefined {
  const { gc } = globalThis;
  // the flavour that gives up free pages, too
  return gc && (() => void gc({ type: "major", execution: "sync", flavor: "last-resort" }));
}
