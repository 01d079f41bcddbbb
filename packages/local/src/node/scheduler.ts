import { type Clock, errorText, type Logger } from "@elasti/core";
import { type KubeClient, objectKey, type Pod, type Store } from "@elasti/kube";
import { KeyedWork } from "../controllers/keyed-work.ts";

/** Binds pods that name no node, round robin. */
export class Scheduler {
  readonly #client: KubeClient;
  readonly #pods: Store<Pod>;
  readonly #nodeNames: readonly string[];
  readonly #work: KeyedWork;
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
    this.#work = new KeyedWork({
      run: (key) => this.#bind(key),
      clock: options.clock,
      onError: (key, error) => options.logger.warn({ pod: key, error: errorText(error) }, "pod could not be scheduled"),
    });
  }

  start(): void {
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
