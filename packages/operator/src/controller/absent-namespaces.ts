import type { Clock, Logger, Timer } from "@elasti/core";
import { isForbidden, isNotFound, type KubeClient, resources } from "@elasti/kube";

/**
 * Those of the namespaces that this account may know nothing of: they were deleted, and their Roles with them, or are yet to
 * be made. Who waited for their lists would wait for ever. Whatever else goes wrong does not count: lists are tried again then.
 * @returns none where it is one namespace, or all: there would be nothing to look after
 */
export async function findAbsent(client: KubeClient, namespaces: readonly string[]): Promise<string[]> {
  if (namespaces.length < 2) return [];
  const absent = await Promise.all(namespaces.map((namespace) => isAbsent(client, namespace)));
  const found = namespaces.filter((_, index) => absent[index]);
  return found.length === namespaces.length ? [] : found;
}

async function isAbsent(client: KubeClient, namespace: string): Promise<boolean> {
  try {
    await client.list(resources.elastiServices, { namespace, limit: 1 });
    return false;
  } catch (error) {
    if (!isForbidden(error)) return false;
  }
  try {
    // one that is there, and in which a right is missing, is to be mended and not to be overlooked
    await client.get(resources.namespaces, undefined, namespace);
    return false;
  } catch (error) {
    return isForbidden(error) || isNotFound(error);
  }
}

export interface AbsentNamespacesOptions {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Called once, when the first of them is there. */
  readonly onThere: (namespace: string) => void;
  /** How often it is looked: nothing can be watched of what may not be read. */
  readonly everyMs?: number;
}

/** Looks now and then whether a namespace that was left out at the start is there. */
export class AbsentNamespaces {
  readonly #options: AbsentNamespacesOptions;
  readonly #namespaces: readonly string[];
  #timer: Timer | undefined;
  #closed = false;

  /** @param namespaces as `findAbsent` gave them */
  constructor(options: AbsentNamespacesOptions, namespaces: readonly string[]) {
    this.#options = options;
    this.#namespaces = namespaces;
  }

  start(): void {
    const { logger } = this.#options;
    for (const namespace of this.#namespaces)
      logger.warn({ namespace }, "is not there, or not one right in it: left out until it is");
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    const { clock, everyMs = 30_000 } = this.#options;
    if (!this.#closed && this.#namespaces.length > 0) this.#timer = clock.after(everyMs, () => void this.#look());
  }

  async #look(): Promise<void> {
    const { client, logger, onThere } = this.#options;
    for (const namespace of this.#namespaces) {
      const listed = await client.list(resources.elastiServices, { namespace, limit: 1 }).then(
        () => true,
        () => false,
      );
      if (this.#closed) return;
      if (!listed) continue;
      logger.info({ namespace }, "is there now");
      onThere(namespace);
      return;
    }
    this.#arm();
  }
}
