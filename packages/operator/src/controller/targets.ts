import type { ElastiService } from "@elasti/api";
import { type ScaleHandler, type TargetRef, targetKey } from "@elasti/scaling";
import type { TargetState, TargetView } from "../lifecycle/contracts.ts";
import type { TargetCache } from "./target-cache.ts";

/** Targets as the watch has them, with the replicas that we wrote ourselves laid over it. */
export class Targets implements TargetView {
  readonly #cache: TargetCache;
  readonly #scale: ScaleHandler;
  /** Version that a sleep of several ElastiServices with one target was begun from. */
  readonly #sharedVersions = new Map<string, string>();

  constructor(cache: TargetCache, scale: ScaleHandler) {
    this.#cache = cache;
    this.#scale = scale;
  }

  of({ metadata, spec }: ElastiService): TargetState {
    const answer = this.#cache.get({ namespace: metadata.namespace ?? "", ...spec.scaleTargetRef });
    if (!answer.found) {
      const { reason, message } = answer;
      const kind = reason === "TargetPending" ? "pending" : reason === "TargetMissing" ? "missing" : "unsupported";
      return { kind, reason, message };
    }
    const { ref, uid, replicas, statusReplicas, template, rolloutServices, deleting, createFailure } = answer;
    return {
      kind: "found",
      ref,
      uid,
      replicas: this.#scale.latest(ref)?.replicas ?? replicas,
      statusReplicas,
      template,
      rolloutServices,
      deleting,
      createFailure,
    };
  }

  /**
   * The resourceVersion to scale to zero from. Shared targets share it, read while none of their ElastiServices is Sealed: one that
   * left Sealed behind a fence has then moved it.
   * @returns undefined when no such version is known any more
   */
  async readForSleep(ref: TargetRef, peers: readonly ElastiService[]): Promise<string | undefined> {
    const key = targetKey(ref);
    if (peers.some(({ status }) => status?.phase === "Sealed")) return this.#sharedVersions.get(key);
    this.#sharedVersions.delete(key);
    const { resourceVersion } = await this.#scale.read(ref);
    if (peers.length > 0) this.#sharedVersions.set(key, resourceVersion);
    return resourceVersion;
  }
}
