import type { ElastiService } from "@elasti/api";
import type { HorizontalPodAutoscaler, ScaledObject } from "@elasti/kube";
import type { TargetRef } from "@elasti/scaling";

/** A workload by its names, whether or not there is one. */
export interface WorkloadReference {
  readonly namespace: string;
  readonly name: string;
  readonly apiVersion: string;
  readonly kind: string;
}

export type WorkloadState =
  | {
      readonly kind: "found";
      readonly ref: TargetRef;
      /** spec.replicas. */
      readonly replicas: number;
      readonly resourceVersion: string;
      /** The record of an override in its annotations. */
      readonly override?: string | undefined;
    }
  | { readonly kind: "missing" | "unknown"; readonly message: string };

export interface Autoscalers {
  readonly scaledObjects: readonly ScaledObject[];
  /** Without those that KEDA made: KEDA is told, and tells them. */
  readonly hpas: readonly HorizontalPodAutoscaler[];
}

/** What the engine sees of the cluster, by watches: nothing here asks the API server. */
export interface ClusterSources {
  elastiService(namespace: string, name: string): ElastiService | undefined;
  /** The ElastiServices whose target it is, until they are gone. */
  elastiServicesOf(workload: WorkloadReference): readonly ElastiService[];
  scaledObject(namespace: string, name: string): ScaledObject | undefined;
  /** undefined: not known yet. */
  autoscalersOf(workload: WorkloadReference): Autoscalers | undefined;
  /** Those of all namespaces that carry a record of ours. */
  touchedAutoscalers(): readonly (ScaledObject | HorizontalPodAutoscaler)[];
  workload(workload: WorkloadReference): WorkloadState;
  /** Watches a workload for as long as a policy wants it. @param user the policy's id */
  want(user: string, workload: WorkloadReference): void;
  forget(user: string): void;
  /** Calls back with a user whose workload may be known otherwise than before. @returns stops it */
  onChange(listener: (user: string) => void): () => void;
}
