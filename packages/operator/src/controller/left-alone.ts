import { isDeepStrictEqual } from "node:util";
import type { Condition } from "@elasti/api";
import type { Clock } from "@elasti/core";
import type { StoredElastiService } from "../lifecycle/cluster-view.ts";
import type { Events } from "../lifecycle/contracts.ts";
import type { StatusWriter } from "../lifecycle/status-writer.ts";
import { describe } from "./describe.ts";
import type { OtherOperator } from "./other-operator.ts";
import type { Parts } from "./parts.ts";

export interface LeftAloneOptions {
  readonly parts: Pick<Parts, "ownerOf" | "removeFinalizer">;
  readonly status: StatusWriter;
  readonly events: Events;
  readonly clock: Clock;
  readonly others: Pick<OtherOperator, "pending" | "obstacle">;
}

/** ElastiServices that are not acted on: status says why, and nothing else is touched. */
export class LeftAlone {
  readonly #options: LeftAloneOptions;

  constructor(options: LeftAloneOptions) {
    this.#options = options;
  }

  /** @returns whether this one is left alone */
  async takes(es: StoredElastiService): Promise<boolean> {
    const { parts, others } = this.#options;
    // what has been taken up is looked after to its end; the rest is for the operator to whom it belongs
    if (es.status?.phase === undefined) {
      if (others.pending) return true;
      if (others.obstacle !== undefined) {
        await this.#leave(es, others.obstacle);
        return true;
      }
    }
    if (parts.ownerOf(es.metadata.namespace ?? "", es.spec.service)?.metadata.uid === es.metadata.uid) return false;
    await this.#refuse(es);
    return true;
  }

  /** Another operator has it. */
  async #leave(es: StoredElastiService, why: NonNullable<OtherOperator["obstacle"]>): Promise<void> {
    if (es.metadata.deletionTimestamp !== undefined) return;
    if (await this.#say(es, why)) this.#options.events.record(es, "Warning", why.reason, why.message);
  }

  /** A second one for a Service. */
  async #refuse(es: StoredElastiService): Promise<void> {
    const { parts } = this.#options;
    if (es.metadata.deletionTimestamp !== undefined) return await parts.removeFinalizer(es);
    const owner = parts.ownerOf(es.metadata.namespace ?? "", es.spec.service);
    await this.#say(es, {
      reason: "DuplicateService",
      message: `ElastiService ${owner?.metadata.name} already has the Service ${es.spec.service}; one of the two has to go`,
    });
  }

  /** @returns whether it was not said before */
  async #say(es: StoredElastiService, why: { reason: string; message: string }): Promise<boolean> {
    const before: readonly Condition[] = es.status?.conditions ?? [];
    const conditions = describe.refused(es, { nowMs: this.#options.clock.now(), ...why });
    if (isDeepStrictEqual(conditions, before)) return false;
    await this.#options.status.write(es, { conditions });
    return true;
  }
}
