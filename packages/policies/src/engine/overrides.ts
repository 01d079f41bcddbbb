import { OVERRIDE_ANNOTATION } from "@elasti/api";
import { type Intent, overrideAt, overrideIntent } from "@elasti/scaling";
import { autoscalerOf } from "../executors/bounds-executor.ts";
import type { ClusterSources } from "../targets/cluster-sources.ts";
import type { FoundTarget } from "../targets/target-resolver.ts";

/**
 * What overrides in force ask of a target: they stand on the ElastiService that names it or, where that has none, on the workload
 * itself, and on its autoscaler. What cannot be read changes nothing; status of the ElastiService tells of it.
 */
export function overridesOn(target: FoundTarget, sources: Pick<ClusterSources, "workload">, nowMs: number): Intent[] {
  const workload = sources.workload(target.workload);
  const at = (record: string | undefined) => overrideAt(record, nowMs);
  const own = target.elastiServices.map(({ metadata }) => at(metadata.annotations?.[OVERRIDE_ANNOTATION]));
  // one that cannot be read counts as one: somebody meant something by it
  const heedsWorkload = own.length === 0 || own.some(({ state }) => state === "none" || state === "expired");
  const onWorkload = at(heedsWorkload && workload.kind === "found" ? workload.override : undefined);
  const onAutoscaler = at(autoscalerOf(target)?.metadata.annotations?.[OVERRIDE_ANNOTATION]);
  return [...own, onWorkload, onAutoscaler].flatMap((found) =>
    found.state === "active" ? [overrideIntent(found.override)] : [],
  );
}
