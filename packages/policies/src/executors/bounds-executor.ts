import { errorText } from "@elasti/core";
import type { KubeClient } from "@elasti/kube";
import {
  type AutoscalerObject,
  type BoundsChange,
  boundsKindOf,
  boundsMovedBy,
  boundsStateOf,
  formerBounds,
  nextBounds,
  restoredBounds,
  writeBounds,
} from "@elasti/scaling";
import type { TargetObservation } from "../contracts.ts";
import type { ClusterSources } from "../targets/cluster-sources.ts";
import type { FoundTarget } from "../targets/target-resolver.ts";
import type { Applied, Executor, Wanted } from "./executor.ts";
import { appliedOf, observeWorkload } from "./scale-executor.ts";

export type { AutoscalerObject } from "@elasti/scaling";

export interface BoundsExecutorOptions {
  readonly client: KubeClient;
  readonly sources: ClusterSources;
  /** Lays a write over what the watch has not seen yet. */
  readonly wrote?: (object: AutoscalerObject) => void;
}

/** Moves the bounds of the autoscaler that has a target, and puts its own back when no policy has it any more. */
export class BoundsExecutor implements Executor {
  readonly #options: BoundsExecutorOptions;

  constructor(options: BoundsExecutorOptions) {
    this.#options = options;
  }

  async observe(target: FoundTarget, signal: AbortSignal, fresh: boolean): Promise<TargetObservation> {
    let object = autoscalerOf(target);
    if (object === undefined) return { kind: "unknown", message: "no autoscaler has the target any more" };
    if (fresh) {
      const { namespace, name } = object.metadata;
      try {
        object = await this.#options.client.get<AutoscalerObject>(boundsKindOf(object).resource, namespace, name, {
          signal,
        });
      } catch (error) {
        return { kind: "unknown", message: errorText(error) };
      }
    }
    const workload = observeWorkload(this.#options.sources, target);
    if (workload.kind !== "found") return workload;
    return {
      ...workload,
      bounds: effective(object, boundsStateOf(object)),
      resource_version: object.metadata.resourceVersion ?? "",
    };
  }

  async apply(target: FoundTarget, { policy, bounds, pinned, resourceVersion }: Wanted): Promise<Applied> {
    const object = autoscalerOf(target);
    if (object === undefined || bounds === undefined || object.metadata.resourceVersion !== resourceVersion)
      return { kind: "conflict" };
    const wanted = { policy, ...bounds, ...(pinned === undefined || object.kind !== "ScaledObject" ? {} : { pinned }) };
    const change = nextBounds(boundsStateOf(object), wanted);
    if (change === undefined) return { kind: "unchanged" };
    return await this.#write(object, change);
  }

  /** Gives an autoscaler back the bounds that it had before any policy. */
  async release(object: AutoscalerObject): Promise<Applied> {
    const change = restoredBounds(boundsStateOf(object));
    return change === undefined ? { kind: "unchanged" } : await this.#write(object, change);
  }

  async #write(object: AutoscalerObject, change: BoundsChange): Promise<Applied> {
    try {
      const written = await writeBounds(this.#options.client, object, change);
      this.#options.wrote?.(written);
      return { kind: "done" };
    } catch (error) {
      return appliedOf(error);
    }
  }
}

/** Whether a policy's bounds have been written before, and changed by somebody since: theirs stand. */
export function isLeftByHand(
  object: AutoscalerObject,
  wanted: { readonly policy: string; readonly min: number; readonly max: number },
): boolean {
  const state = boundsStateOf(object);
  const { min, max } = effective(object, state);
  return (min !== wanted.min || max !== wanted.max) && nextBounds(state, wanted) === undefined;
}

/** The least that the minimum of an autoscaler can be. */
export const leastMinOf = (object: AutoscalerObject): number => (object.kind === "ScaledObject" ? 0 : 1);

/** The autoscaler that has a target. */
export function autoscalerOf({ writer }: FoundTarget): AutoscalerObject | undefined {
  return writer.kind === "scale" ? undefined : writer.object;
}

/** The policy whose bounds an autoscaler has. */
export const policyOn = (object: AutoscalerObject): string | undefined => boundsMovedBy(object.metadata.annotations);

/** The bounds that an autoscaler would have without any policy. */
export function ownBoundsOf(object: AutoscalerObject): { readonly min: number; readonly max: number } {
  return effective(object, formerBounds(boundsStateOf(object)));
}

function effective(
  object: AutoscalerObject,
  { min, max }: { readonly min: number | undefined; readonly max: number | undefined },
): { min: number; max: number } {
  const { defaults } = boundsKindOf(object);
  return { min: min ?? defaults[0], max: max ?? defaults[1] };
}
