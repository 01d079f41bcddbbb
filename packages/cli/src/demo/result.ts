/** One answered, or failed, request of the demo. */
export interface RequestOutcome {
  readonly ok: boolean;
  /** The pod itself saw this client's address: no resolver in between. */
  readonly direct: boolean;
  /** From sending it to the head of the answer. */
  readonly elapsedMs: number;
  /** Why it failed. */
  readonly problem?: string;
}

/** What one request to the sleeping service cost. */
export interface ColdStart {
  readonly elapsedMs: number;
  /** From the moment when the pod could be reached to the head of the answer. */
  readonly overheadMs: number;
}

/** The result of `--once`, as `--json` prints it. */
export interface DemoResult {
  readonly cycles: number;
  readonly requests: number;
  readonly directRequests: number;
  readonly failed: number;
  readonly routing: "SelectorSwap" | "Always";
  readonly idleDecision: "prometheus" | "traffic";
  readonly coldStartMs: { readonly p50: number; readonly max: number };
  readonly overheadMs: { readonly p50: number; readonly p99: number };
  readonly asleepAgain: boolean;
}

/** The smallest value that at least `share` (0 to 1) of the values do not exceed (nearest rank); 0 for none. */
export function percentile(values: readonly number[], share: number): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.max(0, Math.ceil(share * sorted.length) - 1)] ?? 0;
}

const rounded = (ms: number): number => Math.round(ms * 10) / 10;

/** Sums up what was measured. Times in ms with one decimal. */
export function resultOf(run: {
  cycles: number;
  requests: readonly RequestOutcome[];
  coldStarts: readonly ColdStart[];
  routing: DemoResult["routing"];
  idleDecision: DemoResult["idleDecision"];
  asleepAgain: boolean;
}): DemoResult {
  const cold = run.coldStarts.map(({ elapsedMs }) => elapsedMs);
  const overhead = run.coldStarts.map(({ overheadMs }) => overheadMs);
  return {
    cycles: run.cycles,
    requests: run.requests.length,
    directRequests: run.requests.filter(({ ok, direct }) => ok && direct).length,
    failed: run.requests.filter(({ ok }) => !ok).length,
    routing: run.routing,
    idleDecision: run.idleDecision,
    coldStartMs: { p50: rounded(percentile(cold, 0.5)), max: rounded(percentile(cold, 1)) },
    overheadMs: { p50: rounded(percentile(overhead, 0.5)), p99: rounded(percentile(overhead, 0.99)) },
    asleepAgain: run.asleepAgain,
  };
}

/** 1 when a request failed or the service did not fall asleep again. */
export const exitCodeOf = ({ failed, asleepAgain }: DemoResult): number => (failed > 0 || !asleepAgain ? 1 : 0);
