import type { ContainerState, ContainerStatus, Pod } from "@elasti/kube";

type Conditions = NonNullable<NonNullable<Pod["status"]>["conditions"]>;

const iso = (ms: number): string => new Date(ms).toISOString();

/** A container's status as the kubelet writes it. */
export function container(state: Record<string, ContainerState>, rest: Partial<ContainerStatus> = {}): ContainerStatus {
  return { name: "app", ready: false, restartCount: 0, state, ...rest };
}

export const waiting = (reason: string, message?: string, rest: Partial<ContainerStatus> = {}): ContainerStatus =>
  container({ waiting: { reason, ...(message === undefined ? {} : { message }) } }, rest);

/** How a container ended that ran for so long. */
export const ended = (exitCode: number, atMs: number, ranMs = 1_000): ContainerState => ({
  exitCode,
  reason: exitCode === 0 ? "Completed" : "Error",
  startedAt: iso(atMs - ranMs),
  finishedAt: iso(atMs),
  // the last words of an application, which are nobody's business
  message: "password=hunter2",
});

let pods = 0;

/** A pod that waits. */
export function pod(options: {
  name?: string;
  containers?: ContainerStatus[];
  init?: ContainerStatus[];
  conditions?: Conditions;
  phase?: "Pending" | "Running" | "Succeeded" | "Failed";
  nominated?: string;
  createdMs?: number;
}): Pod {
  pods += 1;
  const {
    name = "web-1",
    containers = [],
    init = [],
    conditions = [],
    phase = "Pending",
    nominated,
    createdMs,
  } = options;
  const creationTimestamp = createdMs === undefined ? undefined : iso(createdMs);
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: {
      name,
      namespace: "default",
      uid: `uid-${pods}`,
      resourceVersion: String(pods),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
    },
    spec: { containers: [{ name: "app", env: [{ name: "TOKEN", value: "hunter2" }] }] },
    status: {
      phase,
      conditions,
      initContainerStatuses: init,
      containerStatuses: containers,
      ...(nominated === undefined ? {} : { nominatedNodeName: nominated }),
    },
  };
}

export const unscheduled = (message: string, sinceMs: number, reason = "Unschedulable"): Conditions => [
  { type: "PodScheduled", status: "False", reason, message, lastTransitionTime: iso(sinceMs) },
];
