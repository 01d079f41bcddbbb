import { errorText, type Logger, silentLogger } from "@elasti/core";
import type { KubeObject } from "./types.ts";

export type StoreEvent<T extends KubeObject> =
  | { readonly type: "added"; readonly object: T }
  | { readonly type: "modified"; readonly object: T; readonly old: T }
  | { readonly type: "deleted"; readonly object: T };

export type StoreListener<T extends KubeObject> = (event: StoreEvent<T>) => void;

/** Gives the index keys of an object, e.g. the services that an EndpointSlice belongs to. */
export type Indexer<T extends KubeObject> = (object: T) => readonly string[];

export interface StoreOptions<T extends KubeObject> {
  indexers?: Readonly<Record<string, Indexer<T>>>;
  logger?: Logger;
}

/** `namespace/name`, or `name` of what has no namespace. */
export function keyOf(namespace: string | undefined, name: string): string {
  return namespace === undefined || namespace === "" ? name : `${namespace}/${name}`;
}

export function objectKey(object: KubeObject): string {
  return keyOf(object.metadata.namespace, object.metadata.name);
}

/**
 * Objects of one kind as last seen, frozen: whoever wants to change one copies it. A reflector keeps it; a test may feed it
 * by hand.
 */
export class Store<T extends KubeObject> {
  readonly #objects = new Map<string, T>();
  readonly #indexers: readonly (readonly [string, Indexer<T>])[];
  /** index name -> index key -> object keys */
  readonly #indexes = new Map<string, Map<string, Set<string>>>();
  readonly #listeners = new Set<StoreListener<T>>();
  readonly #logger: Logger;

  constructor(options: StoreOptions<T> = {}) {
    this.#logger = options.logger ?? silentLogger;
    this.#indexers = Object.entries(options.indexers ?? {});
    for (const [name] of this.#indexers) this.#indexes.set(name, new Map());
  }

  get size(): number {
    return this.#objects.size;
  }

  get(namespace: string | undefined, name: string): T | undefined {
    return this.#objects.get(keyOf(namespace, name));
  }

  /** @param key `namespace/name` */
  getByKey(key: string): T | undefined {
    return this.#objects.get(key);
  }

  list(): T[] {
    return [...this.#objects.values()];
  }

  /** The objects that the indexer `index` filed under `key`. Throws for an index that was not declared. */
  byIndex(index: string, key: string): T[] {
    const entries = this.#indexes.get(index);
    if (entries === undefined) throw new TypeError(`no index named ${index}`);
    return [...(entries.get(key) ?? [])].map((objectKeyed) => this.#objects.get(objectKeyed)!);
  }

  /**
   * Calls `listener` on every change, in order, after the store has it. A throw is logged and harms nobody else.
   * @param options.replay first tells what is there as `added`
   * @returns ends the subscription
   */
  on(_event: "change", listener: StoreListener<T>, options: { replay?: boolean } = {}): () => void {
    // one registration per call, even of the same function
    const own: StoreListener<T> = (event) => listener(event);
    this.#listeners.add(own);
    if (options.replay === true) for (const object of this.list()) this.#tell(own, { type: "added", object });
    return () => void this.#listeners.delete(own);
  }

  /** Resolves with the first value that `look` gives, now or after any change; rejects when `signal` aborts. */
  until<V>(look: (store: this) => V | undefined, signal?: AbortSignal): Promise<V> {
    return new Promise((resolve, reject) => {
      const check = (): boolean => {
        const value = look(this);
        if (value === undefined) return false;
        end();
        resolve(value);
        return true;
      };
      const onAbort = () => {
        end();
        reject(signal!.reason);
      };
      let stop = () => {};
      const end = () => {
        stop();
        signal?.removeEventListener("abort", onAbort);
      };
      if (signal?.aborted) return reject(signal.reason);
      if (check()) return;
      stop = this.on("change", () => {
        try {
          check();
        } catch (error) {
          end();
          reject(error);
        }
      });
      signal?.addEventListener("abort", onAbort, { once: true });
    });
  }

  /** Takes an object as its newest state; the same resourceVersion again changes nothing. */
  upsert(object: T): void {
    const key = objectKey(object);
    const old = this.#objects.get(key);
    if (old !== undefined) {
      const { uid, resourceVersion } = old.metadata;
      if (
        uid === object.metadata.uid &&
        resourceVersion !== undefined &&
        resourceVersion === object.metadata.resourceVersion
      )
        return;
      // deleted and made anew while nobody looked: another object that has the same name
      if (uid !== undefined && object.metadata.uid !== undefined && uid !== object.metadata.uid) {
        this.remove(old);
        this.upsert(object);
        return;
      }
    }
    deepFreeze(object);
    if (old !== undefined) this.#unindex(key, old);
    this.#objects.set(key, object);
    this.#index(key, object);
    this.#emit(old === undefined ? { type: "added", object } : { type: "modified", object, old });
  }

  /** Forgets an object; the event carries `object`, its last state. */
  remove(object: T): void {
    const key = objectKey(object);
    const old = this.#objects.get(key);
    if (old === undefined) return;
    this.#objects.delete(key);
    this.#unindex(key, old);
    this.#emit({ type: "deleted", object: deepFreeze(object) });
  }

  /**
   * Makes the store hold exactly `objects`: what is not among them is deleted first.
   * @param namespace only what is in it; all when left out
   */
  replaceAll(objects: readonly T[], namespace?: string): void {
    const listed = new Set(objects.map(objectKey));
    for (const [key, object] of [...this.#objects])
      if (!listed.has(key) && (namespace === undefined || object.metadata.namespace === namespace)) this.remove(object);
    for (const object of objects) this.upsert(object);
  }

  #emit(event: StoreEvent<T>): void {
    for (const listener of [...this.#listeners]) if (this.#listeners.has(listener)) this.#tell(listener, event);
  }

  #tell(listener: StoreListener<T>, event: StoreEvent<T>): void {
    try {
      listener(event);
    } catch (error) {
      this.#logger.error({ object: objectKey(event.object), error: errorText(error) }, "store listener failed");
    }
  }

  #index(key: string, object: T): void {
    for (const [name, indexer] of this.#indexers) {
      const entries = this.#indexes.get(name)!;
      for (const indexKey of indexer(object)) {
        const keys = entries.get(indexKey);
        if (keys === undefined) entries.set(indexKey, new Set([key]));
        else keys.add(key);
      }
    }
  }

  #unindex(key: string, object: T): void {
    for (const [name, indexer] of this.#indexers) {
      const entries = this.#indexes.get(name)!;
      for (const indexKey of indexer(object)) {
        const keys = entries.get(indexKey);
        keys?.delete(key);
        if (keys?.size === 0) entries.delete(indexKey);
      }
    }
  }
}

function deepFreeze<V>(value: V): V {
  if (typeof value === "object" && value !== null && !Object.isFrozen(value)) {
    Object.freeze(value);
    for (const part of Object.values(value)) deepFreeze(part);
  }
  return value;
}
