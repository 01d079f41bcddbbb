import { type Clock, errorCode, errorText } from "@elasti/core";
import { type KubeClient, type Pod, resources, ScaleClient, type ScaleReference } from "@elasti/kube";
import type { Static } from "typebox";
import type { MetricSample, MetricTarget } from "../contracts.ts";
import { unknownSample } from "../metric-sample.ts";
import type { ResourceMetricSchema } from "../schema/policy.ts";
import { type Measured, measuredPods, type PodMetrics, unmeasured, usageOf } from "./pod-usage.ts";
import { SharedAnswers } from "./shared-answers.ts";

type Workload = NonNullable<MetricTarget["workload"]>;

/** A workload as a watch has it. */
type SeenWorkload =
  | {
      readonly kind: "found";
      readonly ref: ScaleReference;
      /** spec.replicas. */
      readonly replicas: number;
      readonly resourceVersion: string;
    }
  | { readonly kind: "missing" | "unknown"; readonly message: string };

export interface ResourceSourceOptions {
  readonly client: KubeClient;
  /** What is known of targets without asking. */
  readonly sources: { workload(workload: Workload): SeenWorkload };
  readonly clock: Clock;
  /** What was measured of a target stands for so long, in ms: a round. */
  readonly keepMs: number;
  /** Targets asked for at once; 4 where left out. */
  readonly concurrency?: number;
  readonly maxTargets?: number;
  readonly timeoutMs?: number;
}

/** The selector of a target's pods, as its scale had it at a version. */
interface Selector {
  readonly resourceVersion: string;
  readonly text: string;
}

const MAX_PODS = 5_000;
const PAGE = 500;

/**
 * CPU and memory of the pods of a target, as metrics.k8s.io has them. Two calls per target and round, for its pods and for what they
 * use; none where it has no replicas. Which pods are its own is asked once for each version of the target that the watch sees.
 */
export class ResourceSource {
  readonly #options: ResourceSourceOptions;
  readonly #maxTargets: number;
  readonly #scales: ScaleClient;
  readonly #answers: SharedAnswers<Measured>;
  readonly #selectors = new Map<string, Selector>();

  constructor(options: ResourceSourceOptions) {
    this.#options = options;
    this.#scales = new ScaleClient(options.client);
    const { clock, keepMs, concurrency = 4, maxTargets = 10_000 } = options;
    this.#maxTargets = maxTargets;
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
    const measured = await this.#answers.get(keyOf(workload), (closed) => this.#measure(workload, closed), signal);
    if (measured === undefined) return unknownSample("TooManyQuestions", "too many targets are measured", nowMs);
    if (measured.kind === "unknown") return measured;
    return usageOf(measured.pods, resource, statistic, measured.atMs);
  }

  close(): Promise<void> {
    return this.#answers.close();
  }

  async #measure(workload: Workload, signal: AbortSignal): Promise<Measured> {
    const { sources, clock, timeoutMs = 10_000 } = this.#options;
    const { namespace, name, kind } = workload;
    const target = `${kind} ${namespace}/${name}`;
    const atMs = clock.now();
    const options = { signal, timeoutMs };
    const noneRuns = unmeasured("PodMetricsMissing", `no pod of ${target} is running`, atMs);
    try {
      const seen = sources.workload(workload);
      if (seen.kind !== "found") return unmeasured("TargetNotMeasurable", seen.message, atMs);
      if (seen.replicas === 0) return noneRuns;
      const selector = await this.#selectorOf(keyOf(workload), seen, options);
      // an empty one would be every pod of the namespace
      if (selector === "") {
        return unmeasured("TargetNotMeasurable", `the scale of ${target} names no pods`, atMs);
      }
      const pods = await this.#pods(namespace, selector, options);
      if (pods === undefined) return unmeasured("TargetNotMeasurable", `more than ${MAX_PODS} pods`, atMs);
      const running = pods.filter(
        ({ metadata, status }) => metadata.deletionTimestamp === undefined && status?.phase === "Running",
      );
      if (running.length === 0) return noneRuns;
      const metrics = await this.#metrics(namespace, selector, options);
      if (typeof metrics === "string") return unmeasured("PodMetricsUnavailable", metrics, atMs);
      return measuredPods(running, metrics, atMs);
    } catch (error) {
      signal.throwIfAborted();
      return unmeasured("TargetNotMeasurable", errorText(error), atMs);
    }
  }

  /** Empty: its scale has none. A scale is a part of its object: while that has the same version it has the same selector. */
  async #selectorOf(
    key: string,
    { ref, resourceVersion }: Extract<SeenWorkload, { kind: "found" }>,
    options: CallOptions,
  ): Promise<string> {
    const kept = this.#selectors.get(key);
    if (kept?.resourceVersion === resourceVersion) return kept.text;
    const scale = await this.#scales.getScale(ref, options);
    const selector = { resourceVersion: scale.resourceVersion, text: scale.selector ?? "" };
    // at the end, so that the one that has stood longest comes first
    this.#selectors.delete(key);
    this.#selectors.set(key, selector);
    for (const oldest of this.#selectors.keys()) {
      if (this.#selectors.size <= this.#maxTargets) break;
      this.#selectors.delete(oldest);
    }
    return selector.text;
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

const keyOf = ({ namespace, apiVersion, kind, name }: Workload): string =>
  JSON.stringify([namespace, apiVersion, kind, name]);
