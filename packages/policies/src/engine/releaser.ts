import type { Logger } from "@elasti/core";
import { type AutoscalerObject, autoscalerOf, type BoundsExecutor, policyOn } from "../executors/bounds-executor.ts";
import type { Policy } from "../schema/policy.ts";
import type { ClusterSources } from "../targets/cluster-sources.ts";
import type { TargetResolver } from "../targets/target-resolver.ts";

export interface ReleaserDeps {
  readonly sources: ClusterSources;
  readonly resolver: TargetResolver;
  readonly bounds: Pick<BoundsExecutor, "release">;
  readonly logger: Logger;
  /** Nothing is executed: then nothing of a policy may stand either. */
  readonly dryRun: boolean;
}

/**
 * Gives autoscalers back the bounds that they had before a policy that is deleted, disabled, or about another target now. Which
 * those are the records on the objects tell, so that nothing has to be remembered for it.
 */
export class Releaser {
  readonly #deps: ReleaserDeps;

  constructor(deps: ReleaserDeps) {
    this.#deps = deps;
  }

  /** One write for each that is nobody's any more. @param policyOf enabled ones */
  async release(policyOf: (id: string) => Policy | undefined, mayWrite: () => boolean): Promise<void> {
    const { bounds, logger, sources } = this.#deps;
    for (const object of sources.touchedAutoscalers()) {
      const by = policyOn(object);
      if (by === undefined || this.#isHeld(object, policyOf(by)) || !mayWrite()) continue;
      const applied = await bounds.release(object);
      const { namespace, name } = object.metadata;
      const words = { namespace, autoscaler: `${object.kind}/${name}`, policy: by };
      if (applied.kind === "done") logger.info({ ...words, reason: "released" }, "bounds put back");
      else if (applied.kind === "failed" || applied.kind === "unknown")
        logger.warn({ ...words, error: applied.message }, "bounds not put back yet");
    }
  }

  /** Whether a policy still has it, as far as is known. */
  #isHeld(object: AutoscalerObject, policy: Policy | undefined): boolean {
    if (policy === undefined || policy.shadow || this.#deps.dryRun) return false;
    const resolved = this.#deps.resolver.resolve(policy);
    if (resolved.kind === "unknown") return true;
    if (resolved.kind === "missing") return false;
    const has = autoscalerOf(resolved);
    return has !== undefined && has.kind === object.kind && has.metadata.name === object.metadata.name;
  }
}
