import type { Logger } from "@elasti/core";
import { BackgroundWork } from "./background-work.ts";
import { customResourceKind } from "./custom-resource-kind.ts";
import type { ApiObject } from "./json.ts";
import { collectionOf, type Kind } from "./kind.ts";
import { customResourceDefinitionKind } from "./kinds/index.ts";
import type { KindsRegistry } from "./kinds-registry.ts";
import type { Objects } from "./objects.ts";
import type { Store, StoreEvent } from "./store.ts";

const cleanup = "customresourcecleanup.apiextensions.k8s.io";

/** Serves the kinds of the stored CustomResourceDefinitions, at once; a deleted definition takes its objects with it. */
export class CustomResources {
  readonly #store: Store;
  readonly #objects: Objects;
  readonly #kinds: KindsRegistry;
  readonly #work: BackgroundWork;
  readonly #unsubscribe: () => void;
  readonly #served = new Map<string, { kind: Kind; definition: ApiObject }>();

  constructor(options: { store: Store; objects: Objects; kinds: KindsRegistry; logger: Logger }) {
    this.#store = options.store;
    this.#objects = options.objects;
    this.#kinds = options.kinds;
    this.#work = new BackgroundWork("custom-resources", options.logger);
    this.#unsubscribe = this.#store.subscribe((event) => this.#onEvent(event));
  }

  close(): void {
    this.#unsubscribe();
    this.#work.close();
  }

  #onEvent({ collection, object, type }: StoreEvent): void {
    if (collection === collectionOf(customResourceDefinitionKind.resource)) {
      this.#serve(object, type === "DELETED");
      if (object.metadata.deletionTimestamp !== undefined) this.#work.run(() => this.#cleanUp(object.metadata.name));
    } else if (type === "DELETED") {
      for (const [name, { kind, definition }] of this.#served) {
        if (collectionOf(kind.resource) !== collection || definition.metadata.deletionTimestamp === undefined) continue;
        this.#work.run(() => this.#cleanUp(name));
      }
    }
  }

  #serve(definition: ApiObject, gone: boolean): void {
    const { name } = definition.metadata;
    const served = this.#served.get(name);
    if (served !== undefined && !gone && served.definition.spec === definition.spec) {
      served.definition = definition;
      return;
    }
    if (served !== undefined) this.#kinds.remove(served.kind);
    this.#served.delete(name);
    if (gone) return;
    const kind = customResourceKind(definition);
    this.#kinds.add(kind);
    this.#served.set(name, { kind, definition });
  }

  #cleanUp(name: string): void {
    const served = this.#served.get(name);
    if (served === undefined) return;
    const collection = collectionOf(served.kind.resource);
    for (const { metadata } of [...this.#store.values(collection)]) {
      if (metadata.deletionTimestamp !== undefined) continue;
      this.#objects.delete(served.kind, metadata.namespace, metadata.name, { propagationPolicy: "Background" });
    }
    for (const _left of this.#store.values(collection)) return;
    const definition = this.#objects.find(customResourceDefinitionKind, undefined, name);
    if (definition?.metadata.deletionTimestamp === undefined) return;
    const finalizers = (definition.metadata.finalizers ?? []).filter((finalizer) => finalizer !== cleanup);
    this.#objects.commitOwn(customResourceDefinitionKind, {
      ...definition,
      metadata: { ...definition.metadata, finalizers },
    });
  }
}
