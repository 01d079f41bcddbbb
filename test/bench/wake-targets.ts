import { type ElastiService, privateServiceName, SERVICE_NAME_LABEL } from "@elasti/api";
import { type Deployment, type EndpointSlice, type KubeClient, type KubeObject, resources } from "@elasti/kube";
import type { Installation, LocalCluster, SampleApp } from "@elasti/local";
import { wallMs } from "./connection.ts";

export const PROBE_PERIOD_S = 10;

/** A pod as the slices show it for the first time. */
export interface Published {
  readonly pod: string;
  readonly address: string;
  readonly port: number;
  readonly at: number;
}

/** One app of the benchmark with its Service and ElastiService. */
export interface Target {
  readonly startMs: number;
  readonly app: SampleApp;
  /** Resolves when it sleeps and all its pods are gone. */
  asleep: Promise<unknown>;
}

/**
 * Knows to the moment what the API server did, because it listens inside of it: when a scale from zero was accepted and
 * when the address of a pod was published. Times are wall clock in ms.
 */
export class ApiMoments {
  readonly #published = new Map<string, Published>();
  readonly #scaledAt = new Map<string, number>();
  readonly #watchers = new Set<(service: string, published: Published) => void>();
  readonly #stop: () => void;

  constructor(cluster: LocalCluster, services: readonly string[]) {
    const publicNames = new Map(services.map((name) => [privateServiceName(name), name]));
    this.#stop = cluster.apiServer.store.subscribe(({ type, collection, object, previous }) => {
      if (type === "DELETED") return;
      if (collection === "apps/deployments") {
        const replicas = ({ spec }: Partial<Deployment>) => spec?.replicas ?? 0;
        const before = previous === undefined ? 0 : replicas(previous as unknown as Deployment);
        if (before === 0 && replicas(object as unknown as Deployment) > 0) {
          this.#scaledAt.set(object.metadata.name, wallMs());
        }
      } else if (collection === "discovery.k8s.io/endpointslices") {
        const service = publicNames.get(object.metadata.labels?.[SERVICE_NAME_LABEL] ?? "");
        if (service !== undefined) this.#onSlice(service, object as unknown as EndpointSlice);
      }
    });
  }

  /** When the last scale of a Deployment from zero was accepted. */
  scaledAt(deployment: string): number | undefined {
    return this.#scaledAt.get(deployment);
  }

  /** When the address of a pod was published. */
  publishedAt(pod: string): number | undefined {
    return this.#published.get(pod)?.at;
  }

  /** Calls back with every pod of a service that is new from now on. */
  onPublished(service: string, listener: (published: Published) => void): () => void {
    const own = (name: string, published: Published) => {
      if (name === service) listener(published);
    };
    this.#watchers.add(own);
    return () => this.#watchers.delete(own);
  }

  close(): void {
    this.#stop();
    this.#watchers.clear();
  }

  #onSlice(service: string, { endpoints, ports }: EndpointSlice): void {
    const port = ports?.[0]?.port;
    if (port === undefined) return;
    for (const { addresses, targetRef, conditions } of endpoints ?? []) {
      const [address] = addresses;
      const pod = targetRef?.name;
      if (address === undefined || pod === undefined || conditions?.terminating === true || this.#published.has(pod))
        continue;
      const published = { pod, address, port, at: wallMs() };
      this.#published.set(pod, published);
      for (const watcher of this.#watchers) watcher(service, published);
    }
  }
}

/** Makes the apps, all at zero. Their trigger names a server that is not there, so nothing but the benchmark puts them to sleep. */
export async function makeTargets(elasti: Installation, starts: readonly number[], each: number): Promise<Target[]> {
  const targets: Target[] = [];
  for (const startMs of starts) {
    for (let index = 1; index <= each; index++) {
      const name = `app-${startMs}-${index}`;
      const app = await elasti.sampleApp({ name, startMs, readinessPeriodSeconds: PROBE_PERIOD_S });
      await elasti.elastiService({
        spec: {
          service: name,
          scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
          triggers: [{ type: "prometheus", metadata: { query: "vector(1)", threshold: "0.5" } }],
        },
      });
      targets.push({ startMs, app, asleep: sleeping(elasti, name) });
    }
  }
  return targets;
}

const sleeping = (elasti: Installation, name: string, afterEpoch = -1) =>
  elasti.waitForPhase("default", name, "Asleep", {
    afterEpoch,
    timeoutMs: 60_000,
    when: (es) => es.status?.podsGone === true,
  });

export async function setReplicas(client: KubeClient, name: string, replicas: number): Promise<void> {
  await client.patch(resources.deployments, "default", name, "merge", { spec: { replicas } }, { subresource: "scale" });
}

/** Scales by hand to zero and lets `target.asleep` follow. */
export async function putToSleep(elasti: Installation, target: Target): Promise<void> {
  const { name } = target.app;
  const { status } = await elasti.client.get<KubeObject & Pick<ElastiService, "status">>(
    resources.elastiServices,
    "default",
    name,
  );
  const epoch = status?.epoch ?? 0;
  await setReplicas(elasti.client, name, 0);
  target.asleep = sleeping(elasti, name, status?.phase === "Asleep" ? epoch - 1 : epoch);
  target.asleep.catch(() => {});
}
