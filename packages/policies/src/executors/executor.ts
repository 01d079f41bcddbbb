import type { TargetObservation } from "../contracts.ts";
import type { FoundTarget } from "../targets/target-resolver.ts";

/** What a target is to be, and what it was when that was decided. */
export interface Wanted {
  /** Of the policy, whose record stands on what is moved. */
  readonly policy: string;
  /** resourceVersion that the decision was made on; anything else by then is a conflict. */
  readonly resourceVersion: string;
  readonly replicas: number;
  /** Where an autoscaler has the target: what is moved in place of replicas. */
  readonly bounds?: { readonly min: number; readonly max: number };
  /** An override's pin: KEDA is paused at so many. */
  readonly pinned?: number;
}

/**
 * - `done`: written
 * - `unchanged`: there was nothing to write
 * - `conflict`: somebody was faster, nothing was written: decide again next time
 * - `failed`: certainly not written
 * - `unknown`: it may have been written; the next observation tells
 */
export type Applied =
  | { readonly kind: "done" | "unchanged" | "conflict" }
  | { readonly kind: "failed" | "unknown"; readonly message: string };

/**
 * Moves targets of one sort. The engine decides, keeps in mind what it is about to do, and hands it in here: an executor makes
 * one write under the given resourceVersion, and never a second.
 */
export interface Executor {
  /**
   * What the target is now. Never rejects but by `signal`.
   * @param fresh asks for it, where a watch that is behind will not do
   */
  observe(target: FoundTarget, signal: AbortSignal, fresh: boolean): Promise<TargetObservation>;
  /** @param reason for people, where the write has a place for it */
  apply(target: FoundTarget, wanted: Wanted, reason: string): Promise<Applied>;
}
