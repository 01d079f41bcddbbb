import type { ScaleState, TargetRef } from "./scale-target.ts";

/** What wakes a target; the words of `status.lastWake.reason`. */
export const wakeReasons = ["request", "trigger", "schedule", "override", "policy", "manual"] as const;
export type WakeReason = (typeof wakeReasons)[number];

export interface WakeRequest {
  readonly ref: TargetRef;
  /** max(minTargetReplicas, the autoscaler's minimum, floors); at least 1. */
  readonly wanted: number;
  readonly reason: WakeReason;
  /** An HPA or ScaledObject has the target while it is awake; then nothing is raised from 1 up. */
  readonly autoscaled?: boolean;
  /**
   * Given while the ElastiService is Sealed or Asleep: who sleeps and since which epoch. A sleep that began after our last
   * scale-up was the sleep machine's own, perhaps by another replica; it is no one taking the target back, so that the
   * wake need not wait for the rescale window.
   */
  readonly asleep?: AtEpoch;
}

/** An ElastiService at an epoch. One that is made again under its name counts from the start. */
export interface AtEpoch {
  /** `namespace/name` */
  readonly service: string;
  readonly uid?: string;
  readonly epoch: number;
}

export interface WakeResult {
  /** `in-progress`: another call made the write, or ours is younger than the rescale window. */
  readonly outcome: "scaled" | "already-awake" | "in-progress";
  readonly from: number;
  readonly to: number;
  readonly resourceVersion: string;
}

export interface FenceRequest {
  readonly ref: TargetRef;
  /** Epochs are counted by each ElastiService for itself. */
  readonly of?: Omit<AtEpoch, "epoch">;
  readonly epoch: number;
  /** The least that must be there afterwards. */
  readonly replicas: number;
  readonly autoscaled?: boolean;
}

export interface FenceResult extends ScaleState {
  /** The target was at zero: a zero had come first, and the fence was the wake. */
  readonly landed: boolean;
}

export interface SetRequest {
  readonly ref: TargetRef;
  /** Exactly so many. */
  readonly replicas: number;
  /** Of the state that this was decided on. Left out: whatever is there when its turn comes. */
  readonly resourceVersion?: string;
  /** For the log. */
  readonly reason: string;
  /** To zero and from zero as well; only where no ElastiService names the target. */
  readonly mayCrossZero?: boolean;
}

export interface SetResult {
  /**
   * `conflict`: the target has changed, or a wake waits; nothing was written, arbitrate again. `one-door`: to zero or from zero
   * it goes by sleep and wake alone; nothing was written.
   */
  readonly outcome: "set" | "already-so" | "conflict" | "one-door";
  /** What is there now, as far as it is known. */
  readonly state: ScaleState | undefined;
}

export type ZeroOutcome = "done" | "conflict" | "unknown-outcome";
