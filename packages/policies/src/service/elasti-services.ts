import type { Policy } from "../schema/policy.ts";

/** Where an ElastiService stands. Times are ms since the epoch; undefined where nothing is known of it. */
export interface ElastiServiceState {
  readonly namespace: string;
  readonly name: string;
  readonly phase: string;
  /** Since when it is in this phase. */
  readonly sinceMs: number | undefined;
  /** The last request or Active verdict. */
  readonly lastActiveMs: number | undefined;
  readonly lastWakeMs: number | undefined;
  readonly lastWakeReason: string | undefined;
}

export const wakeReasons = ["manual", "scheduled", "webhook", "api_request", "database_activity"] as const;
export type WakeReason = (typeof wakeReasons)[number];

/** The ElastiServices, as the operator knows them. */
export interface ElastiServiceStates {
  /** The one that a policy is about: it is the target, or names the target. Answered from memory. */
  of(policy: Policy): ElastiServiceState | undefined;
  /** Where there are any. */
  namespaces(): readonly string[];
  /**
   * Wakes it, and comes back once that is written.
   * @returns what its target has to come to
   * @throws why it could not be
   */
  wake(namespace: string, name: string, reason: WakeReason): Promise<{ readonly replicas: number }>;
  /** Comes back with true once it is in phase Serving, with false when `signal` aborts before. */
  serving(namespace: string, name: string, signal: AbortSignal): Promise<boolean>;
}
