import type { Deployment, Pod } from "@elasti/kube";
import { kubeTime } from "../node/pod-status.ts";
import { isReady, TEMPLATE_HASH_LABEL } from "./rollout.ts";

export interface DeploymentCondition {
  type: string;
  status: "True" | "False";
  reason: string;
  message: string;
  lastUpdateTime: string;
  lastTransitionTime: string;
}

export type DeploymentStatus = NonNullable<Deployment["status"]> & { conditions?: DeploymentCondition[] };

/** The status of a Deployment whose live pods these are. Zeros are left out, as Kubernetes does. */
export function deploymentStatus(
  deployment: Deployment,
  hash: string,
  pods: readonly Pod[],
  now: number,
): DeploymentStatus {
  const desired = deployment.spec.replicas ?? 1;
  const ready = pods.filter(isReady).length;
  const updated = pods.filter((pod) => pod.metadata.labels?.[TEMPLATE_HASH_LABEL] === hash).length;
  const complete = updated === desired && pods.length === desired && ready === desired;
  const counts = {
    observedGeneration: deployment.metadata.generation ?? 1,
    replicas: pods.length,
    updatedReplicas: updated,
    readyReplicas: ready,
    availableReplicas: ready,
    unavailableReplicas: Math.max(0, desired - ready),
  };
  return {
    ...Object.fromEntries(Object.entries(counts).filter(([, count]) => count !== 0)),
    conditions: [
      condition(deployment, now, "Available", ready >= desired, [
        ["MinimumReplicasAvailable", "Deployment has minimum availability."],
        ["MinimumReplicasUnavailable", "Deployment does not have minimum availability."],
      ]),
      condition(deployment, now, "Progressing", true, [
        complete
          ? ["NewReplicaSetAvailable", "Every pod runs the present template."]
          : ["ReplicaSetUpdated", "Pods of the present template are being made."],
        ["", ""],
      ]),
    ],
  };
}

function condition(
  deployment: Deployment,
  now: number,
  type: string,
  holds: boolean,
  texts: readonly [readonly [string, string], readonly [string, string]],
): DeploymentCondition {
  const [reason, message] = holds ? texts[0] : texts[1];
  const status = holds ? "True" : "False";
  const old = (deployment.status as DeploymentStatus | undefined)?.conditions?.find((known) => known.type === type);
  if (old !== undefined && old.status === status && old.reason === reason) return old;
  const time = kubeTime(now);
  return {
    type,
    status,
    reason,
    message,
    lastUpdateTime: time,
    lastTransitionTime: old?.status === status ? old.lastTransitionTime : time,
  };
}
