import { Backoff, type Clock, ElastiError, errorText, type Logger } from "@elasti/core";
import { isConflict, isNotFound, type KubeClient, objectKey, type Pod, resources, type Store } from "@elasti/kube";
import type { AddressPlan } from "./address-plan.ts";
import type { ContainerOutput } from "./container-process.ts";
import type { OrphanGuard } from "./orphan-guard.ts";
import { PodWorker } from "./pod-worker.ts";
import { defaultRestartSettings, type RestartSettings } from "./restart-backoff.ts";

export interface KubeletOptions {
  client: KubeClient;
  clock: Clock;
  logger: Logger;
  /** All pods; the kubelet takes those that name its node. */
  pods: Store<Pod>;
  plan: AddressPlan;
  guard: OrphanGuard;
  /** Number of the node, from 1, and its name. */
  node: number;
  nodeName: string;
  baseEnv: Readonly<Record<string, string>>;
  restart?: RestartSettings;
  /** Where a pod's output goes. */
  outputOf?: (pod: Pod) => ContainerOutput | undefined;
}

/** The node's agent: one worker per pod that is assigned to it. */
export class Kubelet {
  readonly #options: KubeletOptions;
  readonly #workers = new Map<string, PodWorker>();
  readonly #closing = new AbortController();
  readonly #removals = new Set<Promise<void>>();
  #unsubscribe: (() => void) | undefined;

  constructor(options: KubeletOptions) {
    this.#options = options;
  }

  start(): void {
    this.#unsubscribe = this.#options.pods.on(
      "change",
      ({ type, object }) => {
        if (object.spec.nodeName !== this.#options.nodeName) return;
        if (type === "deleted") this.#remove(object.metadata.uid!);
        else this.#upsert(object);
      },
      { replay: true },
    );
  }

  /** Kills what runs, at once, and waits until it is gone. Writes nothing: the API server goes too. */
  async close(): Promise<void> {
    this.#unsubscribe?.();
    this.#closing.abort();
    for (const uid of [...this.#workers.keys()]) this.#remove(uid);
    await Promise.all(this.#removals);
  }

  #upsert(pod: Pod): void {
    const uid = pod.metadata.uid!;
    const known = this.#workers.get(uid);
    if (known !== undefined) {
      known.update(pod);
      return;
    }
    const { phase } = pod.status ?? {};
    if (
      this.#closing.signal.aborted ||
      ((phase === "Succeeded" || phase === "Failed") && pod.metadata.deletionTimestamp === undefined)
    )
      return;
    const { plan, node, nodeName, clock, logger, guard, baseEnv, restart, outputOf } = this.#options;
    const worker = new PodWorker({
      pod,
      place: { podIP: plan.nextPodAddress(node), hostIP: plan.nodeAddress(node), nodeName },
      clock,
      logger,
      guard,
      baseEnv,
      restart: restart ?? defaultRestartSettings,
      output: outputOf?.(pod),
      writeStatus: (status) => this.#writeStatus(pod, status),
      finish: () => this.#finish(pod),
    });
    this.#workers.set(uid, worker);
    if (pod.metadata.deletionTimestamp !== undefined) worker.update(pod);
    worker.start();
  }

  #remove(uid: string): void {
    const worker = this.#workers.get(uid);
    if (worker === undefined) return;
    this.#workers.delete(uid);
    const removal = worker.remove().finally(() => this.#removals.delete(removal));
    this.#removals.add(removal);
  }

  async #writeStatus(pod: Pod, status: NonNullable<Pod["status"]>): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    await this.#persist(pod, () =>
      this.#options.client.patch(
        resources.pods,
        namespace,
        name,
        "merge",
        { metadata: { uid }, status },
        { subresource: "status" },
      ),
    );
  }

  async #finish(pod: Pod): Promise<void> {
    const { name, namespace, uid } = pod.metadata;
    await this.#persist(pod, () =>
      this.#options.client.delete(resources.pods, namespace, name, { gracePeriodSeconds: 0, uid: uid! }),
    );
  }

  /** Tries a write until it is accepted, the pod is gone or replaced, or the kubelet closes. */
  async #persist(pod: Pod, write: () => Promise<unknown>): Promise<void> {
    const { clock, logger } = this.#options;
    const backoff = new Backoff(20, 5_000);
    while (!this.#closing.signal.aborted) {
      try {
        await write();
        return;
      } catch (error) {
        if (isNotFound(error) || isConflict(error)) return;
        if (this.#closing.signal.aborted || !this.#workers.has(pod.metadata.uid!)) return;
        logger.warn({ pod: objectKey(pod), error: errorText(error) }, "the kubelet could not write");
        if (error instanceof ElastiError && !error.retryable) return;
        await clock.sleep(backoff.next(), this.#closing.signal).catch(() => {});
      }
    }
  }
}
