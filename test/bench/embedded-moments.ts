import type { Deployment, EndpointSlice } from "@elasti/kube";
import type { LocalCluster } from "@elasti/local";
import { wallMs } from "./connection.ts";
import type { Moments, Published, WakeMoments } from "./moments.ts";
import { PublishedPods } from "./published-pods.ts";

/** Knows to the moment what the embedded API server did, because it listens inside of it. */
export class EmbeddedMoments implements Moments {
  readonly #published: PublishedPods;
  readonly #scaledAt = new Map<string, number>();
  readonly #stop: () => void;

  constructor(cluster: LocalCluster, apps: readonly string[]) {
    this.#published = new PublishedPods(apps);
    this.#stop = cluster.apiServer.store.subscribe(({ type, collection, object, previous }) => {
      if (type === "DELETED") return;
      if (collection === "apps/deployments") {
        const replicas = ({ spec }: Partial<Deployment>) => spec?.replicas ?? 0;
        const before = previous === undefined ? 0 : replicas(previous as unknown as Deployment);
        if (before === 0 && replicas(object as unknown as Deployment) > 0) {
          this.#scaledAt.set(object.metadata.name, wallMs());
        }
      } else if (collection === "discovery.k8s.io/endpointslices") {
        this.#published.see(object as unknown as EndpointSlice);
      }
    });
  }

  async ofWake(app: string, pod: string, from: number): Promise<WakeMoments> {
    const publishedAt = this.#published.of(pod)?.at;
    const scaledAt = this.#scaledAt.get(app);
    if (publishedAt === undefined || scaledAt === undefined || scaledAt < from) {
      throw new Error(`the wake of ${app} was not seen in the API: scaled ${scaledAt}, published ${publishedAt}`);
    }
    return { scaledAt, publishedAt };
  }

  onPublished(app: string, listener: (published: Published) => void): () => void {
    return this.#published.on(app, listener);
  }

  close(): void {
    this.#stop();
    this.#published.clear();
  }
}
