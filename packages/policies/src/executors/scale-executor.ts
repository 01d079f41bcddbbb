import { errorText } from "@elasti/core";
import { isConflict } from "@elasti/kube";
import { isCertainlyNotWritten, type TargetRef } from "@elasti/scaling";
import type { TargetObservation } from "../contracts.ts";
import type { ClusterSources } from "../targets/cluster-sources.ts";
import type { FoundTarget } from "../targets/target-resolver.ts";
import type { Applied, Executor, Wanted } from "./executor.ts";

/** The part of the ScaleHandler that is needed. */
export interface ReplicaWriter {
  /** One PATCH of `/scale` under a resourceVersion. @throws ELASTI_SCALE_*, with a conflict as its cause where it was one */
  set(request: {
    readonly ref: TargetRef;
    readonly replicas: number;
    readonly resourceVersion: string;
  }): Promise<"done" | "conflict">;
}

/** Moves the replicas of workloads with a scale subresource. */
export class ScaleExecutor implements Executor {
  readonly #sources: ClusterSources;
  readonly #writer: ReplicaWriter;

  constructor(sources: ClusterSources, writer: ReplicaWriter) {
    this.#sources = sources;
    this.#writer = writer;
  }

  async observe(target: FoundTarget): Promise<TargetObservation> {
    return observeWorkload(this.#sources, target);
  }

  async apply(target: FoundTarget, { replicas, resourceVersion }: Wanted): Promise<Applied> {
    const state = this.#sources.workload(target.workload);
    if (state.kind !== "found") return { kind: "failed", message: state.message };
    if (state.replicas === replicas && state.resourceVersion === resourceVersion) return { kind: "unchanged" };
    try {
      return { kind: await this.#writer.set({ ref: state.ref, replicas, resourceVersion }) };
    } catch (error) {
      return appliedOf(error);
    }
  }
}

/** The workload behind a target, with the phase of the ElastiServices that name it. */
export function observeWorkload(sources: ClusterSources, target: FoundTarget): TargetObservation {
  const state = sources.workload(target.workload);
  if (state.kind !== "found") return state;
  const phase = phaseOf(target);
  return {
    kind: "found",
    replicas: state.replicas,
    resource_version: state.resourceVersion,
    ...(phase === undefined ? {} : { phase }),
  };
}

/** Of several ElastiServices the one that is furthest from serving counts: nothing is written beside its sleep. */
function phaseOf({ elastiServices }: FoundTarget): string | undefined {
  const order = ["Sealed", "Draining", "Asleep", "Waking"];
  const all = elastiServices.map(({ status }) => status?.phase ?? "Serving");
  return order.find((phase) => all.some((one) => one === phase)) ?? all[0];
}

/** What a failed write came to. */
export function appliedOf(error: unknown): Applied {
  if (isConflict(error)) return { kind: "conflict" };
  return { kind: isCertainlyNotWritten(error) ? "failed" : "unknown", message: errorText(error) };
}
