import { type ElastiServiceStatus, FIELD_MANAGER, type Phase } from "@elasti/api";
import { type Clock, systemClock } from "@elasti/core";
import { type KubeClient, resources } from "@elasti/kube";
import type { ClusterView, StoredElastiService } from "./cluster-view.ts";

/** Fields of status to change; `undefined` takes one off. */
export type StatusChange = { [K in keyof ElastiServiceStatus]?: ElastiServiceStatus[K] | undefined };

/** What a change of phase does to status. Every one raises the epoch. */
export function phaseChange(status: ElastiServiceStatus | undefined, phase: Phase, nowMs: number): StatusChange {
  const epoch = (status?.epoch ?? 0) + 1;
  return {
    phase,
    epoch,
    phaseTime: new Date(nowMs).toISOString(),
    // asleep anew, old pods are still leaving; a wake keeps what is known of them
    podsGone: phase === "Asleep" ? false : phase === "Waking" ? status?.podsGone : undefined,
    ...(phase === "Draining" ? { drainEpoch: epoch } : {}),
  };
}

/** Writes status, each time under the resourceVersion that the change was decided on. */
export class StatusWriter {
  readonly #client: KubeClient;
  readonly #view: ClusterView;
  readonly #clock: Clock;

  constructor(client: KubeClient, view: ClusterView, clock: Clock = systemClock) {
    this.#client = client;
    this.#view = view;
    this.#clock = clock;
  }

  /** @throws ELASTI_KUBE_CONFLICT when somebody was faster: observe again */
  async write(es: StoredElastiService, change: StatusChange): Promise<StoredElastiService> {
    const { namespace, name, resourceVersion } = es.metadata;
    const status = {
      ...Object.fromEntries(Object.entries(change).map(([key, value]) => [key, value ?? null])),
      lastReconciledTime: new Date(this.#clock.now()).toISOString(),
    };
    const written = await this.#client.patch<StoredElastiService>(
      resources.elastiServices,
      namespace,
      name,
      "merge",
      { metadata: { resourceVersion }, status },
      { fieldManager: FIELD_MANAGER, subresource: "status" },
    );
    return this.#view.elastiServices.wrote(written);
  }

  async setPhase(es: StoredElastiService, phase: Phase, more: StatusChange = {}): Promise<StoredElastiService> {
    return await this.write(es, { ...phaseChange(es.status, phase, this.#clock.now()), ...more });
  }
}
