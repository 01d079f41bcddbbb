import type { Phase, RoutingMode } from "@elasti/api";
import type { AutoscalerStage } from "@elasti/scaling";

/** What this leader remembers of the sleep that it leads. Lost with the process, and the sleep is then undone or finished. */
export interface SleepRun {
  /** Epoch of the phase Draining that began it. */
  readonly drainEpoch: number;
  /** The park key was written in this run; found missing later, somebody reverted it. */
  readonly parkWritten: boolean;
  readonly proof: "none" | "running" | "ok" | "failed";
  readonly grace: "none" | "running" | "over";
  /** The second look at the triggers, with samples from after the grace. */
  readonly look: "none" | "running" | "idle" | "not-idle";
  readonly seal: "none" | "running" | "acked" | "refused";
  /** The target's resourceVersion was read: before Sealed is written, and never again in this run. */
  readonly targetRead: boolean;
  /** What became of the write to zero under that resourceVersion. `refused`: every one was, so that none can land. */
  readonly zero: "none" | "done" | "conflict" | "unknown-outcome" | "refused";
  /** Writes to zero that were tried. */
  readonly zeroTries: number;
  /** Requests that resolvers have seen since the run began. */
  readonly requestsSeen: number;
}

/** The state of one service as far as it decides the next step. */
export interface Observation {
  /** `undefined` before the first phase was written. */
  readonly phase: Phase | undefined;
  readonly epoch: number;
  /** Epoch of the last Draining; 0 for none. */
  readonly drainEpoch: number;
  readonly phaseAgeMs: number;
  readonly podsGone: boolean;
  /** The routing mode in force: the one asked for, or EndpointSlice when the park cannot stand. */
  readonly mode: RoutingMode;
  /** live; restore: the ElastiService is being deleted; release: and there is nothing to wake (namespace, Service or target go too). */
  readonly lifecycle: "live" | "restore" | "release";
  readonly service: "ok" | "missing" | "refused";
  /** The Service's selector carries the park key. */
  readonly parked: boolean;
  /** Epoch in the Service's annotation: of the last write that concerned the park. */
  readonly serviceEpoch: number;
  /** Our EndpointSlice on the public Service; `foreign`: KubeElasti's, which has its name and leads to resolvers of its own. */
  readonly slice: "absent" | "stale" | "current" | "foreign";
  /** For how long neither slice nor park of ours have been there, as far as this leader has seen. */
  readonly unroutedMs: number;
  /** Resolvers that the slice ought to list. */
  readonly resolvers: number;
  /** Endpoints, in any condition, of the Service's own slices. */
  readonly publicPods: number;
  /** Those of them that are ready. */
  readonly publicReady: number;
  readonly target: "found" | "missing" | "unsupported";
  /** Replicas asked for (spec). */
  readonly replicas: number;
  /** Pods of the target that still exist, terminating ones included. */
  readonly podsLeft: number;
  /** Pods of the target that are ready. */
  readonly readyPods: number;
  /** The target has a readiness probe, so Ready means that it can serve. */
  readonly trustsReady: boolean;
  /** A resolver has carried an answer of a pod since this wake began. */
  readonly answered: boolean;
  /** How far behind nodes are allowed to be: the grace of this service. */
  readonly graceMs: number;
  /** Every trigger idle, cooldown over, inside the period, nothing in flight, every resolver heard; or an override asks for it. */
  readonly maySleep: boolean;
  /** A hold, an active trigger, the enabled period, an override or a policy wants it awake. */
  readonly wantsAwake: boolean;
  /** An override asks for so many while it is awake, and they are not there. */
  readonly adjustTo?: number | undefined;
  /** Every other ElastiService on the same target holds too; true where there is none. */
  readonly peersSealed: boolean;
  /** What the fence in this phase found: `kept` no zero had landed, `landed` one had and was taken back. */
  readonly fence: "none" | "kept" | "landed";
  readonly run: SleepRun | undefined;
  /** Stages at which KEDA would still have to be told something; empty where no ScaledObject has the target. */
  readonly autoscalerDue: readonly AutoscalerStage[];
}

/** The next step, with the reason that logs, events and status show. */
export type Step =
  | { readonly do: StepName; readonly why: string }
  | { readonly do: "set-phase"; readonly phase: Phase; readonly why: string }
  /** One write towards a stage of the autoscalers. */
  | { readonly do: "tell-autoscaler"; readonly stage: AutoscalerStage; readonly why: string }
  /** Nothing to do before something changes, or before `atMostMs` has passed. */
  | { readonly do: "wait"; readonly why: string; readonly atMostMs?: number };

export type StepName =
  | "write-slice"
  | "delete-slice"
  | "park"
  | "unpark"
  | "fence-service"
  | "start-proof"
  | "start-grace"
  | "look-again"
  | "start-seal"
  | "read-target"
  | "zero"
  | "fence-target"
  | "scale-up"
  | "mark-pods-gone"
  /** Write the replicas that an override asks for. */
  | "adjust"
  /** Remove what is ours and the finalizer. */
  | "release";
