import type { ContainerEvidence, CreateFailure, Evidence, Patience, PodEvidence } from "./evidence.ts";
import { createRefusalOf, isImageNotFound } from "./messages.ts";

/** Reasons for which a wake can fail for certain. Each is a heading in docs/troubleshooting.md. */
export const failureReasons = [
  "QuotaExceeded",
  "PodRefused",
  "ImageNotFound",
  "ImagePullFailed",
  "CrashLoop",
  "ContainerNotCreated",
  "Unschedulable",
] as const;
export type FailureReason = (typeof failureReasons)[number];

/** What a wake waits for while nothing is wrong. */
export type ProgressReason = "PodMissing" | "Scheduling" | "ContainerStarting" | "NotReady";

export interface Judgement {
  readonly reason: FailureReason | ProgressReason;
  readonly message: string;
  /** Waiting will not help before something changes. */
  readonly certain: boolean;
  /** Nothing is wrong yet. */
  readonly progress: boolean;
  /** With the same evidence the answer is another after so long. */
  readonly againInMs?: number;
}

/** A run as long as this makes the kubelet forget its back-off (twice the longest one), and us the exits before it. */
const goodRunMs = 600_000;
/** A container that was up for so long, and twice as long as it lasted the time before, has got past what it died of. */
const pastCrashMs = 10_000;

/** Reasons of the kubelet for a container that waits (pkg/kubelet/images/types.go, kuberuntime_container.go). */
const neverThere: ReadonlySet<string> = new Set(["ErrImageNeverPull", "InvalidImageName"]);
const pullFailed: ReadonlySet<string> = new Set([
  "ErrImagePull",
  "ImagePullBackOff",
  "RegistryUnavailable",
  "SignatureValidationFailed",
  "ImageInspectError",
]);
const notMade: ReadonlySet<string> = new Set([
  "CreateContainerConfigError",
  "CreateContainerError",
  "PreCreateHookError",
  "PreStartHookError",
  "RunContainerError",
]);

const progress = (reason: ProgressReason, message: string): Judgement => ({
  reason,
  message,
  certain: false,
  progress: true,
});
const failure = (reason: FailureReason, message: string, certain: boolean): Judgement => ({
  reason,
  message,
  certain,
  progress: false,
});
/** Certain once `patienceMs` have passed since `sinceMs`. */
function after(reason: FailureReason, message: string, sinceMs: number, patienceMs: number, nowMs: number): Judgement {
  const leftMs = sinceMs + patienceMs - nowMs;
  const judged = failure(reason, message, leftMs <= 0);
  return leftMs <= 0 ? judged : { ...judged, againInMs: leftMs };
}

/**
 * Says why a target that should be up has no ready pod, and whether it ever can have one as things are.
 * One pod with hope is hope: it is certain only when it is certain of every pod. What keeps further pods from being made counts
 * only while there is none.
 * @returns undefined when a pod is ready
 */
export function judge(evidence: Evidence, nowMs: number, patience: Patience): Judgement | undefined {
  const { pods, createFailure } = evidence;
  if (pods.some(({ ready }) => ready)) return undefined;
  const live = pods.filter(({ phase }) => phase !== "Failed" && phase !== "Succeeded");
  if (live.length > 0) return mostHopeful(live.map((pod) => judgePod(pod, nowMs, patience)));
  if (createFailure !== undefined) return judgeCreateFailure(createFailure, nowMs, patience);
  // pods that are not restarted but replaced
  const failed = pods.filter(({ phase }) => phase === "Failed");
  if (failed.length > 0) {
    const message = `${times(failed.length, "pod")} ended, none runs: ${exitOf(failed[0]!.containers[0])}`;
    return failure("CrashLoop", message, failed.length >= patience.exits);
  }
  const others = evidence.replicas - pods.length;
  return progress(
    "PodMissing",
    others > 0
      ? `the target has ${times(others, "pod")}, and the Service selects none of them`
      : "no pod has been made yet",
  );
}

/** The one to wait for; of several the one that tells most. */
function mostHopeful(judged: readonly Judgement[]): Judgement {
  const uncertain = judged.filter(({ certain }) => !certain);
  const shown = uncertain.find((one) => !one.progress) ?? uncertain[0] ?? judged[0]!;
  const waits = judged.flatMap(({ againInMs }) => againInMs ?? []);
  const { againInMs: _, ...rest } = shown;
  return waits.length === 0 ? rest : { ...rest, againInMs: Math.min(...waits) };
}

function judgePod(pod: PodEvidence, nowMs: number, patience: Patience): Judgement {
  const { unscheduled } = pod;
  if (unscheduled !== undefined) return judgeUnscheduled(pod, unscheduled, nowMs, patience);
  const judged = pod.containers.flatMap((one) => judgeContainer(one, pod, nowMs, patience) ?? []);
  const worst = judged.find(({ certain }) => certain) ?? judged.find((one) => !one.progress) ?? judged[0];
  if (worst !== undefined) return worst;
  if (pod.containers.length === 0)
    return progress("Scheduling", `pod ${pod.name} waits for a node, or for the kubelet there`);
  return progress("NotReady", `pod ${pod.name} runs and is not ready yet`);
}

function judgeUnscheduled(
  pod: PodEvidence,
  { reason, message, sinceMs }: NonNullable<PodEvidence["unscheduled"]>,
  nowMs: number,
  patience: Patience,
): Judgement {
  // gates are opened by whoever set them, and a scheduler with an error of its own tries again
  if (reason !== "Unschedulable") return progress("Scheduling", `pod ${pod.name} waits for a node: ${reason}`);
  if (pod.nominated)
    return failure("Unschedulable", `pod ${pod.name}: others are being evicted for it: ${message}`, false);
  const fromMs = Math.max(sinceMs, pod.nodeComingMs ?? 0);
  const coming = pod.nodeComingMs === undefined ? "" : "a node was being made for it: ";
  return after("Unschedulable", `pod ${pod.name}: ${coming}${message}`, fromMs, patience.unschedulableMs, nowMs);
}

/** undefined: nothing is to be said of it. */
function judgeContainer(
  container: ContainerEvidence,
  pod: PodEvidence,
  nowMs: number,
  patience: Patience,
): Judgement | undefined {
  const { reason = "", message = "", exits } = container;
  const state = container.state === "unknown" ? "waiting" : container.state;
  const who = `pod ${pod.name}, container ${container.name}`;
  const words = `${who}: ${message === "" ? reason : message}`;
  if (state === "waiting") {
    if (neverThere.has(reason)) return failure("ImageNotFound", words, true);
    if (pullFailed.has(reason)) {
      if (isImageNotFound(message)) return failure("ImageNotFound", words, true);
      return failure("ImagePullFailed", words, container.pullFailures >= patience.pulls);
    }
    // one that was made once and cannot be run counts its exits
    if (notMade.has(reason) && exits === 0)
      return after("ContainerNotCreated", words, container.sinceMs, patience.repairMs, nowMs);
  }
  if (exits > 0) return judgeExits(container, who, nowMs, patience);
  return state === "waiting"
    ? progress("ContainerStarting", `${who} is being started${reason === "" ? "" : ` (${reason})`}`)
    : undefined;
}

function judgeExits(
  container: ContainerEvidence,
  who: string,
  nowMs: number,
  patience: Patience,
): Judgement | undefined {
  const { state, sinceMs, lastExit } = container;
  const ranMs = lastExit?.ranMs ?? 0;
  const exits = ranMs >= goodRunMs ? 1 : container.exits;
  const judged = failure(
    "CrashLoop",
    `${who} ended ${times(exits, "time")}: ${exitOf(container)}`,
    exits >= patience.exits,
  );
  if (state !== "running") return judged;
  const leftMs = sinceMs + Math.max(pastCrashMs, 2 * ranMs) - nowMs;
  return leftMs <= 0 ? undefined : { ...judged, againInMs: leftMs };
}

function judgeCreateFailure({ message, sinceMs }: CreateFailure, nowMs: number, patience: Patience): Judgement {
  const { kind, repairable } = createRefusalOf(message);
  const reason = kind === "quota" ? "QuotaExceeded" : "PodRefused";
  const words = `no pod can be made: ${message}`;
  return repairable ? after(reason, words, sinceMs, patience.repairMs, nowMs) : failure(reason, words, true);
}

/** How a container ended; what the application itself left as its termination message is its own. */
function exitOf(container: ContainerEvidence | undefined): string {
  const exit = container?.lastExit;
  if (exit === undefined) return "why is not known";
  return `exit code ${exit.exitCode}${exit.reason === undefined ? "" : ` (${exit.reason})`}`;
}

const times = (count: number, what: string): string => `${count} ${what}${count === 1 ? "" : "s"}`;
