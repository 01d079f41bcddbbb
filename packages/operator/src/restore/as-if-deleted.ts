import {
  type CallOptions,
  isNotFound,
  type KubeClient,
  type KubeList,
  type KubeObject,
  type ListOptions,
  type PatchKind,
  type Resource,
  resources,
  type WatchEvent,
  type WatchOptions,
  type WriteOptions,
} from "@elasti/kube";

const isElastiService = ({ group, plural }: Resource): boolean =>
  group === resources.elastiServices.group && plural === resources.elastiServices.plural;

/**
 * Shows every ElastiService as if it were being deleted. An operator over this client puts everything back by the very steps of a
 * deletion, and lets the ElastiServices stand. Where the kind itself is gone there are none.
 */
export class AsIfDeleted implements KubeClient {
  readonly #client: KubeClient;
  readonly #since: string;

  /** @param sinceMs the time of deletion that is shown where there is none, wall clock */
  constructor(client: KubeClient, sinceMs: number) {
    this.#client = client;
    this.#since = new Date(sinceMs).toISOString();
  }

  async get<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    options?: CallOptions & { subresource?: string },
  ): Promise<T> {
    return this.#shown(resource, await this.#client.get<T>(resource, namespace, name, options));
  }

  async list<T extends KubeObject>(resource: Resource, options?: ListOptions): Promise<KubeList<T>> {
    try {
      const list = await this.#client.list<T>(resource, options);
      return { ...list, items: list.items.map((object) => this.#shown(resource, object)) };
    } catch (error) {
      if (!isElastiService(resource) || !isNotFound(error)) throw error;
      return {
        apiVersion: resources.elastiServices.version,
        kind: `${resources.elastiServices.kind}List`,
        metadata: { resourceVersion: "0" },
        items: [],
      };
    }
  }

  async create<T extends KubeObject>(resource: Resource, object: T, options?: WriteOptions): Promise<T> {
    return this.#shown(resource, await this.#client.create(resource, object, options));
  }

  async replace<T extends KubeObject>(
    resource: Resource,
    object: T,
    options?: WriteOptions & { subresource?: string },
  ): Promise<T> {
    return this.#shown(resource, await this.#client.replace(resource, object, options));
  }

  async patch<T extends KubeObject>(
    resource: Resource,
    namespace: string | undefined,
    name: string,
    kind: PatchKind,
    body: unknown,
    options?: WriteOptions & { subresource?: string; force?: boolean },
  ): Promise<T> {
    return this.#shown(resource, await this.#client.patch<T>(resource, namespace, name, kind, body, options));
  }

  delete(...args: Parameters<KubeClient["delete"]>): Promise<void> {
    return this.#client.delete(...args);
  }

  async *watch<T extends KubeObject>(resource: Resource, options: WatchOptions): AsyncGenerator<WatchEvent<T>> {
    try {
      for await (const { type, object } of this.#client.watch<T>(resource, options))
        yield { type, object: type === "BOOKMARK" ? object : this.#shown(resource, object) };
    } catch (error) {
      if (!isElastiService(resource) || !isNotFound(error)) throw error;
      await aborted(options.signal);
    }
  }

  raw<T>(method: "GET" | "POST", path: string, body?: unknown, options?: CallOptions): Promise<T> {
    return this.#client.raw<T>(method, path, body, options);
  }

  close(): Promise<void> {
    return this.#client.close();
  }

  #shown<T extends KubeObject>(resource: Resource, object: T): T {
    if (!isElastiService(resource) || object.metadata.deletionTimestamp !== undefined) return object;
    return { ...object, metadata: { ...object.metadata, deletionTimestamp: this.#since } };
  }
}

async function aborted(signal: AbortSignal): Promise<void> {
  if (signal.aborted) return;
  await new Promise((resolve) => signal.addEventListener("abort", resolve, { once: true }));
}
