import type { Pod } from "@elasti/kube";
import type { ContainerExit } from "./container-process.ts";

type PodStatus = NonNullable<Pod["status"]>;
export type Condition = NonNullable<PodStatus["conditions"]>[number];

/** The state of the pod's container as the node knows it. Times are ms since the epoch. */
export type ContainerState =
  | { kind: "waiting"; reason: string; message?: string }
  | { kind: "running"; startedAt: number; pid: number | undefined }
  | { kind: "terminated"; startedAt: number; finishedAt: number; exit: ContainerExit };

export interface PodFacts {
  podIP: string;
  hostIP: string;
  startedAt: number;
  state: ContainerState;
  last?: Extract<ContainerState, { kind: "terminated" }> | undefined;
  restartCount: number;
  /** The startup probe has passed, or there is none, in the present run. */
  started: boolean;
  /** The readiness probe says so, or there is none, in the present run. */
  ready: boolean;
  /** The container will not run again. */
  over: boolean;
}

/** A moment as Kubernetes writes it: whole seconds. */
export function kubeTime(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

/**
 * The status of a pod, by the kubelet's rules; conditions of other owners (readiness gates) are kept as `pod` has them.
 * @param written the conditions last written, from which transitions are counted: `pod` may be older
 */
export function podStatus(pod: Pod, facts: PodFacts, now: number, written: readonly Condition[] = []): PodStatus {
  const container = pod.spec.containers[0]!;
  const { state } = facts;
  const ready = state.kind === "running" && facts.started && facts.ready;
  const status = {
    phase: phaseOf(facts),
    conditions: conditionsOf(pod, facts, ready, now, written),
    hostIP: facts.hostIP,
    hostIPs: [{ ip: facts.hostIP }],
    podIP: facts.podIP,
    podIPs: [{ ip: facts.podIP }],
    startTime: kubeTime(facts.startedAt),
    containerStatuses: [
      {
        name: container.name,
        image: container.image ?? "",
        imageID: "",
        ...containerID(state),
        ready,
        started: state.kind === "running" && facts.started,
        restartCount: facts.restartCount,
        state: stateOf(state),
        lastState: facts.last === undefined ? {} : stateOf(facts.last),
      },
    ],
    qosClass: "BestEffort",
  };
  return status;
}

function containerID(state: ContainerState): { containerID?: string } {
  return state.kind === "running" && state.pid !== undefined ? { containerID: `process://${state.pid}` } : {};
}

function phaseOf({ state, last, over }: PodFacts): PodStatus["phase"] & string {
  if (state.kind === "running") return "Running";
  if (state.kind === "terminated") {
    if (!over) return "Running";
    return state.exit.exitCode === 0 ? "Succeeded" : "Failed";
  }
  return last === undefined ? "Pending" : "Running";
}

function stateOf(state: ContainerState): NonNullable<NonNullable<PodStatus["containerStatuses"]>[number]["state"]> {
  switch (state.kind) {
    case "waiting":
      return { waiting: { reason: state.reason, ...(state.message === undefined ? {} : { message: state.message }) } };
    case "running":
      return { running: { startedAt: kubeTime(state.startedAt) } };
    case "terminated": {
      const finishedAt = { finishedAt: kubeTime(state.finishedAt) };
      return {
        terminated: { ...state.exit, startedAt: kubeTime(state.startedAt), ...finishedAt },
      };
    }
  }
}

function conditionsOf(
  pod: Pod,
  facts: PodFacts,
  ready: boolean,
  now: number,
  written: readonly Condition[],
): Condition[] {
  const present = pod.status?.conditions ?? [];
  const before = written.length > 0 ? written : present;
  const gates = (pod.spec.readinessGates ?? []).map(({ conditionType }) => conditionType);
  const closedGates = gates.filter((gate) => present.find(({ type }) => type === gate)?.status !== "True");
  const unready = unreadyReason(pod, facts);
  const own: Omit<Condition, "lastTransitionTime">[] = [
    { type: "PodReadyToStartContainers", status: facts.over ? "False" : "True" },
    facts.over && facts.state.kind === "terminated" && facts.state.exit.exitCode === 0
      ? { type: "Initialized", status: "True", reason: "PodCompleted" }
      : { type: "Initialized", status: "True" },
    ready && closedGates.length > 0
      ? {
          type: "Ready",
          status: "False",
          reason: "ReadinessGatesNotReady",
          message: closedGates
            .map((gate) => `corresponding condition of pod readiness gate "${gate}" does not exist.`)
            .join(", "),
        }
      : { type: "Ready", status: ready ? "True" : "False", ...(ready ? {} : unready) },
    { type: "ContainersReady", status: ready ? "True" : "False", ...(ready ? {} : unready) },
    { type: "PodScheduled", status: "True" },
  ];
  const ownTypes = new Set(own.map(({ type }) => type));
  return [
    ...present.filter(({ type }) => !ownTypes.has(type)),
    ...own.map((condition) => {
      const old = before.find(({ type }) => type === condition.type);
      const since = old?.status === condition.status ? old.lastTransitionTime : undefined;
      return { ...condition, lastTransitionTime: since ?? kubeTime(now) };
    }),
  ];
}

function unreadyReason(pod: Pod, { over, state }: PodFacts): { reason: string; message?: string } {
  if (over) return { reason: state.kind === "terminated" && state.exit.exitCode === 0 ? "PodCompleted" : "PodFailed" };
  return { reason: "ContainersNotReady", message: `containers with unready status: [${pod.spec.containers[0]!.name}]` };
}
