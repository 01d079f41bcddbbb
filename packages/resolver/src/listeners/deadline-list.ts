import type { Clock, Timer } from "@elasti/core";
import { HoldQueue, type QueueNode, queueNode } from "../gate/hold-queue.ts";

/** A place in a DeadlineList. */
export type DeadlineEntry<T> = QueueNode<{ readonly item: T; readonly at: number }>;

/** Things that all get the same time, so that one timer and one list in order of arrival serve any number of them. */
export class DeadlineList<T> {
  readonly #clock: Clock;
  readonly #ms: number;
  readonly #onExpired: (item: T) => void;
  readonly #queue = new HoldQueue<{ readonly item: T; readonly at: number }>();
  #timer: Timer | undefined;

  /** @param ms time that each item gets */
  constructor(clock: Clock, ms: number, onExpired: (item: T) => void) {
    this.#clock = clock;
    this.#ms = ms;
    this.#onExpired = onExpired;
  }

  get length(): number {
    return this.#queue.length;
  }

  add(item: T): DeadlineEntry<T> {
    const entry = queueNode({ item, at: this.#clock.monotonic() + this.#ms }, 0);
    this.#queue.push(entry);
    this.#timer ??= this.#clock.after(this.#ms, () => this.#expire());
    return entry;
  }

  remove(entry: DeadlineEntry<T>): void {
    this.#queue.remove(entry);
    if (this.#queue.length > 0) return;
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  /** Takes everything out. */
  drain(): T[] {
    const items: T[] = [];
    for (let entry = this.#queue.head; entry !== undefined; entry = this.#queue.head) {
      items.push(entry.value.item);
      this.remove(entry);
    }
    return items;
  }

  #expire(): void {
    const now = this.#clock.monotonic();
    this.#timer = undefined;
    for (let entry = this.#queue.head; entry !== undefined && entry.value.at <= now; entry = this.#queue.head) {
      this.#queue.remove(entry);
      this.#onExpired(entry.value.item);
    }
    const next = this.#queue.head;
    if (next !== undefined) this.#timer ??= this.#clock.after(Math.max(1, next.value.at - now), () => this.#expire());
  }
}
