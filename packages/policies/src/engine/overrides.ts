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
  const inForce = (records: readonly (string | undefined)[]): Intent[] =>
    records.flatMap((record) => {
      const found = overrideAt(record, nowMs);
      return found.state === "active" ? [overrideIntent(found.override)] : [];
    });
  const own = inForce(target.elastiServices.map(({ metadata }) => metadata.annotations?.[OVERRIDE_ANNOTATION]));
  const onWorkload = inForce([workload.kind === "found" ? workload.override : undefined]);
  const onAutoscaler = inForce([autoscalerOf(target)?.metadata.annotations?.[OVERRIDE_ANNOTATION]]);
  return [...(own.length > 0 ? own : onWorkload), ...onAutoscaler];
}
