import { privateServiceName, SERVICE_NAME_LABEL } from "@elasti/api";
import type { EndpointSlice } from "@elasti/kube";
import { wallMs } from "./connection.ts";
import type { Published } from "./moments.ts";

/** Remembers when the slices of private Services showed each pod for the first time. */
export class PublishedPods {
  readonly #published = new Map<string, Published>();
  readonly #watchers = new Set<(app: string, published: Published) => void>();
  readonly #apps: ReadonlyMap<string, string>;

  constructor(apps: readonly string[]) {
    this.#apps = new Map(apps.map((name) => [privateServiceName(name), name]));
  }

  of(pod: string): Published | undefined {
    return this.#published.get(pod);
  }

  on(app: string, listener: (published: Published) => void): () => void {
    const own = (name: string, published: Published) => {
      if (name === app) listener(published);
    };
    this.#watchers.add(own);
    return () => void this.#watchers.delete(own);
  }

  /** Takes a slice as it is now. */
  see({ metadata, endpoints, ports }: EndpointSlice): void {
    const app = this.#apps.get(metadata.labels?.[SERVICE_NAME_LABEL] ?? "");
    const port = ports?.[0]?.port;
    if (app === undefined || port === undefined) return;
    for (const { addresses, targetRef, conditions } of endpoints ?? []) {
      const [address] = addresses;
      const pod = targetRef?.name;
      if (address === undefined || pod === undefined || conditions?.terminating === true || this.#published.has(pod))
        continue;
      const published = { pod, address, port, at: wallMs() };
      this.#published.set(pod, published);
      for (const watcher of this.#watchers) watcher(app, published);
    }
  }

  clear(): void {
    this.#watchers.clear();
  }
}
