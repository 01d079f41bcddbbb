import type { Logger } from "@elasti/core";
import type { OwnerReference } from "@elasti/kube";
import { BackgroundWork } from "./background-work.ts";
import type { ApiObject } from "./json.ts";
import { apiVersionOf } from "./kind.ts";
import type { KindsRegistry } from "./kinds-registry.ts";
import type { Objects } from "./objects.ts";
import { objectKey, type Store, type StoreEvent } from "./store.ts";

/**
 * Deletes what has lost its last owner (KEP-1205 garbage collector): in the background by default, before its owner with
 * foreground deletion, and never with orphaning.
 */
export class GarbageCollector {
  readonly #store: Store;
  readonly #objects: Objects;
  readonly #kinds: KindsRegistry;
  readonly #work: BackgroundWork;
  readonly #unsubscribe: () => void;
  /** Collection and key of the objects that name an owner, by the owner's UID. */
  readonly #dependents = new Map<string, Map<string, { collection: string; key: string }>>();
  readonly #owners = new Map<string, ApiObject>();

  constructor(options: { store: Store; objects: Objects; kinds: KindsRegistry; logger: Logger }) {
    this.#store = options.store;
    this.#objects = options.objects;
    this.#kinds = options.kinds;
    this.#work = new BackgroundWork("garbage-collector", options.logger);
    this.#unsubscribe = this.#store.subscribe((event) => this.#onEvent(event));
  }

  close(): void {
    this.#unsubscribe();
    this.#work.close();
  }

  #onEvent(event: StoreEvent): void {
    const { collection, key, object, previous, type } = event;
    const uid = object.metadata.uid ?? "";
    this.#index(collection, key, previous, type === "DELETED" ? undefined : object);
    if (type === "DELETED") {
      this.#owners.delete(uid);
      if (this.#dependents.has(uid)) this.#work.run(() => this.#collectDependents(uid));
      for (const owner of object.metadata.ownerReferences ?? []) this.#work.run(() => this.#finishOwner(owner.uid));
      return;
    }
    this.#owners.set(uid, object);
    if ((object.metadata.ownerReferences ?? []).length > 0) this.#work.run(() => this.#collect(collection, key));
    if (object.metadata.deletionTimestamp !== undefined) this.#work.run(() => this.#finishOwner(uid));
  }

  #index(collection: string, key: string, before: ApiObject | undefined, now: ApiObject | undefined): void {
    const id = `${collection}|${key}`;
    for (const { uid } of before?.metadata.ownerReferences ?? []) {
      const group = this.#dependents.get(uid);
      group?.delete(id);
      if (group?.size === 0) this.#dependents.delete(uid);
    }
    for (const { uid } of now?.metadata.ownerReferences ?? []) {
      const group = this.#dependents.get(uid) ?? new Map<string, { collection: string; key: string }>();
      group.set(id, { collection, key });
      this.#dependents.set(uid, group);
    }
  }

  #collectDependents(ownerUid: string): void {
    for (const { collection, key } of [...(this.#dependents.get(ownerUid)?.values() ?? [])])
      this.#collect(collection, key);
  }

  #isAlive(owner: OwnerReference, dependent: ApiObject): boolean {
    const found = this.#owners.get(owner.uid);
    if (found === undefined) return false;
    // an owner in another namespace is no owner
    const { namespace } = found.metadata;
    return namespace === undefined || namespace === dependent.metadata.namespace;
  }

  /** Deletes an object whose owners are all gone; drops references to those that are gone when others live. */
  #collect(collection: string, key: string): void {
    const kind = this.#kinds.ofCollection(collection);
    const object = this.#store.get(collection, key);
    const owners = object?.metadata.ownerReferences ?? [];
    if (kind === undefined || object === undefined || owners.length === 0) return;
    const alive = owners.filter((owner) => this.#isAlive(owner, object));
    if (alive.length === owners.length) return;
    if (alive.length > 0) {
      this.#objects.commitOwn(kind, { ...object, metadata: { ...object.metadata, ownerReferences: alive } });
    } else if (object.metadata.deletionTimestamp === undefined) {
      const { namespace, name, uid } = object.metadata;
      this.#objects.delete(kind, namespace, name, { uid, propagationPolicy: "Background" });
    }
  }

  /** Takes the orphan and foregroundDeletion finalizers off an owner when their work is done. */
  #finishOwner(uid: string): void {
    const owner = this.#owners.get(uid);
    const finalizers = owner?.metadata.finalizers ?? [];
    if (owner === undefined || owner.metadata.deletionTimestamp === undefined) return;
    const dependents = [...(this.#dependents.get(uid)?.values() ?? [])];
    if (finalizers.includes("orphan")) {
      for (const { collection, key } of dependents) this.#orphan(collection, key, uid);
      this.#dropFinalizer(owner, "orphan");
    } else if (finalizers.includes("foregroundDeletion")) {
      const blocking = dependents.filter(({ collection, key }) => this.#blocks(collection, key, uid));
      for (const { collection, key } of dependents) this.#deleteDependent(collection, key, uid);
      if (blocking.length === 0) this.#dropFinalizer(owner, "foregroundDeletion");
    }
  }

  #blocks(collection: string, key: string, ownerUid: string): boolean {
    const references = this.#store.get(collection, key)?.metadata.ownerReferences ?? [];
    return references.some((reference) => reference.uid === ownerUid && reference.blockOwnerDeletion === true);
  }

  #deleteDependent(collection: string, key: string, ownerUid: string): void {
    const kind = this.#kinds.ofCollection(collection);
    const object = this.#store.get(collection, key);
    if (kind === undefined || object === undefined || object.metadata.deletionTimestamp !== undefined) return;
    const others = (object.metadata.ownerReferences ?? []).filter((owner) => owner.uid !== ownerUid);
    if (others.some((owner) => this.#isAlive(owner, object))) return;
    const { namespace, name, uid } = object.metadata;
    this.#objects.delete(kind, namespace, name, { uid, propagationPolicy: "Foreground" });
  }

  #orphan(collection: string, key: string, ownerUid: string): void {
    const kind = this.#kinds.ofCollection(collection);
    const object = this.#store.get(collection, key);
    if (kind === undefined || object === undefined) return;
    const ownerReferences = (object.metadata.ownerReferences ?? []).filter((owner) => owner.uid !== ownerUid);
    this.#objects.commitOwn(kind, { ...object, metadata: { ...object.metadata, ownerReferences } });
  }

  #dropFinalizer(owner: ApiObject, finalizer: string): void {
    const found = this.#find(owner);
    if (found === undefined) return;
    const finalizers = (found.object.metadata.finalizers ?? []).filter((entry) => entry !== finalizer);
    this.#objects.commitOwn(found.kind, { ...found.object, metadata: { ...found.object.metadata, finalizers } });
  }

  #find(owner: ApiObject) {
    const kind = this.#kinds
      .all()
      .find(({ resource }) => resource.kind === owner.kind && owner.apiVersion === apiVersionOf(resource));
    if (kind === undefined) return undefined;
    const { namespace, name, uid } = owner.metadata;
    const object = this.#store.get(`${kind.resource.group}/${kind.resource.plural}`, objectKey(namespace, name));
    return object?.metadata.uid === uid && object !== undefined ? { kind, object } : undefined;
  }
}
