import type { Container, Pod, PodSpec } from "@elasti/kube";
import type { Static } from "typebox";
import type { MetricSample } from "../contracts.ts";
import { type MetricReason, unknownSample, valueSample } from "../metric-sample.ts";
import type { ResourceMetricSchema } from "../schema/policy.ts";
import { parseQuantity } from "./quantity.ts";

type Resource = Static<typeof ResourceMetricSchema>["resource"];
type Amounts = Readonly<Record<string, unknown>>;

/** What is read of a PodMetrics of metrics.k8s.io. It has no uid: a pod is known by its name. */
export interface PodMetrics {
  readonly metadata?: { readonly name?: string };
  /** Of the older of its containers' measurements, by the second. */
  readonly timestamp?: string;
  readonly containers?: readonly { readonly name?: string; readonly usage?: Amounts }[];
}

interface Requesting {
  readonly resources?: { readonly requests?: Amounts };
}

export interface Unmeasured {
  readonly kind: "unknown";
  readonly reason: MetricReason;
  readonly message: string;
  readonly atMs: number;
}
export type Measured =
  | Unmeasured
  | { readonly kind: "pods"; readonly pods: readonly MeasuredPod[]; readonly atMs: number };

interface MeasuredPod {
  readonly name: string;
  readonly spec: PodSpec & Requesting;
  readonly usage: readonly Amounts[];
}

/** A pod that has just begun has not been measured yet, and is left out for so long. */
const NEW_MS = 120_000;
/** Measurements older than this are none. */
const STALE_MS = 300_000;

export const unmeasured = (reason: MetricReason, message: string, atMs: number): Unmeasured => ({
  kind: "unknown",
  reason,
  message,
  atMs,
});

/** Pods with what was measured of them; every one that is not new must have been, with all of its containers that run. */
export function measuredPods(pods: readonly Pod[], metrics: readonly PodMetrics[], nowMs: number): Measured {
  const byName = new Map(metrics.map((one) => [one.metadata?.name, one]));
  const measured: MeasuredPod[] = [];
  for (const pod of pods) {
    const { metadata, spec } = pod;
    const startedMs = Date.parse(pod.status?.startTime ?? "");
    const { containers = [], timestamp = "" } = byName.get(metadata.name) ?? {};
    const unseen = unseenPart(pod, startedMs, containers, Date.parse(timestamp), nowMs);
    if (unseen === undefined) {
      const usage = containers.map((container) => container.usage ?? {});
      measured.push({ name: metadata.name, spec, usage });
    } else if (!(nowMs - startedMs < NEW_MS)) {
      return unmeasured("PodMetricsMissing", `${unseen} has not been measured`, nowMs);
    }
  }
  if (measured.length === 0) return unmeasured("PodMetricsMissing", "no pod has been measured yet", nowMs);
  return { kind: "pods", pods: measured, atMs: nowMs };
}

/** What of a pod has not been measured, or undefined. */
function unseenPart(
  { metadata, status }: Pod,
  startedMs: number,
  containers: NonNullable<PodMetrics["containers"]>,
  measuredMs: number,
  nowMs: number,
): string | undefined {
  const pod = `pod ${metadata.name}`;
  // until it began another had its name, as pods of a StatefulSet have one after another; both times are whole seconds, and what is
  // measured of a pod is so over some of them
  if (containers.length === 0 || nowMs - measuredMs > STALE_MS || measuredMs <= startedMs) return pod;
  // metrics-server leaves out a container whose counters went back, and says nothing of it
  const names = new Set(containers.map(({ name }) => name));
  const running = [...(status?.containerStatuses ?? []), ...(status?.initContainerStatuses ?? [])].filter(
    ({ state }) => state?.running !== undefined,
  );
  const missing = running.find(({ name }) => !names.has(name));
  return missing === undefined ? undefined : `container ${missing.name} of ${pod}`;
}

/** What they use together: percent of what they request, or the average of a pod. */
export function usageOf(
  pods: readonly MeasuredPod[],
  resource: Resource,
  statistic: "utilization" | "average_value",
  atMs: number,
): MetricSample {
  let used = 0;
  let requested = 0;
  for (const { name, spec, usage } of pods) {
    for (const amounts of usage) {
      const amount = parseQuantity(amounts[resource]);
      if (amount === undefined) {
        return unknownSample("PodMetricsMissing", `${resource} of pod ${name} has not been measured`, atMs);
      }
      used += amount;
    }
    if (statistic === "average_value") continue;
    const request = requestOf(spec, resource);
    if (typeof request === "string") {
      const message = `container ${request} of pod ${name} requests no ${resource}`;
      return unknownSample("ResourceRequestsMissing", message, atMs);
    }
    requested += request;
  }
  return valueSample(statistic === "utilization" ? (100 * used) / requested : used / pods.length, atMs);
}

/** What a pod requests, as a whole or by its containers; the name of a container that requests nothing. */
function requestOf(spec: PodSpec & Requesting, resource: Resource): number | string {
  const own = amountOf(spec, resource);
  if (own !== undefined) return own;
  // those that stay beside the others are measured as they are
  const beside = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
  let sum = 0;
  for (const container of [...spec.containers, ...beside] as (Container & Requesting)[]) {
    const request = amountOf(container, resource);
    if (request === undefined) return container.name;
    sum += request;
  }
  return sum;
}

/** More than zero, or undefined. */
function amountOf({ resources }: Requesting, resource: Resource): number | undefined {
  const amount = parseQuantity(resources?.requests?.[resource]);
  return amount !== undefined && amount > 0 ? amount : undefined;
}
