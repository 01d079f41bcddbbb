import type { ElastiService } from "@elasti/api";
import type { PodTemplate } from "@elasti/kube";
import type { TargetRef, Verdict } from "@elasti/scaling";
import type { CreateFailure } from "../failures/evidence.ts";

/** The target of an ElastiService as last known. */
export type TargetState =
  | {
      readonly kind: "found";
      readonly ref: TargetRef;
      /** Replicas asked for: the newer of what the watch and our own writes said. */
      readonly replicas: number;
      /** Replicas that exist (status.replicas). */
      readonly statusReplicas: number;
      /** Pod template, for the kinds that have it at spec.template. */
      readonly template: PodTemplate | undefined;
      /** Services that the target, a Rollout of Argo, names. */
      readonly rolloutServices?: readonly string[] | undefined;
      readonly deleting: boolean;
      readonly uid?: string | undefined;
      /** Its controller could not make a pod, where its conditions tell. */
      readonly createFailure?: CreateFailure | undefined;
    }
  /** `pending`: not known yet, which is not the same as missing. */
  | { readonly kind: "missing" | "unsupported" | "pending"; readonly reason: string; readonly message: string };

export interface TargetView {
  of(es: ElastiService): TargetState;
}

/** What the triggers of an ElastiService say. */
export interface Verdicts {
  /** The last round's; undefined before the first. */
  latest(key: string): Verdict | undefined;
  /** Asks anew, with samples not older than `notBeforeMs` (wall clock). */
  look(key: string, notBeforeMs: number, signal: AbortSignal): Promise<Verdict>;
}

/** Reasons of Events; the first two are KubeElasti's. */
export type EventReason =
  | "SuccessToScale"
  | "FailedToScale"
  | "SleepBegan"
  | "SleepUndone"
  | "Asleep"
  | "Woken"
  | "Restored"
  | "RoutingUnsupported"
  | "WakeFailed"
  | "SelectorReverted"
  | "Contested"
  | "OtherOperator"
  | "OverrideBegan"
  | "OverrideEnded"
  | "OverrideInvalid";

export interface Events {
  record(about: ElastiService, type: "Normal" | "Warning", reason: EventReason, message: string): void;
}
