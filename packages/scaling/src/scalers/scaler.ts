/** What a scaler says. `Unknown` never sleeps and never wakes anything. */
export interface Verdict {
  readonly kind: "Active" | "Idle" | "Unknown";
  /** Why, in one word; a heading in docs/troubleshooting.md. */
  readonly reason: string;
  /** Why, for people. Never a secret. */
  readonly message: string;
  /** The number that decided, where there is one. */
  readonly value?: number;
  /** Wall-clock time in ms at which the sample was asked for: it knows nothing of what came later. */
  readonly sampledAtMs: number;
}

/**
 * Whether what the scaler says can be believed.
 * - `Healthy`: yes
 * - `Unhealthy`: the source answers not at all, or says that it has not watched without a gap
 * - `NoSeries`: the series that would say so do not exist
 */
export interface Health {
  readonly kind: "Healthy" | "Unhealthy" | "NoSeries";
  readonly reason: string;
  readonly message: string;
}

/** Reason of a source that is believed although no series says that it has watched: the filter was left out and fits nothing. */
export const DEFAULT_FILTER_UNMATCHED = "DefaultUptimeFilterMatchesNothing";

export interface SampleOptions {
  /** Wall-clock time in ms: a sample asked for before it does not count. The second look after the grace demands this. */
  readonly notBeforeMs?: number;
}

/**
 * Answers "active or idle?" from one trigger. A sample is kept for a round, a short time, so that both questions of one
 * round are answered by the same one. No method rejects for what the source does: that is `Unknown` or `Unhealthy`. They
 * reject with the signal's reason when it aborts (a sample that others wait for goes on), and after `close()`.
 */
export interface Scaler {
  isHealthy(signal: AbortSignal, options?: SampleOptions): Promise<Health>;
  /** `Idle`: as far as this trigger is concerned the target may sleep. */
  shouldScaleToZero(signal: AbortSignal, options?: SampleOptions): Promise<Verdict>;
  /** `Active`: a target that sleeps must wake. */
  shouldScaleFromZero(signal: AbortSignal, options?: SampleOptions): Promise<Verdict>;
  /** Idempotent; leaves no socket and no timer. */
  close(): Promise<void>;
}
