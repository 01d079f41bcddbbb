import { type KubeClient, type KubeResponse, type Pod, resources } from "@elasti/kube";

interface Point {
  readonly atMs: number;
  readonly containers: ReadonlySet<string>;
}

/**
 * metrics-server as `resource` metrics see it: what it has measured twice of the pods that run, kept by their names. It looks when it
 * is told to, and says of every container the same.
 */
export class MetricsDouble {
  readonly #client: KubeClient;
  readonly #usage: Readonly<Record<string, string>>;
  #last = new Map<string, Point>();
  #previous = new Map<string, Point>();

  constructor(client: KubeClient, usage: Readonly<Record<string, string>>) {
    this.#client = client;
    this.#usage = usage;
  }

  /** What a kubelet says: of containers that run, and of no others. */
  async look(atMs: number): Promise<void> {
    const [last, previous] = [new Map<string, Point>(), new Map<string, Point>()];
    for (const { metadata, status } of await this.#running()) {
      const { name } = metadata;
      const running = (status?.containerStatuses ?? []).filter(({ state }) => state?.running !== undefined);
      last.set(name, { atMs, containers: new Set(running.map((container) => container.name)) });
      const former = this.#last.get(name);
      // counters that began anew have nothing to be compared with
      if (former !== undefined && former.atMs >= Date.parse(status?.startTime ?? "")) previous.set(name, former);
    }
    this.#last = last;
    this.#previous = previous;
  }

  /** All that it knows is forgotten, as when its process ends. */
  forget(): void {
    this.#last.clear();
    this.#previous.clear();
  }

  async answer(labelSelector: string): Promise<KubeResponse> {
    const items = (await this.#running(labelSelector)).flatMap(({ metadata: { name, namespace, labels } }) => {
      const [last, previous] = [this.#last.get(name), this.#previous.get(name)];
      if (last === undefined || previous === undefined) return [];
      const both = [...last.containers].every((container) => previous.containers.has(container));
      if (!both) return [];
      return {
        metadata: { name, namespace, labels, creationTimestamp: seconds(last.atMs) },
        timestamp: seconds(last.atMs),
        window: `${(last.atMs - previous.atMs) / 1_000}s`,
        containers: [...last.containers].map((container) => ({ name: container, usage: this.#usage })),
      };
    });
    const list = { kind: "PodMetricsList", apiVersion: "metrics.k8s.io/v1beta1", metadata: {}, items };
    return { status: 200, body: list };
  }

  async #running(labelSelector?: string): Promise<Pod[]> {
    const wanted = { namespace: "default", ...(labelSelector === undefined ? {} : { labelSelector }) };
    const { items } = await this.#client.list<Pod>(resources.pods, wanted);
    return items.filter(({ status }) => status?.phase === "Running");
  }
}

/** As Kubernetes writes moments. */
export const seconds = (ms: number): string => new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
