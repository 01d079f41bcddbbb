import { keyOf, privateServiceName, SERVICE_EPOCH_ANNOTATION, SERVICE_LABEL, SERVICE_NAME_LABEL } from "@elasti/api";
import type { Logger } from "@elasti/core";
import { isConflict, isNotFound, type KubeClient, type Service } from "@elasti/kube";
import type { ClusterView } from "../lifecycle/cluster-view.ts";
import { isOurs } from "../lifecycle/observe.ts";
import { isParked, type Routing } from "../lifecycle/routing.ts";
import type { PortTable } from "./port-table.ts";
import { deletePrivateService } from "./private-service.ts";

export interface OrphansOptions {
  client: KubeClient;
  view: ClusterView;
  routing: Routing;
  ports: PortTable;
  logger: Logger;
}

/**
 * What stays of ours at a Service that no ElastiService names any more: `spec.service` was changed, or the finalizer was
 * taken off by force. The Service becomes the user's own again.
 */
export class Orphans {
  readonly #options: OrphansOptions;

  constructor(options: OrphansOptions) {
    this.#options = options;
  }

  /** Services, as `namespace/name`, that carry something of ours. */
  all(): Set<string> {
    const { stores } = this.#options.view;
    const services = stores.services.list().filter((service) => isMarked(service));
    const slices = stores.slices.list().filter(isOurs);
    return new Set([
      ...services.map(({ metadata }) => keyOf(metadata.namespace ?? "", metadata.name)),
      ...slices.flatMap(({ metadata: { namespace = "", labels } }) => {
        const name = labels?.[SERVICE_NAME_LABEL];
        return name === undefined ? [] : [keyOf(namespace, name)];
      }),
    ]);
  }

  /** Cleans a Service, if no ElastiService names it. The park goes first, so that clients find the pods. */
  async clean(namespace: string, name: string): Promise<void> {
    const { client, view, routing, ports, logger } = this.#options;
    if (view.elastiServicesOf(namespace, name).length > 0) return;
    const service = view.services.get(namespace, name);
    const slices = view.slicesOf(namespace, name).filter(isOurs);
    const own = view.services.get(namespace, privateServiceName(name));
    const hasOwn = own?.metadata.labels?.[SERVICE_LABEL] === name;
    if (slices.length === 0 && !hasOwn && (service === undefined || !isMarked(service))) return;
    logger.info({ namespace, service: name, reason: "NoElastiService" }, "removing what was left behind");
    try {
      if (service !== undefined) await routing.release(service);
      await routing.deleteSlices(slices);
      if (hasOwn) await deletePrivateService(client, own);
      await ports.release(keyOf(namespace, name));
    } catch (error) {
      // the event that made this old comes back here
      if (!isConflict(error) && !isNotFound(error)) throw error;
    }
  }
}

const isMarked = (service: Service): boolean =>
  isParked(service) || service.metadata.annotations?.[SERVICE_EPOCH_ANNOTATION] !== undefined;
