import type { Clock, Logger } from "@elasti/core";
import { type KubeClient, objectKey, type Pod, type Store, WorkQueue } from "@elasti/kube";
import { againWhenStale, workSettings } from "../controllers/work-settings.ts";

/** Binds pods that name no node, round robin. */
export class Scheduler {
  readonly #client: KubeClient;
  readonly #pods: Store<Pod>;
  readonly #nodeNames: readonly string[];
  readonly #work: WorkQueue;
  #next = 0;
  #unsubscribe: (() => void) | undefined;

  constructor(options: {
    client: KubeClient;
    clock: Clock;
    logger: Logger;
    pods: Store<Pod>;
    nodeNames: readonly string[];
  }) {
    this.#client = options.client;
    this.#pods = options.pods;
    this.#nodeNames = options.nodeNames;
    this.#work = new WorkQueue({ ...options, ...workSettings });
  }

  start(): void {
    this.#work.start(againWhenStale((key) => this.#bind(key)));
    this.#unsubscribe = this.#pods.on(
      "change",
      ({ type, object }) => {
        if (type !== "deleted" && isUnscheduled(object)) this.#work.add(objectKey(object));
      },
      { replay: true },
    );
  }

  async close(): Promise<void> {
    this.#unsubscribe?.();
    await this.#work.close();
  }

  async #bind(key: string): Promise<void> {
    const pod = this.#pods.getByKey(key);
    if (pod === undefined || !isUnscheduled(pod)) return;
    const { name, namespace, uid } = pod.metadata;
    const node = this.#nodeNames[this.#next % this.#nodeNames.length]!;
    this.#next += 1;
    await this.#client.raw("POST", `/api/v1/namespaces/${namespace}/pods/${name}/binding`, {
      apiVersion: "v1",
      kind: "Binding",
      metadata: { name, namespace, uid },
      target: { apiVersion: "v1", kind: "Node", name: node },
    });
  }
}

function isUnscheduled({ spec, metadata }: Pod): boolean {
  return (spec.nodeName ?? "") === "" && metadata.deletionTimestamp === undefined;
}
