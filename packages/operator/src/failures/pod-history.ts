import type { ContainerStatus, Pod } from "@elasti/kube";
import type { ContainerEvidence, PodEvidence } from "./evidence.ts";

/** Longest text that is kept of a message: image pulls can fail with pages. */
const maxMessage = 700;

/** Reasons by which the kubelet says that a pull has just failed; between two of them it waits in ImagePullBackOff. */
const pullErrors: ReadonlySet<string> = new Set([
  "ErrImagePull",
  "RegistryUnavailable",
  "SignatureValidationFailed",
  "ImageInspectError",
]);

interface Seen {
  readonly state: string;
  readonly sinceMs: number;
  readonly pullFailures: number;
  /** Why the last pull failed; while it waits, an older kubelet does not say it any more, and a newer one says more around it. */
  readonly pullError: string | undefined;
}

/**
 * What the status of pods does not say by itself: since when a container is in its state, and how many pulls have failed.
 * Counted from when the pods were first looked at.
 */
export class PodHistory {
  /** By uid of the pod, then by container. */
  readonly #pods = new Map<string, Map<string, Seen>>();
  /** When an autoscaler was last heard about a pod, and when it was asked for, by uid. */
  readonly #nodes = new Map<string, { askedMs: number; comingMs: number | undefined }>();

  /** Pods of which something is remembered. */
  get size(): number {
    return new Set([...this.#pods.keys(), ...this.#nodes.keys()]).size;
  }

  see(pod: Pod, nowMs: number): void {
    const { uid = "" } = pod.metadata;
    const containers = this.#pods.get(uid) ?? new Map<string, Seen>();
    this.#pods.set(uid, containers);
    for (const status of statusesOf(pod)) {
      const { kind, reason, message } = stateOf(status);
      const state = `${kind} ${reason ?? ""} ${status.restartCount}`;
      const seen = containers.get(status.name);
      if (seen?.state === state) continue;
      const failedNow = pullErrors.has(reason ?? "") || (seen === undefined && reason === "ImagePullBackOff");
      containers.set(status.name, {
        state,
        sinceMs: nowMs,
        pullFailures: (seen?.pullFailures ?? 0) + (failedNow ? 1 : 0),
        pullError: pullErrors.has(reason ?? "") ? message : seen?.pullError,
      });
    }
  }

  /** The pod is gone. */
  forget({ metadata: { uid = "" } }: Pod): void {
    this.#pods.delete(uid);
    this.#nodes.delete(uid);
  }

  /** Keeps only what is known of these pods. */
  keep(uids: ReadonlySet<string>): void {
    for (const known of [this.#pods, this.#nodes])
      for (const uid of known.keys()) if (!uids.has(uid)) known.delete(uid);
  }

  /** Whether autoscalers were asked about a node for this pod within the last `withinMs`. */
  wasAsked(uid: string, nowMs: number, withinMs: number): boolean {
    const node = this.#nodes.get(uid);
    return node !== undefined && nowMs - node.askedMs < withinMs;
  }

  noteNode(uid: string, askedMs: number, comingMs: number | undefined): void {
    this.#nodes.set(uid, { askedMs, comingMs });
  }

  evidenceOf(pod: Pod, nowMs: number): PodEvidence {
    const { name, uid = "", creationTimestamp = "" } = pod.metadata;
    const { status } = pod;
    const condition = (type: string) => status?.conditions?.find((one) => one.type === type);
    const scheduled = condition("PodScheduled");
    return {
      name,
      uid,
      createdMs: timeOf(creationTimestamp, nowMs),
      phase: status?.phase ?? "Unknown",
      ready: condition("Ready")?.status === "True",
      unscheduled:
        scheduled?.status !== "False"
          ? undefined
          : {
              reason: scheduled.reason ?? "",
              message: scheduled.message ?? "",
              sinceMs: timeOf(scheduled.lastTransitionTime ?? creationTimestamp, nowMs),
            },
      nominated: (status?.nominatedNodeName ?? "") !== "",
      nodeComingMs: this.#nodes.get(uid)?.comingMs,
      containers: statusesOf(pod).map((one) => this.#containerOf(uid, one, nowMs)),
    };
  }

  #containerOf(uid: string, status: ContainerStatus, nowMs: number): ContainerEvidence {
    const seen = this.#pods.get(uid)?.get(status.name);
    const { kind, reason, message, startedAt } = stateOf(status);
    const ended = status.state?.terminated ?? status.lastState?.terminated;
    // what is ready has overcome what it went through; an init container that has done its work has ended as it should
    const isFine = status.ready || (kind === "terminated" && ended?.exitCode === 0 && isInit(status));
    const isDown = kind === "terminated" || (kind === "waiting" && reason === "CrashLoopBackOff");
    return {
      name: status.name,
      state: kind,
      reason,
      message: reason === "ImagePullBackOff" ? (seen?.pullError ?? message) : message,
      sinceMs: kind === "running" ? timeOf(startedAt, seen?.sinceMs ?? nowMs) : (seen?.sinceMs ?? nowMs),
      exits: isFine ? 0 : status.restartCount + (isDown ? 1 : 0),
      lastExit:
        ended === undefined
          ? undefined
          : {
              exitCode: ended.exitCode ?? -1,
              reason: ended.reason,
              ranMs: Math.max(0, timeOf(ended.finishedAt, 0) - timeOf(ended.startedAt, 0)),
            },
      pullFailures: seen?.pullFailures ?? 0,
    };
  }
}

/** Drops what is not used: only statuses are looked at, and environments hold secrets. */
export function trimPod(pod: Pod): Pod {
  const { name, namespace, uid, resourceVersion, creationTimestamp, deletionTimestamp } = pod.metadata;
  const { phase, conditions, nominatedNodeName, initContainerStatuses, containerStatuses } = pod.status ?? {};
  return {
    apiVersion: pod.apiVersion,
    kind: pod.kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
      ...(creationTimestamp === undefined ? {} : { creationTimestamp }),
      ...(deletionTimestamp === undefined ? {} : { deletionTimestamp }),
    },
    spec: { containers: [] },
    status: {
      ...(phase === undefined ? {} : { phase }),
      ...(nominatedNodeName === undefined ? {} : { nominatedNodeName }),
      conditions: (conditions ?? [])
        .filter(({ type }) => type === "PodScheduled" || type === "Ready")
        .map((condition) =>
          condition.message === undefined ? condition : { ...condition, message: cut(condition.message) },
        ),
      initContainerStatuses: (initContainerStatuses ?? []).map((status) => trimStatus(status, true)),
      containerStatuses: (containerStatuses ?? []).map((status) => trimStatus(status, false)),
    },
  };
}

type Trimmed = ContainerStatus & { init?: boolean };
const isInit = (status: Trimmed): boolean => status.init === true;

function trimStatus(status: ContainerStatus, init: boolean): Trimmed {
  const { name, ready, restartCount, state, lastState } = status;
  const { message: _, ...terminated } = lastState?.terminated ?? {};
  return {
    name,
    ready,
    restartCount,
    init,
    state: Object.fromEntries(
      Object.entries(state ?? {}).map(([kind, { message, ...rest }]) => [
        kind,
        // what an application leaves as its last words is its own
        message === undefined || kind === "terminated" ? rest : { ...rest, message: cut(message) },
      ]),
    ),
    ...(lastState?.terminated === undefined ? {} : { lastState: { terminated } }),
  };
}

function statusesOf({ status }: Pod): readonly ContainerStatus[] {
  return [...(status?.initContainerStatuses ?? []), ...(status?.containerStatuses ?? [])];
}

function stateOf({ state }: ContainerStatus): {
  kind: ContainerEvidence["state"];
  reason: string | undefined;
  message: string | undefined;
  startedAt: string | undefined;
} {
  for (const kind of ["waiting", "running", "terminated"] as const) {
    const found = state?.[kind];
    if (found !== undefined) return { kind, reason: found.reason, message: found.message, startedAt: found.startedAt };
  }
  return { kind: "unknown", reason: undefined, message: undefined, startedAt: undefined };
}

function timeOf(text: string | undefined, otherwise: number): number {
  const ms = text === undefined ? Number.NaN : Date.parse(text);
  return Number.isNaN(ms) ? otherwise : ms;
}

const cut = (message: string): string => (message.length <= maxMessage ? message : `${message.slice(0, maxMessage)}…`);
