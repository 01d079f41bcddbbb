import { join } from "node:path";
import { privateServiceName, SERVICE_NAME_LABEL } from "@elasti/api";
import { silentLogger, systemClock } from "@elasti/core";
import { type EndpointSlice, type KubeClient, type Pod, Reflector, resources } from "@elasti/kube";
import { type AuditCall, AuditLog } from "../cluster/audit-log.ts";
import type { Places } from "../cluster/places.ts";
import { wallMs } from "./connection.ts";
import type { Moments, Published, WakeMoments } from "./moments.ts";
import { PublishedPods } from "./published-pods.ts";

/** Calls remembered; more than a wake has by far. */
const KEPT_CALLS = 5_000;

/**
 * Knows what a real API server did from its audit log, which is in microseconds, and from watches of its own. All clocks are
 * this machine's.
 */
export class RealMoments implements Moments {
  readonly #published: PublishedPods;
  readonly #slices: Reflector<EndpointSlice>;
  readonly #pods: Reflector<Pod>;
  readonly #audit: AuditLog;
  readonly #sliceNames = new Map<string, string>();
  readonly #podAddressAt = new Map<string, number>();
  #calls: AuditCall[] = [];

  private constructor(client: KubeClient, places: Places, apps: readonly string[]) {
    this.#published = new PublishedPods(apps);
    this.#audit = new AuditLog(join(places.logs, "audit.log"));
    const options = { client, namespace: "default", logger: silentLogger, clock: systemClock };
    this.#slices = new Reflector<EndpointSlice>({ ...options, resource: resources.endpointSlices });
    this.#slices.store.on("change", ({ type, object }) => {
      if (type === "deleted") return;
      const { name, labels = {} } = object.metadata;
      this.#sliceNames.set(labels[SERVICE_NAME_LABEL] ?? "", name);
      this.#published.see(object);
    });
    this.#pods = new Reflector<Pod>({ ...options, resource: resources.pods });
    this.#pods.store.on("change", ({ type, object: { metadata, status } }) => {
      if (type === "deleted") this.#podAddressAt.delete(metadata.name);
      else if (status?.podIP !== undefined && !this.#podAddressAt.has(metadata.name)) {
        this.#podAddressAt.set(metadata.name, wallMs());
      }
    });
  }

  static async start(client: KubeClient, places: Places, apps: readonly string[]): Promise<RealMoments> {
    const moments = new RealMoments(client, places, apps);
    await Promise.all([moments.#slices.start(), moments.#pods.start()]);
    return moments;
  }

  async ofWake(app: string, pod: string, from: number): Promise<WakeMoments> {
    const calls = await this.callsSince(from);
    const scaled = calls.find((call) => call.resource === "deployments/scale" && call.name === app && call.code < 300);
    const seenAt = this.#published.of(pod)?.at;
    if (scaled === undefined || seenAt === undefined) {
      throw new Error(`the wake of ${app} was not seen in the API: scaled ${scaled?.receivedAt}, published ${seenAt}`);
    }
    // a watch tells of a write a little later than it was made: the time in between is not Kubernetes' but the bench's
    const slice = this.#sliceNames.get(privateServiceName(app));
    const written = calls.findLast(
      (call) =>
        call.resource === "endpointslices" && call.name === slice && call.code < 300 && call.receivedAt < seenAt,
    );
    return { scaledAt: scaled.receivedAt, publishedAt: Math.min(seenAt, written?.answeredAt ?? seenAt) };
  }

  onPublished(app: string, listener: (published: Published) => void): () => void {
    return this.#published.on(app, listener);
  }

  /** When a watch of pods, and when a watch of slices, showed the address of a pod. */
  seenAt(pod: string): { inPod: number | undefined; inSlice: number | undefined } {
    return { inPod: this.#podAddressAt.get(pod), inSlice: this.#published.of(pod)?.at };
  }

  /** Calls that came in since `from`, in the order in which they were answered. */
  async callsSince(from: number): Promise<AuditCall[]> {
    this.#calls = [...this.#calls, ...(await this.#audit.read())].slice(-KEPT_CALLS);
    return this.#calls.filter(({ receivedAt }) => receivedAt >= from);
  }

  async close(): Promise<void> {
    this.#published.clear();
    await Promise.all([this.#slices.close(), this.#pods.close()]);
  }
}
