import { OVERRIDE_ANNOTATION } from "@elasti/api";
import { type Intent, overrideAt, overrideIntent } from "@elasti/scaling";
import { autoscalerOf } from "../executors/bounds-executor.ts";
import type { ClusterSources } from "../targets/cluster-sources.ts";
import type { FoundTarget } from "../targets/target-resolver.ts";

/**
 * What overrides in force ask of a target: they stand on the ElastiService that names it, on its autoscaler, or on the workload
 * itself. What cannot be read changes nothing; status of the ElastiService tells of it.
 */
export function overridesOn(target: FoundTarget, sources: Pick<ClusterSources, "workload">, nowMs: number): Intent[] {
  const workload = sources.workload(target.workload);
  const objects = [...target.elastiServices, autoscalerOf(target)];
  const records = [
    ...objects.map((object) => object?.metadata.annotations?.[OVERRIDE_ANNOTATION]),
    workload.kind === "found" ? workload.override : undefined,
  ];
  return records.flatMap((record) => {
    const found = overrideAt(record, nowMs);
    return found.state === "active" ? [overrideIntent(found.override)] : [];
  });
}
