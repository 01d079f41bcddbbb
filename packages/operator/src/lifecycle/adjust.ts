import type { Clock } from "@elasti/core";
import { kubeErrors } from "@elasti/kube";
import type { ScaleHandler } from "@elasti/scaling";
import type { Journal } from "../policy-hooks.ts";
import type { Events } from "./contracts.ts";
import type { Subject } from "./subject.ts";

export interface AdjustDeps {
  readonly scale: Pick<ScaleHandler, "set" | "latest">;
  readonly events: Events;
  readonly journal?: Journal;
  readonly clock: Clock;
}

/**
 * Writes the replicas that an override asks for, of a target that is awake.
 * @throws ELASTI_KUBE_CONFLICT when the target is no longer as it was seen
 */
export async function adjust(subject: Subject, why: string, deps: AdjustDeps): Promise<void> {
  const { es, target, adjustTo, ruling } = subject;
  if (target.kind !== "found" || adjustTo === undefined) return;
  const { scale, events, journal, clock } = deps;
  const { ref, replicas } = target;
  const version = scale.latest(ref)?.resourceVersion;
  const { outcome } = await scale.set({
    ref,
    replicas: adjustTo,
    reason: why,
    ...(version === undefined ? {} : { resourceVersion: version }),
  });
  if (outcome === "conflict" || outcome === "one-door")
    throw kubeErrors.ELASTI_KUBE_CONFLICT(`${ref.name} has changed since it was looked at`);
  if (outcome !== "set") return;
  events.record(es, "Normal", "SuccessToScale", `scaled ${ref.name} from ${replicas} to ${adjustTo}: ${why}`);
  journal?.record({
    action: adjustTo > replicas ? "scale_up" : "scale_down",
    es,
    previousReplicas: replicas,
    newReplicas: adjustTo,
    reason: why,
    triggeredBy: `override:${ruling.by ?? ""}`,
    atMs: clock.now(),
  });
}
