import type { ElastiService } from "@elasti/api";
import type { HorizontalPodAutoscaler, ScaledObject } from "@elasti/kube";
import type { Autoscalers, ClusterSources, WorkloadReference, WorkloadState } from "@elasti/policies";
import type { ScaleHandler } from "@elasti/scaling";
import { type AutoscalerWatch, isSameTarget } from "../autoscalers/autoscaler-watch.ts";
import type { TargetCache } from "../controller/target-cache.ts";
import type { ClusterView } from "../lifecycle/cluster-view.ts";

/** What users of the TargetCache are called that are policies. */
const prefix = "policy:";

/** Whether a user of the TargetCache is a policy, and no ElastiService. @returns its id */
export const policyOfUser = (user: string): string | undefined =>
  user.startsWith(prefix) ? user.slice(prefix.length) : undefined;

export interface WatchedSourcesOptions {
  readonly view: Pick<ClusterView, "elastiServices" | "elastiServicesOfTarget">;
  readonly autoscalers: AutoscalerWatch;
  readonly cache: TargetCache;
  readonly scale: Pick<ScaleHandler, "latest">;
  /** Whether a namespace is looked after. */
  readonly watched: (namespace: string) => boolean;
}

/** The cluster as the operator's own watches have it, for the policy engine. */
export class WatchedSources implements ClusterSources {
  readonly #options: WatchedSourcesOptions;

  constructor(options: WatchedSourcesOptions) {
    this.#options = options;
  }

  elastiService(namespace: string, name: string): ElastiService | undefined {
    return this.#options.view.elastiServices.get(namespace, name);
  }

  elastiServicesOf(workload: WorkloadReference): readonly ElastiService[] {
    const { namespace, name } = workload;
    // one that is being deleted too: it is just about to give its target back, awake
    return this.#options.view
      .elastiServicesOfTarget(namespace, name)
      .filter(({ spec }) => isSameTarget(spec.scaleTargetRef, workload));
  }

  scaledObject(namespace: string, name: string): ScaledObject | undefined {
    return this.#options.autoscalers.scaledObjects.get(namespace, name);
  }

  autoscalersOf(workload: WorkloadReference): Autoscalers | undefined {
    const { autoscalers } = this.#options;
    const { keda, hpa } = autoscalers.states;
    if (keda === "pending" || hpa === "pending") return undefined;
    return autoscalers.ofTarget(workload.namespace, workload);
  }

  touchedAutoscalers(): readonly (ScaledObject | HorizontalPodAutoscaler)[] {
    const { autoscalers } = this.#options;
    return [...autoscalers.touched(), ...autoscalers.touchedHpas()];
  }

  workload(workload: WorkloadReference): WorkloadState {
    const { cache, scale, watched } = this.#options;
    if (!watched(workload.namespace))
      return { kind: "missing", message: `namespace ${workload.namespace} is not looked after (WATCH_NAMESPACES)` };
    const answer = cache.get(workload);
    if (!answer.found)
      return { kind: answer.reason === "TargetPending" ? "unknown" : "missing", message: answer.message };
    const { ref, override } = answer;
    // our own writes are seen at once
    const { replicas, resourceVersion } = scale.latest(ref) ?? answer;
    return { kind: "found", ref, replicas, resourceVersion, override };
  }

  want(policyId: string, workload: WorkloadReference): void {
    if (this.#options.watched(workload.namespace)) this.#options.cache.want(`${prefix}${policyId}`, workload);
  }

  forget(policyId: string): void {
    this.#options.cache.forget(`${prefix}${policyId}`);
  }

  onChange(listener: (policyId: string) => void): () => void {
    return this.#options.cache.onChange((user) => {
      const policyId = policyOfUser(user);
      if (policyId !== undefined) listener(policyId);
    });
  }
}
