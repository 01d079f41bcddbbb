import { ElastiError, errorText } from "@elasti/core";
import { isConflict } from "@elasti/kube";
import { isCertainlyNotWritten, type ScaleHandler } from "@elasti/scaling";
import type { TargetObservation } from "../contracts.ts";
import type { ClusterSources } from "../targets/cluster-sources.ts";
import type { FoundTarget } from "../targets/target-resolver.ts";
import type { Applied, Executor, Wanted } from "./executor.ts";

/** The part of the ScaleHandler that is needed. */
export type ReplicaWriter = Pick<ScaleHandler, "set" | "read">;

/** Moves the replicas of workloads with a scale subresource. */
export class ScaleExecutor implements Executor {
  readonly #sources: ClusterSources;
  readonly #writer: ReplicaWriter;

  constructor(sources: ClusterSources, writer: ReplicaWriter) {
    this.#sources = sources;
    this.#writer = writer;
  }

  async observe(target: FoundTarget, _signal: AbortSignal, fresh: boolean): Promise<TargetObservation> {
    const seen = observeWorkload(this.#sources, target);
    const state = this.#sources.workload(target.workload);
    if (!fresh || seen.kind !== "found" || state.kind !== "found") return seen;
    try {
      const { replicas, resourceVersion } = await this.#writer.read(state.ref);
      return { ...seen, replicas, resource_version: resourceVersion };
    } catch (error) {
      return { kind: "unknown", message: errorText(error) };
    }
  }

  async apply(target: FoundTarget, { replicas, resourceVersion }: Wanted, reason: string): Promise<Applied> {
    const state = this.#sources.workload(target.workload);
    if (state.kind !== "found") return { kind: "failed", message: state.message };
    // where an ElastiService names the target, by now perhaps, zero and the way back are for its own machine
    const named = [...target.elastiServices, ...this.#sources.elastiServicesOf(target.workload)];
    const mayCrossZero = named.length === 0;
    try {
      const { outcome } = await this.#writer.set({ ref: state.ref, replicas, resourceVersion, reason, mayCrossZero });
      switch (outcome) {
        case "set":
          return { kind: "done" };
        case "already-so":
          return { kind: "unchanged" };
        case "conflict":
        case "one-door":
          return { kind: "conflict" };
      }
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
  const cause = error instanceof ElastiError && error.cause !== undefined ? error.cause : error;
  return { kind: isCertainlyNotWritten(cause) ? "failed" : "unknown", message: errorText(error) };
}
