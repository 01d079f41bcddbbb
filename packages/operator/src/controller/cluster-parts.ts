import { FIELD_MANAGER, FINALIZER, keyOf, type ProbeStatus, type Route } from "@elasti/api";
import { type Clock, ElastiError, errorText } from "@elasti/core";
import {
  type EndpointSlice,
  isNotFound,
  type KubeClient,
  type PodTemplate,
  resources,
  type Service,
  type ServicePort,
} from "@elasti/kube";
import type { SessionHub } from "../elastiserver/session-hub.ts";
import type { ClusterView, StoredElastiService } from "../lifecycle/cluster-view.ts";
import { ourSlices, privateNameOf } from "../lifecycle/observe.ts";
import { liveSelector, type Routing } from "../lifecycle/routing.ts";
import type { Listed, Parts, Prepared, Warning } from "./parts.ts";
import type { PortTable } from "./port-table.ts";
import { deletePrivateService, desiredPrivateService, ensurePrivateService } from "./private-service.ts";
import { probeStatusOf } from "./probe-status.ts";
import type { ResolverSet } from "./resolver-set.ts";
import { desiredSlices, slicesMatch } from "./resolver-slice.ts";
import { takenPortsNote } from "./served-routes.ts";
import { checkService, ownerAmong, sharedTargetNote, unmanagedServicesNote } from "./service-check.ts";

/** How long KubeElasti's private Service keeps its address once the service is awake. */
const settleMs = 60_000;

export interface ClusterPartsOptions {
  client: KubeClient;
  clock: Clock;
  view: ClusterView;
  routing: Routing;
  hub: SessionHub;
  resolverSet: ResolverSet;
  ports: PortTable;
  /** The other ElastiServices with the same target. */
  peersOf: (es: StoredElastiService) => readonly StoredElastiService[];
  /** What is worth knowing of the target's autoscalers. */
  autoscalerNotes: (es: StoredElastiService) => readonly Warning[];
  /** Namespaces that are being deleted. */
  namespaceGoing: (es: StoredElastiService) => Promise<boolean>;
}

/** Failures that only the user can mend, by the reason that the condition shows. */
const refusals: Readonly<Record<string, string>> = {
  ELASTI_PORTS_EXHAUSTED: "PortsExhausted",
  ELASTI_PRIVATE_SERVICE_TAKEN: "PrivateServiceTaken",
};

/** The pieces around the lifecycle, put together over the cluster. */
export class ClusterParts implements Parts {
  readonly #options: ClusterPartsOptions;

  constructor(options: ClusterPartsOptions) {
    this.#options = options;
  }

  ownerOf(namespace: string, service: string): StoredElastiService | undefined {
    return ownerAmong(this.#options.view.elastiServicesOf(namespace, service));
  }

  async prepare(es: StoredElastiService, service: Service | undefined): Promise<Prepared> {
    const { resolverSet } = this.#options;
    if (es.metadata.deletionTimestamp !== undefined)
      return { refused: undefined, routes: es.status?.routes ?? [], notes: [] };
    const ready = resolverSet.endpoints().filter((resolver) => resolver.ready && !resolver.terminating);
    const checked = checkService({
      name: es.spec.service,
      service,
      resolverNodes: new Set(ready.flatMap(({ node }) => node ?? [])),
      nodes: undefined,
    });
    if (!checked.ok) {
      const { reason, message } = checked;
      return { refused: { reason, message }, routes: es.status?.routes ?? [], notes: [] };
    }
    try {
      return { refused: undefined, routes: await this.#provide(es, service!, checked.ports), notes: checked.notes };
    } catch (error) {
      const reason = error instanceof ElastiError ? refusals[error.code] : undefined;
      if (reason === undefined) throw error;
      return { refused: { reason, message: errorText(error) }, routes: es.status?.routes ?? [], notes: [] };
    }
  }

  /** Resolver ports of a Service, and its private Service. */
  async #provide(es: StoredElastiService, service: Service, servicePorts: readonly ServicePort[]): Promise<Route[]> {
    const { client, view, ports } = this.#options;
    const namespace = es.metadata.namespace ?? "";
    const allocated = await ports.allocate(
      keyOf(namespace, es.spec.service),
      servicePorts.map(({ name = "", port }) => ({ name, port })),
      es.status?.routes,
    );
    const existing = view.services.get(namespace, privateNameOf(es));
    const desired = desiredPrivateService(es, service, servicePorts);
    const written = await ensurePrivateService(client, existing, desired, this.#isSettled(es));
    if (written !== existing) view.services.wrote(written);
    return servicePorts.map(({ name, port, appProtocol }, index) => ({
      ...(name === undefined || name === "" ? {} : { name }),
      port,
      resolverPort: allocated[index]!,
      protocol: "TCP",
      ...(appProtocol === undefined ? {} : { appProtocol }),
    }));
  }

  /** It has been serving for so long that no request is left at the resolvers of KubeElasti, if it was taken over from there. */
  #isSettled({ status }: StoredElastiService): boolean {
    if (status?.phase !== "Serving" || status.phaseTime === undefined) return false;
    return this.#options.clock.now() - Date.parse(status.phaseTime) >= settleMs;
  }

  listed(es: StoredElastiService, service: Service | undefined, routes: readonly Route[]): Listed {
    const { view, hub, resolverSet } = this.#options;
    if (service === undefined) return { slices: [], resolvers: [], match: (ours) => ours.length === 0 };
    const namespace = es.metadata.namespace ?? "";
    const sessions = new Map(hub.resolvers().map((resolver) => [resolver.id, resolver]));
    const { slices, resolvers } = desiredSlices({
      service,
      routes,
      resolvers: resolverSet.endpoints(),
      servedBy: (id) => sessions.get(id),
      existing: ourSlices(view.slicesOf(namespace, es.spec.service), []),
    });
    return { slices, resolvers, match: (ours) => slicesMatch(ours, slices) };
  }

  listsTheGone(ours: readonly EndpointSlice[]): boolean {
    const alive = new Set(
      this.#options.resolverSet
        .endpoints()
        .filter(({ ready, terminating }) => ready && !terminating)
        .flatMap(({ addresses }) => Object.values(addresses)),
    );
    return ours.some(({ endpoints }) =>
      (endpoints ?? []).some(({ addresses }) => addresses.some((address) => !alive.has(address))),
    );
  }

  requiredResolvers(): readonly string[] {
    return this.#options.resolverSet.required();
  }

  probeOf(template: PodTemplate | undefined): ProbeStatus {
    return probeStatusOf(template);
  }

  warnings(es: StoredElastiService, template: PodTemplate | undefined): readonly Warning[] {
    const { view, hub, peersOf, autoscalerNotes } = this.#options;
    const { namespace = "" } = es.metadata;
    const service = view.services.get(namespace, es.spec.service);
    if (service === undefined) return autoscalerNotes(es);
    const labels = template?.metadata?.labels ?? liveSelector(service);
    return [
      ...autoscalerNotes(es),
      ...takenPortsNote(hub.resolvers(), keyOf(namespace, es.spec.service), es.status?.routes ?? []),
      ...sharedTargetNote(peersOf(es)),
      ...unmanagedServicesNote(
        service,
        labels,
        view.servicesSelecting(namespace, labels),
        (name) => this.ownerOf(namespace, name) !== undefined,
      ),
    ];
  }

  /** A new leader looks at the port table as it is now. */
  reload(): void {
    this.#options.ports.reload();
  }

  namespaceGoing(es: StoredElastiService): Promise<boolean> {
    return this.#options.namespaceGoing(es);
  }

  async release(es: StoredElastiService, service: Service | undefined): Promise<void> {
    const { client, view, routing, ports } = this.#options;
    const { namespace = "" } = es.metadata;
    if (service !== undefined) {
      await routing.release(service);
      await routing.deleteSlices(ourSlices(view.slicesOf(namespace, es.spec.service), []));
    }
    const own = view.services.get(namespace, privateNameOf(es));
    if (own !== undefined) await deletePrivateService(client, own);
    await ports.release(keyOf(namespace, es.spec.service));
    await this.removeFinalizer(es);
  }

  /** Takes our finalizer off. */
  async removeFinalizer(es: StoredElastiService): Promise<void> {
    const { client, view } = this.#options;
    const { namespace, name, resourceVersion, finalizers = [] } = es.metadata;
    if (!finalizers.includes(FINALIZER)) return;
    const body = {
      metadata: { resourceVersion, finalizers: finalizers.filter((finalizer) => finalizer !== FINALIZER) },
    };
    try {
      const written = await client.patch<StoredElastiService>(
        resources.elastiServices,
        namespace,
        name,
        "merge",
        body,
        {
          fieldManager: FIELD_MANAGER,
        },
      );
      view.elastiServices.removed(written);
    } catch (error) {
      if (!isNotFound(error)) throw error;
    }
  }
}
