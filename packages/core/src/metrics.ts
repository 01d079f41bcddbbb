import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { type Clock, systemClock } from "./clock.ts";

export { Counter, Gauge, Histogram };

/** A value for each label. */
export type LabelSet<L extends string> = Readonly<Record<L, string>>;

/** One label set for each value of a metric's only label. */
export const labelledBy = <L extends string>(label: L, values: readonly string[]): LabelSet<L>[] =>
  values.map((value) => ({ [label]: value }) as LabelSet<L>);

/**
 * The metrics of one process. A scrape of many series blocks the loop, so its text is kept for `cacheMs` and scrapes that
 * come together share one rendering.
 */
export class Metrics {
  readonly registry = new Registry();
  readonly #clock: Clock;
  readonly #cacheMs: number;
  #text: Promise<string> | undefined;
  #renderedAt = Number.NEGATIVE_INFINITY;

  constructor(options: { clock?: Clock; cacheMs?: number; process?: boolean } = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#cacheMs = options.cacheMs ?? 1_000;
    if (options.process === true) collectDefaultMetrics({ register: this.registry });
  }

  get contentType(): string {
    return this.registry.contentType;
  }

  /**
   * @param known label sets that are shown as 0 from the start: Prometheus takes the first value that it sees of a series for
   * its beginning, so that what a series begins with would never count
   */
  counter<L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    known: readonly LabelSet<L>[] = [],
  ): Counter<L> {
    const counter = new Counter({ name, help, labelNames, registers: [this.registry] });
    for (const labels of known) counter.inc(labels, 0);
    return counter;
  }

  gauge<L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[] = [],
    collect?: (this: Gauge<L>) => void,
  ): Gauge<L> {
    return new Gauge({
      name,
      help,
      labelNames,
      registers: [this.registry],
      ...(collect === undefined ? {} : { collect }),
    });
  }

  /**
   * @param buckets upper bounds in seconds
   * @param known as of a counter
   */
  histogram<L extends string = never>(
    name: string,
    help: string,
    labelNames: readonly L[],
    buckets: readonly number[],
    known: readonly LabelSet<L>[] = [],
  ): Histogram<L> {
    const histogram = new Histogram({ name, help, labelNames, buckets: [...buckets], registers: [this.registry] });
    for (const labels of known) histogram.zero(labels);
    return histogram;
  }

  render(): Promise<string> {
    const now = this.#clock.monotonic();
    if (this.#text === undefined || now - this.#renderedAt >= this.#cacheMs) {
      this.#renderedAt = now;
      this.#text = this.registry.metrics();
    }
    return this.#text;
  }

  close(): void {
    this.registry.clear();
  }
}

/** Buckets in seconds for things that take as long as a cold start: 5 ms to past the longest hold (600 s). */
export const coldStartBuckets: readonly number[] = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 180, 600, 900];
