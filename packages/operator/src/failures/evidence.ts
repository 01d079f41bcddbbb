/** One container of a pod, init containers included, as far as it tells why the pod is not ready. */
export interface ContainerEvidence {
  readonly name: string;
  readonly state: "waiting" | "running" | "terminated" | "unknown";
  /** Of the state, as the kubelet writes them. */
  readonly reason: string | undefined;
  readonly message: string | undefined;
  /** Since when this state and reason are known here, wall clock in ms. */
  readonly sinceMs: number;
  /** Times that it has ended; an init container that did its work has not. */
  readonly exits: number;
  /** How it ended last. */
  readonly lastExit:
    | { readonly exitCode: number; readonly reason: string | undefined; readonly ranMs: number }
    | undefined;
  /** Pulls of its image that failed, as far as they were seen here. */
  readonly pullFailures: number;
}

export interface PodEvidence {
  readonly name: string;
  readonly uid: string;
  /** Wall clock in ms. */
  readonly createdMs: number;
  readonly phase: "Pending" | "Running" | "Succeeded" | "Failed" | "Unknown";
  readonly ready: boolean;
  /** The scheduler has found no node for it (condition PodScheduled False). */
  readonly unscheduled: { readonly reason: string; readonly message: string; readonly sinceMs: number } | undefined;
  /** Others are being evicted for it from a node. */
  readonly nominated: boolean;
  /** When a node autoscaler last said that it makes a node for it, wall clock in ms. */
  readonly nodeComingMs: number | undefined;
  readonly containers: readonly ContainerEvidence[];
}

/** A controller could not make a pod. */
export interface CreateFailure {
  readonly message: string;
  /** Wall clock in ms. */
  readonly sinceMs: number;
}

/** What is known of a target that should be up and has no ready pod. */
export interface Evidence {
  /** Those that are not on their way out. */
  readonly pods: readonly PodEvidence[];
  readonly createFailure: CreateFailure | undefined;
  /** Pods that the target says it has. */
  readonly replicas: number;
}

/** How long a thing may go wrong before it counts as certain. */
export interface Patience {
  /** Failed pulls of an image. */
  readonly pulls: number;
  /** Exits of a container. */
  readonly exits: number;
  /** Without a node, and none coming, in ms. */
  readonly unschedulableMs: number;
  /** What others may yet put right: a missing ConfigMap, a webhook that is down, in ms. */
  readonly repairMs: number;
}

export const defaultPatience: Patience = { pulls: 3, exits: 3, unschedulableMs: 300_000, repairMs: 60_000 };
