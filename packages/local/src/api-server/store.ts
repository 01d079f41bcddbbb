import { type ApiObject, deepFreeze } from "./json.ts";
import { expired } from "./status-error.ts";

/** One change. `object` carries the new resourceVersion, also when it is the last state of something deleted. */
export interface StoreEvent {
  readonly revision: number;
  readonly type: "ADDED" | "MODIFIED" | "DELETED";
  /** `group/plural` of the resource. */
  readonly collection: string;
  readonly key: string;
  readonly object: ApiObject;
  /** What was stored before; undefined for ADDED. */
  readonly previous: ApiObject | undefined;
}

export type StoreListener = (event: StoreEvent) => void;

/** `namespace/name`; cluster-scoped objects have an empty namespace. */
export function objectKey(namespace: string | undefined, name: string): string {
  return `${namespace ?? ""}/${name}`;
}

export function keyOf(object: ApiObject): string {
  return objectKey(object.metadata.namespace, object.metadata.name);
}

/**
 * All objects, under one revision counter as in etcd. Objects are frozen and shared: a reader never copies, a writer
 * hands in a new object. The last `window` events are kept, for watches that resume and for lists as of an older revision.
 */
export class Store {
  readonly #collections = new Map<string, Map<string, ApiObject>>();
  readonly #listeners = new Set<StoreListener>();
  readonly #window: number;
  /** A ring: the event of revision r stands at `r % window`, because every revision has exactly one event. */
  readonly #events: (StoreEvent | undefined)[];
  readonly #firstRevision: number;
  #revision: number;

  constructor(options: { window: number; firstRevision?: number }) {
    this.#window = options.window;
    this.#events = new Array<StoreEvent | undefined>(options.window);
    this.#firstRevision = options.firstRevision ?? 1;
    this.#revision = this.#firstRevision;
  }

  get revision(): number {
    return this.#revision;
  }

  /** The oldest revision after which every event is still known. */
  get compactedRevision(): number {
    return Math.max(this.#firstRevision, this.#revision - this.#window);
  }

  get(collection: string, key: string): ApiObject | undefined {
    return this.#collections.get(collection)?.get(key);
  }

  /** The objects of a collection, of one namespace when it is given, in the order in which they were created. */
  *values(collection: string, namespace?: string): Generator<ApiObject> {
    const objects = this.#collections.get(collection);
    if (objects === undefined) return;
    for (const object of objects.values()) {
      if (namespace === undefined || object.metadata.namespace === namespace) yield object;
    }
  }

  get collections(): Iterable<string> {
    return this.#collections.keys();
  }

  /** Stores the object under the next revision, which it gets as its resourceVersion; the caller must not keep writing to it. */
  put(collection: string, object: ApiObject): ApiObject {
    const key = keyOf(object);
    let objects = this.#collections.get(collection);
    if (objects === undefined) {
      objects = new Map();
      this.#collections.set(collection, objects);
    }
    const previous = objects.get(key);
    const stored = this.#stamp(object);
    objects.set(key, stored);
    this.#emit(previous === undefined ? "ADDED" : "MODIFIED", collection, key, stored, previous);
    return stored;
  }

  /** Removes the object; the event carries its last state with the revision of the removal. */
  remove(collection: string, key: string): ApiObject | undefined {
    const objects = this.#collections.get(collection);
    const previous = objects?.get(key);
    if (objects === undefined || previous === undefined) return undefined;
    objects.delete(key);
    const last = this.#stamp(previous);
    this.#emit("DELETED", collection, key, last, previous);
    return last;
  }

  /** Events of a collection after `revision`, oldest first. Throws 410 Expired when some of them are forgotten. */
  since(collection: string, revision: number): StoreEvent[] {
    if (revision < this.compactedRevision) {
      throw expired(`too old resource version: ${revision} (${this.compactedRevision})`);
    }
    const found: StoreEvent[] = [];
    for (let next = revision + 1; next <= this.#revision; next++) {
      const event = this.#events[next % this.#window];
      if (event?.collection === collection) found.push(event);
    }
    return found;
  }

  /** The collection as it was at `revision`, by undoing what came after. Throws 410 Expired when that is not possible. */
  at(collection: string, revision: number): Iterable<ApiObject> {
    const objects = new Map(this.#collections.get(collection) ?? []);
    for (const event of this.since(collection, revision).toReversed()) {
      if (event.previous === undefined) objects.delete(event.key);
      else objects.set(event.key, event.previous);
    }
    return objects.values();
  }

  /** Calls `listener` for every change, in order, before the writer gets its answer. */
  subscribe(listener: StoreListener): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }

  #stamp(object: ApiObject): ApiObject {
    const resourceVersion = String(this.#revision + 1);
    return deepFreeze({ ...object, metadata: { ...object.metadata, resourceVersion } });
  }

  #emit(
    type: StoreEvent["type"],
    collection: string,
    key: string,
    object: ApiObject,
    previous: ApiObject | undefined,
  ): void {
    this.#revision += 1;
    const event: StoreEvent = { revision: this.#revision, type, collection, key, object, previous };
    this.#events[this.#revision % this.#window] = event;
    for (const listener of this.#listeners) listener(event);
  }
}
