import type { Clock, Logger, Metrics } from "@elasti/core";
import { ListWatch } from "./list-watch.ts";
import { type Indexer, Store } from "./store.ts";
import type { KubeClient, KubeObject, Resource } from "./types.ts";

export interface ReflectorOptions<T extends KubeObject> {
  client: KubeClient;
  resource: Resource;
  /** The only one to be watched; all when left out. */
  namespace?: string | undefined;
  /** Several to be watched, each by itself, so that no right beyond them is needed; empty is as if left out. */
  namespaces?: readonly string[] | undefined;
  /**
   * Of several namespaces, one whose first list is forbidden counts as empty while another can be listed: it was deleted, and
   * its Roles with it. It is tried again as ever. For who does no harm by seeing its objects later than those of other kinds.
   */
  leaveOutForbidden?: boolean;
  labelSelector?: string | undefined;
  fieldSelector?: string | undefined;
  logger: Logger;
  clock: Clock;
  metrics?: Metrics | undefined;
  indexers?: Readonly<Record<string, Indexer<T>>>;
  /** What is kept of an object; by default all but `metadata.managedFields`. Must keep apiVersion, kind and metadata. */
  transform?: (object: T) => T;
  pageSize?: number;
  /**
   * A watch that says nothing for so long, not even a bookmark, is opened anew. They come once a minute, but not while the
   * newest version is the one that the watch began with: on a quiet cluster this happens to watches in good order too.
   */
  silenceMs?: number;
  /** Hears of each failed attempt in place of the log: for kinds that need not be there. Tries go on either way. */
  onFailure?: (error: unknown) => void;
  /** Delays between failed attempts. */
  backoff?: { minMs: number; maxMs: number };
  random?: () => number;
}

/** A store that is kept equal to what the API server holds, of one namespace, of several, or of all. */
export class Reflector<T extends KubeObject> {
  readonly store: Store<T>;
  readonly #parts: readonly ListWatch<T>[];

  constructor(options: ReflectorOptions<T>) {
    const { resource, namespace, namespaces = [], leaveOutForbidden = false, indexers = {}, logger } = options;
    this.store = new Store<T>({ indexers, logger: logger.child({ resource: resource.plural }) });
    const wanted = new Set(namespaces.length === 0 ? [namespace] : namespaces);
    const mayBeLeftOut = leaveOutForbidden && wanted.size > 1;
    this.#parts = [...wanted].map((one) => new ListWatch(options, this.store, one, mayBeLeftOut));
  }

  /** Whether the first list is in, of every namespace that is not left out. */
  get synced(): boolean {
    return this.#parts.every(({ synced, leftOut }) => synced || leftOut) && this.#parts.some(({ synced }) => synced);
  }

  /** Why the last attempt failed, or undefined when it did not. */
  get lastError(): unknown {
    return this.#parts.find(({ lastError, leftOut }) => lastError !== undefined && !leftOut)?.lastError;
  }

  /**
   * Resolves when the first list is in the store, of every namespace that is not left out; tries for as long as that takes.
   * Rejects when closed before.
   */
  start(): Promise<void> {
    const [only, ...others] = this.#parts.map((part) => part.start());
    return others.length === 0 && only !== undefined ? only : Promise.all([only, ...others]).then(() => {});
  }

  async close(): Promise<void> {
    await Promise.all(this.#parts.map((part) => part.close()));
  }
}
