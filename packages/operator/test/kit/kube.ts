import { defineErrors } from "@elasti/core";
import type { KubeClient, KubeObject, Resource } from "@elasti/kube";
import { kubeErrors, objectKey } from "@elasti/kube";

const errors = defineErrors({ ELASTI_TEST_UNUSED: { status: 500, retryable: false, title: "Not part of this test" } });
const unused = (): never => {
  throw errors.ELASTI_TEST_UNUSED("this call is not expected");
};

/** Objects in memory with resourceVersions; get, list, create, replace and delete, as far as a test of one writer needs. */
export class MemoryKube implements KubeClient {
  readonly objects = new Map<string, KubeObject>();
  readonly writes: string[] = [];
  /** Called before every write; may throw, or write itself to get in between. */
  beforeWrite: ((verb: string, object: KubeObject) => void) | undefined;
  #version = 0;

  /** Stores an object as somebody else would. */
  put<T extends KubeObject>(plural: string, object: T): T {
    this.#version += 1;
    const stored = structuredClone(object);
    stored.metadata.uid ??= `uid-${this.#version}`;
    stored.metadata.resourceVersion = String(this.#version);
    this.objects.set(`${plural} ${objectKey(object)}`, stored);
    return structuredClone(stored);
  }

  find<T extends KubeObject>(plural: string, key: string): T | undefined {
    return structuredClone(this.objects.get(`${plural} ${key}`)) as T | undefined;
  }

  async get<T extends KubeObject>(resource: Resource, namespace: string | undefined, name: string): Promise<T> {
    const found = this.find<T>(resource.plural, `${namespace}/${name}`);
    if (found === undefined) throw kubeErrors.ELASTI_KUBE_NOT_FOUND(`${resource.plural} ${namespace}/${name}`);
    return found;
  }

  async list<T extends KubeObject>(resource: Resource, options: { namespace?: string; labelSelector?: string } = {}) {
    const items = [...this.objects]
      .filter(([key, { metadata }]) => {
        const { namespace, labelSelector } = options;
        return (
          key.startsWith(`${resource.plural} ${namespace ?? ""}`) &&
          (labelSelector === undefined || metadata.labels?.[labelSelector] !== undefined)
        );
      })
      .map(([, object]) => structuredClone(object) as T);
    return { apiVersion: "v1", kind: "List", metadata: { resourceVersion: String(this.#version) }, items };
  }

  async create<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    this.beforeWrite?.("create", object);
    if (this.objects.has(`${resource.plural} ${objectKey(object)}`)) {
      throw kubeErrors.ELASTI_KUBE_ALREADY_EXISTS(objectKey(object));
    }
    this.writes.push(`create ${resource.plural} ${objectKey(object)}`);
    return this.put(resource.plural, object);
  }

  async replace<T extends KubeObject>(resource: Resource, object: T): Promise<T> {
    this.beforeWrite?.("replace", object);
    const before = this.objects.get(`${resource.plural} ${objectKey(object)}`);
    if (before === undefined) throw kubeErrors.ELASTI_KUBE_NOT_FOUND(objectKey(object));
    if (object.metadata.resourceVersion !== before.metadata.resourceVersion) {
      throw kubeErrors.ELASTI_KUBE_CONFLICT(objectKey(object));
    }
    this.writes.push(`replace ${resource.plural} ${objectKey(object)}`);
    return this.put(resource.plural, object);
  }

  async delete(resource: Resource, namespace: string | undefined, name: string): Promise<void> {
    this.writes.push(`delete ${resource.plural} ${namespace}/${name}`);
    if (!this.objects.delete(`${resource.plural} ${namespace}/${name}`)) {
      throw kubeErrors.ELASTI_KUBE_NOT_FOUND(`${namespace}/${name}`);
    }
  }

  patch = unused;
  watch = unused;
  raw = unused;
  async close(): Promise<void> {}
}
