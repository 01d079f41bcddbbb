import type { Logger } from "@elasti/core";
import { isConflict } from "@elasti/kube";
import type { ClusterView, StoredElastiService } from "../lifecycle/cluster-view.ts";
import { ourSlices } from "../lifecycle/observe.ts";
import type { Routing } from "../lifecycle/routing.ts";
import type { Parts } from "./parts.ts";

export interface FollowerOptions {
  readonly view: ClusterView;
  readonly routing: Routing;
  readonly parts: Pick<Parts, "listed" | "listsTheGone">;
  readonly logger: Logger;
}

/** What a replica does that is not the leader: it takes resolvers that are gone out of slices that stand, and nothing else. */
export class Follower {
  readonly #options: FollowerOptions;

  constructor(options: FollowerOptions) {
    this.#options = options;
  }

  async follow(es: StoredElastiService): Promise<void> {
    const { view, routing, parts, logger } = this.#options;
    const namespace = es.metadata.namespace ?? "";
    const service = view.services.get(namespace, es.spec.service);
    if (service === undefined || es.status?.routes === undefined) return;
    const listed = parts.listed(es, service, es.status.routes);
    const ours = ourSlices(
      view.slicesOf(namespace, es.spec.service),
      listed.slices.map(({ metadata }) => metadata.name),
    );
    if (ours.length === 0 || listed.resolvers.length === 0 || !parts.listsTheGone(ours)) return;
    try {
      await routing.writeSlices(ours, listed.slices);
    } catch (error) {
      if (!isConflict(error)) throw error;
      logger.debug({ namespace, service: es.spec.service }, "the slice was written by another replica");
    }
  }
}
