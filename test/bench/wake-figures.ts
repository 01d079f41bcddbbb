import { differenceOfMedians, median, percentile, rounded } from "./figures.ts";
import type { WakeSample } from "./wake-samples.ts";
import { PROBE_PERIOD_S } from "./wake-targets.ts";

/** What was measured, by start time. */
export interface Results {
  readonly samples: Map<number, WakeSample[]>;
  /** ms from the PATCH to the head of the answer. */
  readonly controls: Map<number, number[]>;
  lost: number;
}

class Goals {
  readonly #lines: string[] = [];

  add(name: string, value: number, limit: number): void {
    const met = value <= limit ? "met" : "NOT MET";
    this.#lines.push(`${name}: ${rounded(value)} ms, goal at most ${rounded(limit)} ms: ${met}`);
  }

  tell(json: boolean, lost: number): void {
    const out = json ? process.stderr : process.stdout;
    out.write(`${this.#lines.join("\n")}\n`);
    if (lost > 0) out.write(`${lost} requests were lost\n`);
  }
}

const p50 = (values: readonly number[]) => rounded(percentile(values, 0.5));
const p95 = (values: readonly number[]) => rounded(percentile(values, 0.95));

export function tellEmbedded({ samples, controls, lost }: Results, json: boolean): void {
  const goals = new Goals();
  const byStart = Object.fromEntries(
    [...samples].map(([startMs, own]) => {
      const overheads = own.map(({ overheadMs }) => overheadMs);
      const cold = median(own.map(({ totalMs }) => totalMs));
      const plain = median(controls.get(startMs) ?? []);
      const name = `start ${startMs} ms`;
      goals.add(`${name}, overhead p50`, percentile(overheads, 0.5), 8 + 0.012 * startMs);
      goals.add(`${name}, overhead p95`, percentile(overheads, 0.95), 30 + 0.022 * startMs);
      goals.add(`${name}, extra (${rounded(cold)} against ${rounded(plain)})`, cold - plain, 20 + 0.012 * startMs);
      return [startMs, { overheadMs: { p50: p50(overheads), p95: p95(overheads) }, extraMs: rounded(cold - plain) }];
    }),
  );
  const all = [...samples.values()].flat();
  const scaled = all.map(({ notifyToScaleMs }) => notifyToScaleMs);
  goals.add("notify to scale, p50", percentile(scaled, 0.5), 10);
  goals.tell(json, lost);
  if (!json) return;
  const notifyToScaleMs = { p50: p50(scaled), p95: p95(scaled) };
  const line = { wakes: all.length, probePeriodS: PROBE_PERIOD_S, byStart, notifyToScaleMs };
  process.stdout.write(`${JSON.stringify(line)}\n`);
}

/** What is ours: the request arrives -> PATCH sent, and the later of accepting and published -> head at the client. */
const oursOf = ({ notifyToScaleMs, overheadMs }: WakeSample): number => notifyToScaleMs + overheadMs;

export function tellReal(results: Results, json: boolean): void {
  const samples = [...results.samples.values()].flat();
  const ours = samples.map(oursOf);
  const whole = samples.map(({ totalMs }) => totalMs);
  const control = [...results.controls.values()].flat();
  const patch = samples.map(({ notifyToScaleMs }) => notifyToScaleMs);
  const goals = new Goals();
  goals.add("ours, p50", percentile(ours, 0.5), 12);
  goals.add("ours, p95", percentile(ours, 0.95), 40);
  goals.tell(json, results.lost);
  const extra = differenceOfMedians(whole, control);
  const line = {
    cluster: "real",
    wakes: samples.length,
    probePeriodS: PROBE_PERIOD_S,
    oursMs: { p50: p50(ours), p95: p95(ours) },
    extraMs: { median: rounded(extra.median), ci95: extra.ci95.map(rounded) },
    wholeMs: { elasti: { p50: p50(whole), p95: p95(whole) }, control: { p50: p50(control), p95: p95(control) } },
    patchMs: { p50: p50(patch) },
  };
  if (json) process.stdout.write(`${JSON.stringify(line)}\n`);
  else process.stdout.write(`${JSON.stringify(line, undefined, 2)}\n`);
}
