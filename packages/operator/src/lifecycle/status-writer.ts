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
    // what a wake waited for is over with the wake
    waking: undefined,
    podsGone: phase === "Asleep" ? false : phase === "Waking" ? status?.podsGone : undefined,
    ...(phase === "Draining" ? { drainEpoch: epoch } : {}),
  };
}

type Fields = Readonly<Record<string, unknown>>;
const isFields = (value: unknown): value is Fields =>
  typeof value === "object" && value !== null && !Array.isArray(value);

/** What a merge patch has to say so that `before` becomes `after`: it would keep the fields of objects that are not named. */
export function replacing(before: unknown, after: unknown): unknown {
  if (after === undefined) return null;
  if (!isFields(before) || !isFields(after)) return after;
  const keys = new Set([...Object.keys(before), ...Object.keys(after)]);
  return Object.fromEntries([...keys].map((key) => [key, replacing(before[key], after[key])]));
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
    const before: Fields = { ...es.status };
    const status = {
      ...Object.fromEntries(Object.entries(change).map(([key, value]) => [key, replacing(before[key], value)])),
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
