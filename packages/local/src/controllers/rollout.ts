import { createHash } from "node:crypto";
import type { Deployment, Pod } from "@elasti/kube";

export const TEMPLATE_HASH_LABEL = "pod-template-hash";

/** What to do next about the pods of a Deployment. */
export interface RolloutPlan {
  create: number;
  remove: Pod[];
}

/** Ten characters that change when the pod template changes, without vowels, as Kubernetes has them. */
export function templateHash(deployment: Deployment): string {
  const alphabet = "bcdfghjklmnpqrstvwxz2456789";
  const digest = createHash("sha256").update(stableJson(deployment.spec.template)).digest();
  return [...digest.subarray(0, 10)].map((byte) => alphabet[byte % alphabet.length]!).join("");
}

export function isReady(pod: Pod): boolean {
  return pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
}

/**
 * The next step of a Deployment, from its live pods: maxSurge 1, maxUnavailable 0. Old pods that are not ready go at once,
 * ready ones only while enough others are ready.
 * @param pods those that are neither ended nor being deleted
 */
export function planRollout(desired: number, hash: string, pods: readonly Pod[], paused: boolean): RolloutPlan {
  const current = pods.filter((pod) => paused || pod.metadata.labels?.[TEMPLATE_HASH_LABEL] === hash);
  const old = pods.filter((pod) => !current.includes(pod));
  if (old.length === 0) {
    const missing = desired - current.length;
    return missing >= 0
      ? { create: missing, remove: [] }
      : { create: 0, remove: removalOrder(current).slice(0, -missing) };
  }
  const room = Math.max(0, desired + 1 - pods.length);
  const create = Math.min(Math.max(0, desired - current.length), room);
  const remove = removalOrder(current).slice(0, Math.max(0, current.length - desired));
  let spare = pods.filter((pod) => isReady(pod) && !remove.includes(pod)).length - desired;
  for (const pod of removalOrder(old)) {
    if (!isReady(pod)) remove.push(pod);
    else if (spare > 0) {
      remove.push(pod);
      spare -= 1;
    }
  }
  return { create, remove };
}

/** Which pods go first when there are too many: the order of the ReplicaSet controller. */
export function removalOrder(pods: readonly Pod[]): Pod[] {
  const perNode = new Map<string, number>();
  for (const { spec } of pods) perNode.set(spec.nodeName ?? "", (perNode.get(spec.nodeName ?? "") ?? 0) + 1);
  const phases = ["Pending", "Unknown", "Running"];
  const ranks = (pod: Pod): number[] => [
    pod.spec.nodeName === undefined ? 0 : 1,
    phases.indexOf(pod.status?.phase ?? "Pending"),
    isReady(pod) ? 1 : 0,
    -(perNode.get(pod.spec.nodeName ?? "") ?? 0),
    // the youngest first, by readiness, then by restarts, then by creation
    isReady(pod) ? -readySince(pod) : 0,
    -(pod.status?.containerStatuses?.[0]?.restartCount ?? 0),
    -Date.parse(pod.metadata.creationTimestamp ?? "1970-01-01T00:00:00Z"),
    // creation times are whole seconds: the version tells the order within one
    -Number(pod.metadata.resourceVersion ?? 0),
  ];
  return pods.toSorted((a, b) => {
    const left = ranks(a);
    const right = ranks(b);
    const at = left.findIndex((rank, index) => rank !== right[index]);
    return at < 0 ? 0 : left[at]! - right[at]!;
  });
}

function readySince(pod: Pod): number {
  const since = pod.status?.conditions?.find(({ type }) => type === "Ready")?.lastTransitionTime;
  return since === undefined ? 0 : Date.parse(since);
}

function stableJson(value: unknown): string {
  return JSON.stringify(value, (_key, part: unknown) =>
    typeof part === "object" && part !== null && !Array.isArray(part)
      ? Object.fromEntries(Object.entries(part).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : part,
  );
}
