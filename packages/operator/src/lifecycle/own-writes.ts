import { type KubeObject, keyOf, objectKey, type Store } from "@elasti/kube";

const decimal = /^[0-9]+$/;

/** Whether `a` is older than `b`. Resource versions of one resource compare as decimal numbers (KEP-5504). */
function isOlder(a: string | undefined, b: string | undefined): boolean {
  if (a === undefined || b === undefined || !decimal.test(a) || !decimal.test(b)) return false;
  return a.length === b.length ? a < b : a.length < b.length;
}

/**
 * A store, with our own writes laid over it until the watch has caught up with them: whoever decides again right after a
 * write must see it, or would take its own park for one that somebody reverted.
 */
export class OwnWrites<T extends KubeObject> {
  readonly #store: Store<T>;
  readonly #written = new Map<string, T>();
  /** Keys of what we deleted, with the uid that is gone. */
  readonly #deleted = new Map<string, string | undefined>();
  readonly #stop: () => void;

  constructor(store: Store<T>) {
    this.#store = store;
    this.#stop = store.on("change", ({ type, object }) => {
      const key = objectKey(object);
      const written = this.#written.get(key);
      if (
        written !== undefined &&
        (type === "deleted" || !isOlder(object.metadata.resourceVersion, written.metadata.resourceVersion))
      ) {
        this.#written.delete(key);
      }
      if (type === "deleted" || this.#deleted.get(key) !== object.metadata.uid) this.#deleted.delete(key);
    });
  }

  get(namespace: string, name: string): T | undefined {
    const key = keyOf(namespace, name);
    const stored = this.#store.getByKey(key);
    const written = this.#written.get(key);
    if (
      written !== undefined &&
      (stored === undefined || isOlder(stored.metadata.resourceVersion, written.metadata.resourceVersion))
    ) {
      return written;
    }
    if (stored !== undefined && this.#deleted.has(key) && this.#deleted.get(key) === stored.metadata.uid)
      return undefined;
    return stored;
  }

  /** What we made and the store does not have yet: its indexes do not know of it. */
  unseen(): T[] {
    return [...this.#written].flatMap(([key, object]) => (this.#store.getByKey(key) === undefined ? [object] : []));
  }

  /** Takes note of the answer to a write. */
  wrote(object: T): T {
    const key = objectKey(object);
    this.#deleted.delete(key);
    const stored = this.#store.getByKey(key);
    // the watch may have been faster than the answer
    if (stored === undefined || isOlder(stored.metadata.resourceVersion, object.metadata.resourceVersion)) {
      this.#written.set(key, object);
    }
    return object;
  }

  /** Takes note of a delete. */
  removed(object: T): void {
    const key = objectKey(object);
    this.#written.delete(key);
    if (this.#store.getByKey(key) !== undefined) this.#deleted.set(key, object.metadata.uid);
  }

  close(): void {
    this.#stop();
    this.#written.clear();
    this.#deleted.clear();
  }
}
