import type { Logger } from "@elasti/core";
import { BackgroundWork } from "./background-work.ts";
import { asObject } from "./json.ts";
import { collectionOf } from "./kind.ts";
import { namespaceKind } from "./kinds/index.ts";
import type { KindsRegistry } from "./kinds-registry.ts";
import type { Objects } from "./objects.ts";
import { objectKey, type Store, type StoreEvent } from "./store.ts";

/** Empties a namespace that is being deleted, and lets it go when nothing is left in it. */
export class NamespaceLifecycle {
  readonly #store: Store;
  readonly #objects: Objects;
  readonly #kinds: KindsRegistry;
  readonly #work: BackgroundWork;
  readonly #unsubscribe: () => void;
  readonly #terminating = new Set<string>();

  constructor(options: { store: Store; objects: Objects; kinds: KindsRegistry; logger: Logger }) {
    this.#store = options.store;
    this.#objects = options.objects;
    this.#kinds = options.kinds;
    this.#work = new BackgroundWork("namespace-lifecycle", options.logger);
    this.#unsubscribe = this.#store.subscribe((event) => this.#onEvent(event));
  }

  close(): void {
    this.#unsubscribe();
    this.#work.close();
  }

  #onEvent({ collection, object, type }: StoreEvent): void {
    if (collection === collectionOf(namespaceKind.resource)) {
      const { name, deletionTimestamp } = object.metadata;
      if (type === "DELETED") this.#terminating.delete(name);
      else if (deletionTimestamp !== undefined && !this.#terminating.has(name)) {
        this.#terminating.add(name);
        this.#work.run(() => this.#empty(name));
      }
    } else if (type === "DELETED" && this.#terminating.has(object.metadata.namespace ?? "")) {
      const { namespace = "" } = object.metadata;
      this.#work.run(() => this.#finish(namespace));
    }
  }

  #empty(namespace: string): void {
    for (const kind of this.#kinds.all()) {
      if (!kind.resource.namespaced) continue;
      for (const { metadata } of [...this.#store.values(collectionOf(kind.resource), namespace)]) {
        if (metadata.deletionTimestamp !== undefined) continue;
        this.#objects.delete(kind, namespace, metadata.name, { uid: metadata.uid, propagationPolicy: "Background" });
      }
    }
    this.#finish(namespace);
  }

  #finish(namespace: string): void {
    for (const kind of this.#kinds.all()) {
      if (!kind.resource.namespaced) continue;
      for (const _left of this.#store.values(collectionOf(kind.resource), namespace)) return;
    }
    const object = this.#store.get(collectionOf(namespaceKind.resource), objectKey(undefined, namespace));
    if (object === undefined || object.metadata.deletionTimestamp === undefined) return;
    this.#objects.commitOwn(namespaceKind, { ...object, spec: { ...asObject(object.spec), finalizers: [] } });
  }
}
