/**
 * When each policy is due: once in every interval, at a place that its key says, so that the work is spread and what asks the
 * same question is due at the same time. Pure: it is told the time.
 */
export class Timetable {
  readonly #intervalMs: number;
  readonly #slotMs: number;
  readonly #phaseMs: number;
  readonly #slots: Set<string>[];
  readonly #places = new Map<string, number>();
  /** Due out of their turn. */
  readonly #early = new Set<string>();
  #doneUntilMs: number;

  /** @param phaseMs where in the interval this replica begins, so that replicas and installations differ */
  constructor(options: { intervalMs: number; slots: number; phaseMs: number; nowMs: number }) {
    const { intervalMs, slots, phaseMs, nowMs } = options;
    this.#intervalMs = intervalMs;
    this.#slotMs = intervalMs / slots;
    this.#phaseMs = phaseMs;
    this.#slots = Array.from({ length: slots }, () => new Set<string>());
    this.#doneUntilMs = this.#index(nowMs);
  }

  /** @param offsetMs from 0 to below the interval */
  put(id: string, offsetMs: number): void {
    const place = Math.floor(offsetMs / this.#slotMs) % this.#slots.length;
    const before = this.#places.get(id);
    if (before === place) return;
    if (before !== undefined) this.#slots[before]!.delete(id);
    this.#places.set(id, place);
    this.#slots[place]!.add(id);
  }

  /** Due the next time that is asked, and then again in its turn. */
  hurry(id: string): void {
    if (this.#places.has(id)) this.#early.add(id);
  }

  remove(id: string): void {
    const place = this.#places.get(id);
    if (place === undefined) return;
    this.#slots[place]!.delete(id);
    this.#places.delete(id);
    this.#early.delete(id);
  }

  /** What has become due since the last call, each once however long that is ago. */
  due(nowMs: number): string[] {
    const until = this.#index(nowMs);
    // a clock that was set back begins anew
    const missed = until < this.#doneUntilMs ? 1 : Math.min(until - this.#doneUntilMs, this.#slots.length);
    const ids = new Set(this.#early);
    this.#early.clear();
    for (let index = until - missed + 1; index <= until; index += 1) {
      const slot = ((index % this.#slots.length) + this.#slots.length) % this.#slots.length;
      for (const id of this.#slots[slot]!) ids.add(id);
    }
    this.#doneUntilMs = until;
    return [...ids];
  }

  get size(): number {
    return this.#places.size;
  }

  /** Number of a slot, counted from the beginning of time. */
  #index(nowMs: number): number {
    return Math.floor((nowMs + this.#phaseMs) / this.#slotMs);
  }

  /** Time between two slots, in ms. */
  get slotMs(): number {
    return this.#slotMs;
  }

  get intervalMs(): number {
    return this.#intervalMs;
  }
}
