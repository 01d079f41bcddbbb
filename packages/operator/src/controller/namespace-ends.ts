import type { ElastiService } from "@elasti/api";
import { type Clock, errorText, type Logger, type Metrics } from "@elasti/core";
import { isNotFound, type KubeClient, type KubeObject, Reflector, resources } from "@elasti/kube";

export interface NamespaceEndsOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics?: Metrics;
  /** Those that are looked after; all when empty. */
  readonly namespaces: readonly string[];
}

/**
 * Whether a namespace is being deleted. All of them are watched where all are looked after; that is a right for the whole cluster,
 * so that otherwise each is asked for when an ElastiService in it goes.
 */
export class NamespaceEnds {
  readonly #options: NamespaceEndsOptions;
  readonly #all: Reflector<KubeObject> | undefined;

  constructor(options: NamespaceEndsOptions) {
    this.#options = options;
    const { client, clock, logger, metrics } = options;
    if (options.namespaces.length === 0)
      this.#all = new Reflector<KubeObject>({ client, clock, logger, metrics, resource: resources.namespaces });
  }

  /** Nothing waits for the list: that a namespace goes, matters only when one does. */
  start(): void {
    this.#all?.start().catch(() => {});
  }

  /** Whether the namespace of an ElastiService goes with everything in it. */
  async going({ metadata }: ElastiService): Promise<boolean> {
    const { namespace = "", deletionTimestamp } = metadata;
    if (this.#all !== undefined) return isGoing(this.#all.store.get(undefined, namespace));
    if (deletionTimestamp === undefined) return false;
    const { client, logger } = this.#options;
    try {
      return isGoing(await client.get<KubeObject>(resources.namespaces, undefined, namespace));
    } catch (error) {
      if (isNotFound(error)) return true;
      logger.warn({ namespace, error: errorText(error) }, "cannot be read: taken as one that stays");
      return false;
    }
  }

  async close(): Promise<void> {
    await this.#all?.close();
  }
}

const isGoing = (namespace: KubeObject | undefined): boolean => namespace?.metadata.deletionTimestamp !== undefined;
