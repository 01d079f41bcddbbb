import { type Clock, errorCode, errorText } from "@elasti/core";
import { type Container, type KubeClient, type Pod, type RestMapper, resources, ScaleClient } from "@elasti/kube";
import type { Static } from "typebox";
import type { MetricSample, MetricTarget } from "../contracts.ts";
import type { ResourceMetricSchema } from "../schema/policy.ts";
import { parseQuantity } from "./quantity.ts";
import { type MetricReason, unknownSample, valueSample } from "./sample.ts";
import { SharedAnswers } from "./shared-answers.ts";

export interface ResourceSourceOptions {
  readonly client: KubeClient;
  readonly mapper: RestMapper;
  readonly clock: Clock;
  /** What was measured of a target stands for so long, in ms: a round. */
  readonly keepMs: number;
  /** Targets asked for at once; 4 where left out. */
  readonly concurrency?: number;
  readonly maxTargets?: number;
  readonly timeoutMs?: number;
}

type Resource = Static<typeof ResourceMetricSchema>["resource"];
type Amounts = Readonly<Record<string, unknown>>;

/** What is read of a PodMetrics of metrics.k8s.io. */
interface PodMetrics {
  readonly metadata?: { readonly name?: string };
  readonly timestamp?: string;
  readonly containers?: readonly { readonly name?: string; readonly usage?: Amounts }[];
}
interface MeasuredContainer extends Container {
  readonly resources?: { readonly requests?: Amounts };
}

interface Unmeasured {
  readonly kind: "unknown";
  readonly reason: MetricReason;
  readonly message: string;
  readonly atMs: number;
}
type Measured = Unmeasured | { readonly kind: "pods"; readonly pods: readonly MeasuredPod[]; readonly atMs: number };
interface MeasuredPod {
  readonly name: string;
  readonly containers: readonly MeasuredContainer[];
  readonly usage: readonly Amounts[];
}

/** A pod that has just begun has not been measured yet, and is left out for so long. */
const NEW_MS = 120_000;
/** Measurements older than this are none. */
const STALE_MS = 300_000;
const MAX_PODS = 5_000;
const PAGE = 500;

/** CPU and memory of the pods of a target, as metrics.k8s.io has them. */
export class ResourceSource {
  readonly #options: ResourceSourceOptions;
  readonly #scales: ScaleClient;
  readonly #answers: SharedAnswers<Measured>;

  constructor(options: ResourceSourceOptions) {
    this.#options = options;
    this.#scales = new ScaleClient(options.client);
    const { clock, keepMs, concurrency = 4, maxTargets = 10_000 } = options;
    this.#answers = new SharedAnswers({ clock, keepMs, concurrency, maxEntries: maxTargets });
  }

  async read(
    { resource, statistic = "utilization" }: Static<typeof ResourceMetricSchema>,
    target: MetricTarget,
    nowMs: number,
    signal: AbortSignal,
  ): Promise<MetricSample> {
    const workload = target.workload ?? {
      namespace: target.namespace,
      name: target.name,
      apiVersion: target.api_version ?? "apps/v1",
      kind: target.kind ?? "Deployment",
    };
    const { namespace, name, apiVersion, kind } = workload;
    const key = JSON.stringify([namespace, apiVersion, kind, name]);
    const measured = await this.#answers.get(key, (closed) => this.#measure(workload, closed), signal);
    if (measured === undefined) return unknownSample("TooManyQuestions", "too many targets are measured", nowMs);
    if (measured.kind === "unknown") return measured;
    return resultOf(measured.pods, resource, statistic, measured.atMs);
  }

  close(): Promise<void> {
    return this.#answers.close();
  }

  async #measure(workload: NonNullable<MetricTarget["workload"]>, signal: AbortSignal): Promise<Measured> {
    const { mapper, clock, timeoutMs = 10_000 } = this.#options;
    const { namespace, name, apiVersion, kind } = workload;
    const atMs = clock.now();
    const options = { signal, timeoutMs };
    try {
      const resource = await mapper.mapScalable({ apiVersion, kind });
      const scale = await this.#scales.getScale({ resource, namespace, name }, options);
      // an empty one would be every pod of the namespace
      if (scale.selector === undefined || scale.selector === "") {
        return unmeasured("TargetNotMeasurable", `the scale of ${kind} ${namespace}/${name} names no pods`, atMs);
      }
      const pods = await this.#pods(namespace, scale.selector, options);
      if (pods === undefined) return unmeasured("TargetNotMeasurable", `more than ${MAX_PODS} pods`, atMs);
      const running = pods.filter(
        ({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.phase === "Running",
      );
      if (running.length === 0) {
        return unmeasured("PodMetricsMissing", `no pod of ${kind} ${namespace}/${name} is running`, atMs);
      }
      return together(running, await this.#metrics(namespace, scale.selector, options), atMs);
    } catch (error) {
      signal.throwIfAborted();
      return unmeasured("TargetNotMeasurable", errorText(error), atMs);
    }
  }

  async #pods(namespace: string, labelSelector: string, options: CallOptions): Promise<Pod[] | undefined> {
    const pods: Pod[] = [];
    let next: string | undefined;
    do {
      const from = next === undefined ? {} : { continue: next };
      const asked = { namespace, labelSelector, limit: PAGE, ...from, ...options };
      const list = await this.#options.client.list<Pod>(resources.pods, asked);
      pods.push(...list.items);
      if (pods.length > MAX_PODS) return undefined;
      next = list.metadata.continue === "" ? undefined : list.metadata.continue;
    } while (next !== undefined);
    return pods;
  }

  /** @returns a text where nobody answers for metrics.k8s.io */
  async #metrics(namespace: string, selector: string, options: CallOptions): Promise<readonly PodMetrics[] | string> {
    const path = `/apis/metrics.k8s.io/v1beta1/namespaces/${encodeURIComponent(namespace)}/pods`;
    try {
      // not `list`: what answers here gives its lists no resourceVersion
      const query = `labelSelector=${encodeURIComponent(selector)}`;
      const list = await this.#options.client.raw<{ items?: PodMetrics[] }>(
        "GET",
        `${path}?${query}`,
        undefined,
        options,
      );
      return list.items ?? [];
    } catch (error) {
      options.signal.throwIfAborted();
      return errorCode(error) === "ELASTI_KUBE_NOT_FOUND"
        ? "the cluster does not serve metrics.k8s.io: is metrics-server installed?"
        : errorText(error);
    }
  }
}

interface CallOptions {
  readonly signal: AbortSignal;
  readonly timeoutMs: number;
}

const unmeasured = (reason: MetricReason, message: string, atMs: number): Unmeasured => ({
  kind: "unknown",
  reason,
  message,
  atMs,
});

/** Pods with what was measured of them; every one that is not new must have been. */
function together(pods: readonly Pod[], metrics: readonly PodMetrics[] | string, nowMs: number): Measured {
  if (typeof metrics === "string") return unmeasured("PodMetricsUnavailable", metrics, nowMs);
  const byName = new Map(metrics.map((one) => [one.metadata?.name, one]));
  const measured: MeasuredPod[] = [];
  for (const { metadata, spec, status } of pods) {
    const { containers = [], timestamp } = byName.get(metadata.name) ?? {};
    const stale = timestamp !== undefined && nowMs - Date.parse(timestamp) > STALE_MS;
    if (containers.length > 0 && !stale) {
      // those that stay beside the others are measured as they are
      const beside = (spec.initContainers ?? []).filter(({ restartPolicy }) => restartPolicy === "Always");
      const usage = containers.map((container) => container.usage ?? {});
      measured.push({ name: metadata.name, containers: [...spec.containers, ...beside], usage });
    } else if (!(nowMs - Date.parse(status?.startTime ?? "") < NEW_MS)) {
      return unmeasured("PodMetricsMissing", `pod ${metadata.name} has not been measured`, nowMs);
    }
  }
  if (measured.length === 0) return unmeasured("PodMetricsMissing", "no pod has been measured yet", nowMs);
  return { kind: "pods", pods: measured, atMs: nowMs };
}

function resultOf(
  pods: readonly MeasuredPod[],
  resource: Resource,
  statistic: "utilization" | "average_value",
  atMs: number,
): MetricSample {
  let used = 0;
  let requested = 0;
  for (const { name, containers, usage } of pods) {
    for (const amounts of usage) {
      const amount = parseQuantity(amounts[resource]);
      if (amount === undefined) {
        return unknownSample("PodMetricsMissing", `${resource} of pod ${name} has not been measured`, atMs);
      }
      used += amount;
    }
    if (statistic === "average_value") continue;
    for (const container of containers) {
      const request = parseQuantity(container.resources?.requests?.[resource]);
      if (request === undefined || request <= 0) {
        const message = `container ${container.name} of pod ${name} requests no ${resource}`;
        return unknownSample("ResourceRequestsMissing", message, atMs);
      }
      requested += request;
    }
  }
  return valueSample(statistic === "utilization" ? (100 * used) / requested : used / pods.length, atMs);
}
