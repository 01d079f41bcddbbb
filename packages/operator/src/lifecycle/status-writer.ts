import { isDeepStrictEqual } from "node:util";
import { type ElastiServiceStatus, FIELD_MANAGER, type Phase } from "@elasti/api";
import { Backoff, type Clock, systemClock } from "@elasti/core";
import { answeredStatus, type KubeClient, resources } from "@elasti/kube";
import { operatorErrors } from "../errors.ts";
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

/** What the protocol and the resolvers cannot do without. */
const essential: ReadonlySet<string> = new Set<keyof ElastiServiceStatus>([
  "phase",
  "epoch",
  "drainEpoch",
  "phaseTime",
  "podsGone",
  "routes",
  "probe",
  "routingMode",
  "conditions",
]);

/** Statuses of answers after which the same write makes no sense. */
const impossible: ReadonlySet<number> = new Set([404, 409, 422]);

/** Writes status, each time under the resourceVersion that the change was decided on. */
export class StatusWriter {
  readonly #client: KubeClient;
  readonly #view: ClusterView;
  readonly #clock: Clock;
  readonly #backoff = new Backoff(1_000, 30_000);
  #outdated: string | undefined;
  /** What was dropped last, and of which object. */
  #dropped: { namespace: string | undefined; name: string; fields: Fields } | undefined;
  #looking = false;
  /** On the monotonic clock: not before is it tried whether status is kept by now. */
  #retryAtMs = 0;

  constructor(client: KubeClient, view: ClusterView, clock: Clock = systemClock) {
    this.#client = client;
    this.#view = view;
    this.#clock = clock;
  }

  /** Why status cannot hold what it must: the CustomResourceDefinition in the cluster drops fields; undefined when it keeps them. */
  get outdated(): string | undefined {
    return this.#outdated;
  }

  /**
   * `outdated`, for who asks now and then: each time that a pause is over it is tried meanwhile whether status is kept by now, by
   * a write of which nothing stays. A replica that does not lead may have nothing to write by itself.
   */
  lookAgain(): string | undefined {
    if (this.#outdated !== undefined && !this.#looking && this.#clock.monotonic() >= this.#retryAtMs) void this.#look();
    return this.#outdated;
  }

  /**
   * @throws ELASTI_KUBE_CONFLICT when somebody was faster: observe again; ELASTI_CRD_OUTDATED when the API server dropped what
   * was written, so that whoever observes again would write it again
   */
  async write(es: StoredElastiService, change: StatusChange): Promise<StoredElastiService> {
    // each write would be seen by the watch, and lead to the next
    if (this.#outdated !== undefined && this.#clock.monotonic() < this.#retryAtMs)
      throw operatorErrors.ELASTI_CRD_OUTDATED(this.#outdated);
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
    this.#view.elastiServices.wrote(written);
    this.#judge(es, change, written);
    if (this.#outdated !== undefined) throw operatorErrors.ELASTI_CRD_OUTDATED(this.#outdated);
    return written;
  }

  /** Whether what was written is there. */
  #judge({ metadata: { namespace, name } }: StoredElastiService, change: Fields, written: StoredElastiService): void {
    const kept: Fields = { ...written.status };
    const dropped = Object.entries(change).filter(
      ([key, value]) => value !== undefined && essential.has(key) && !isDeepStrictEqual(kept[key], value),
    );
    if (dropped.length === 0) {
      this.#outdated = undefined;
      this.#backoff.reset();
      return;
    }
    this.#retryAtMs = this.#clock.monotonic() + this.#backoff.next();
    this.#dropped = { namespace, name, fields: Object.fromEntries(dropped) };
    const fields = dropped.map(([key]) => `status.${key}`).join(", ");
    this.#outdated = `the API server drops ${fields} of ElastiServices: apply deploy/crd/elastiservices.yaml of this version`;
  }

  async #look(): Promise<void> {
    const { namespace = "", name = "", fields = {} } = this.#dropped ?? {};
    const es = this.#view.elastiServices.get(namespace, name);
    // with nothing to try it on, the next write will tell
    if (es === undefined) {
      this.#outdated = undefined;
      return;
    }
    this.#looking = true;
    this.#retryAtMs = this.#clock.monotonic() + this.#backoff.next();
    const before: Fields = { ...es.status };
    const status = Object.fromEntries(
      Object.entries(fields).map(([key, value]) => [key, replacing(before[key], value)]),
    );
    try {
      const written = await this.#client.patch<StoredElastiService>(
        resources.elastiServices,
        namespace,
        name,
        "merge",
        { status },
        { fieldManager: FIELD_MANAGER, subresource: "status", dryRun: true },
      );
      // a write may have found out meanwhile
      if (this.#outdated !== undefined) this.#judge(es, fields, written);
    } catch (error) {
      // gone, or refused for what it says: it cannot be tried on this one any more
      if (impossible.has(answeredStatus(error) ?? 0)) this.#outdated = undefined;
    } finally {
      this.#looking = false;
    }
  }

  async setPhase(es: StoredElastiService, phase: Phase, more: StatusChange = {}): Promise<StoredElastiService> {
    return await this.write(es, { ...phaseChange(es.status, phase, this.#clock.now()), ...more });
  }
}
