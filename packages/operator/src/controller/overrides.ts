import { FIELD_MANAGER, OVERRIDE_ANNOTATION, type Waking } from "@elasti/api";
import { type Clock, errorText, type Logger } from "@elasti/core";
import { isConflict, type KubeClient, resources } from "@elasti/kube";
import { type OverrideKind, type OverrideState, overrideAt, overrideText, problemsText } from "@elasti/scaling";
import type { ClusterView, StoredElastiService } from "../lifecycle/cluster-view.ts";
import type { EventReason, Events } from "../lifecycle/contracts.ts";
import type { ServiceMemory } from "../lifecycle/memory.ts";
import type { FoundOverride, OverrideReader } from "../lifecycle/override-of.ts";
import { PINNED_ASLEEP, pinnedWaking } from "../lifecycle/ruling.ts";
import type { StatusWriter } from "../lifecycle/status-writer.ts";
import { cut } from "./conditions.ts";
import type { Warning } from "./parts.ts";

/** A timer cannot be longer than 24.8 days (2^31 ms). */
const longestWaitMs = 86_400_000;

const reasons: Readonly<Record<OverrideKind, string>> = {
  pin: "Pin",
  pause: "Pause",
  "at-least": "AtLeast",
  awake: "Awake",
  asleep: "Asleep",
};

/** What status says of the override. @param autoscaled somebody else has the replicas from one up */
export function overrideNotes({ found, onTarget }: FoundOverride, autoscaled: boolean): Warning[] {
  if (found.state === "invalid") {
    const of = onTarget ? " of the target" : "";
    const message = `the annotation ${OVERRIDE_ANNOTATION}${of} changes nothing: ${problemsText(found.problems)}`;
    return [{ type: "OverrideInvalid", reason: "OverrideInvalid", message, exact: true }];
  }
  if (found.state !== "active") return [];
  const { override } = found;
  const left = autoscaled && "replicas" in override && override.replicas > 0;
  const but = left ? " (awake, its autoscaler has the replicas, and they are left to it)" : "";
  const where = onTarget ? ", on the target" : "";
  const message = `${overrideText(override)}${where}${but}`;
  return [{ type: "Override", reason: reasons[override.kind], message, exact: true }];
}

export interface OverrideKeeperOptions {
  readonly client: KubeClient;
  readonly view: ClusterView;
  readonly status: Pick<StatusWriter, "write">;
  readonly events: Events;
  readonly clock: Clock;
  readonly logger: Logger;
  /** Whether somebody else has the replicas of a target from one up. */
  readonly autoscaled: (es: StoredElastiService) => boolean;
  readonly overrideOf: OverrideReader;
}

/** What overrides ask for beside sleeping and waking: to be told of, to be shown to resolvers, and to be taken off when they are over. */
export class OverrideKeeper {
  readonly #options: OverrideKeeperOptions;

  constructor(options: OverrideKeeperOptions) {
    this.#options = options;
  }

  /** What status says of the override. */
  notes(es: StoredElastiService): Warning[] {
    return overrideNotes(this.#options.overrideOf(es), this.#options.autoscaled(es));
  }

  /** Milliseconds until time alone changes it, or until somebody has to look again. */
  changesInMs(es: StoredElastiService): number | undefined {
    const found = this.#of(es);
    if (found.state !== "active") return undefined;
    return Math.min(longestWaitMs, found.override.untilMs - this.#options.clock.now());
  }

  /** What `status.waking` says while requests are to be refused. */
  pinnedOf(es: StoredElastiService): Waking | undefined {
    const found = this.#of(es);
    if (es.metadata.deletionTimestamp !== undefined || found.state !== "active") return undefined;
    return pinnedWaking(found.override, es.status?.waking, this.#options.clock.now());
  }

  /** Shows resolvers whether requests are to be refused. @returns whether something was written */
  async writePinned(es: StoredElastiService, pinned: Waking | undefined): Promise<boolean> {
    const before = es.status?.waking;
    // by the message, which says all of it: a definition of an older version keeps less
    const same =
      pinned === undefined
        ? before?.reason !== PINNED_ASLEEP
        : before?.reason === PINNED_ASLEEP && before.message === pinned.message;
    if (same || es.metadata.deletionTimestamp !== undefined) return false;
    await this.#options.status.write(es, { waking: pinned });
    return true;
  }

  /** Tells people of what begins and ends. @param es with the conditions of before */
  tell(es: StoredElastiService, notes: readonly Warning[]): void {
    const { events, logger } = this.#options;
    const { namespace } = es.metadata;
    const shown = (type: string) => es.status?.conditions?.find((condition) => condition.type === type)?.message;
    const say = (reason: EventReason, message: string): void => {
      events.record(es, reason === "OverrideInvalid" ? "Warning" : "Normal", reason, message);
      logger.info({ namespace, service: es.spec.service, reason, override: message }, "override");
    };
    for (const { type, message } of notes) {
      if (shown(type) !== cut(message)) say(type === "Override" ? "OverrideBegan" : "OverrideInvalid", message);
    }
    const ended = notes.some(({ type }) => type === "Override") ? undefined : shown("Override");
    if (ended !== undefined) say("OverrideEnded", ended);
  }

  /**
   * Takes off what is over. Best effort: what stays is harmless. One that is put there again, perhaps out of a repository, is
   * not fought over, and one on the target is left to whoever put it there.
   * @throws ELASTI_KUBE_CONFLICT
   */
  async remove(es: StoredElastiService, memory: ServiceMemory): Promise<void> {
    const record = es.metadata.annotations?.[OVERRIDE_ANNOTATION];
    if (record === undefined || memory.overrideRemoved === record) return;
    if (overrideAt(record, this.#options.clock.now()).state !== "expired") return;
    memory.overrideRemoved = record;
    const { client, view, logger } = this.#options;
    const { namespace, name, resourceVersion } = es.metadata;
    const body = { metadata: { resourceVersion, annotations: { [OVERRIDE_ANNOTATION]: null } } };
    const options = { fieldManager: FIELD_MANAGER };
    try {
      view.elastiServices.wrote(
        await client.patch<StoredElastiService>(resources.elastiServices, namespace, name, "merge", body, options),
      );
    } catch (error) {
      if (isConflict(error)) {
        memory.overrideRemoved = undefined;
        throw error;
      }
      logger.debug({ namespace, service: es.spec.service, error: errorText(error) }, "override could not be taken off");
    }
  }

  #of(es: StoredElastiService): OverrideState {
    return this.#options.overrideOf(es).found;
  }
}
