import { type ElastiService, keyOf, splitKey } from "@elasti/api";
import type { AutoscalerWatch } from "./autoscalers/autoscaler-watch.ts";
import type { Autoscalers } from "./autoscalers/autoscalers.ts";
import type { OtherOperator } from "./controller/other-operator.ts";
import type { ResolverSet } from "./controller/resolver-set.ts";
import type { TargetCache } from "./controller/target-cache.ts";
import type { SessionHub } from "./elastiserver/session-hub.ts";
import { type ClusterView, publicServiceOf } from "./lifecycle/cluster-view.ts";
import { policyOfUser } from "./policies/watched-sources.ts";

export interface WorkToDoOptions {
  readonly view: ClusterView;
  readonly cache: TargetCache;
  readonly hub: SessionHub;
  readonly resolverSet: ResolverSet;
  readonly autoscalers: Pick<Autoscalers, "enqueueOrphans">;
  readonly autoscalerWatch: AutoscalerWatch;
  readonly others: OtherOperator;
  /** `namespace/name` of an ElastiService. */
  readonly enqueue: (key: string) => void;
  /** `namespace/name` of a Service that may carry something of ours, and that no ElastiService names. */
  readonly enqueueOrphan: (key: string) => void;
}

/** Which services have to be looked at again, for each change that is heard of. */
export class WorkToDo {
  readonly #options: WorkToDoOptions;

  constructor(options: WorkToDoOptions) {
    this.#options = options;
  }

  enqueueAll(): void {
    this.#enqueueEach(this.#options.view.stores.elastiServices.list());
  }

  enqueueOrphan(key: string): void {
    this.#options.enqueueOrphan(key);
  }

  subscribe(): void {
    const { view, cache, hub, resolverSet, autoscalerWatch, others, enqueue } = this.#options;
    const all = (): void => this.enqueueAll();
    view.stores.elastiServices.on("change", (event) => this.#elastiServiceChanged(event));
    view.stores.services.on("change", ({ object }) =>
      this.#enqueueService(object.metadata.namespace ?? "", object.metadata.name),
    );
    view.stores.slices.on("change", ({ object }) =>
      this.#enqueueService(object.metadata.namespace ?? "", publicServiceOf(object)),
    );
    autoscalerWatch.onKind(all);
    others.onChange(all);
    cache.onChange((user) => {
      if (policyOfUser(user) === undefined) enqueue(user);
    });
    cache.follow(view.stores.elastiServices);
    hub.onTraffic((key) => {
      const { namespace, name } = splitKey(key);
      // awake, the next round of the triggers is soon enough: of every request of a busy service nobody wants to hear
      this.#enqueueEach(view.elastiServicesOf(namespace, name).filter(({ status }) => status?.phase !== "Serving"));
    });
    hub.onChange((changed) => (changed === undefined ? all() : this.#enqueueEach(view.elastiServicesOfPorts(changed))));
    resolverSet.onChange(all);
  }

  #elastiServiceChanged(event: Parameters<Parameters<ClusterView["stores"]["elastiServices"]["on"]>[1]>[0]): void {
    const { view, autoscalers, hub, enqueue } = this.#options;
    const { object } = event;
    const ns = object.metadata.namespace ?? "";
    enqueue(keyOf(ns, object.metadata.name));
    // those that share a target fall asleep together, and not each when its triggers are asked next
    if (event.type === "modified" && event.old.status?.phase !== object.status?.phase)
      this.#enqueueEach(view.elastiServicesOfTarget(ns, object.spec.scaleTargetRef.name));
    const left = event.type === "deleted" ? object : event.type === "modified" ? event.old : undefined;
    if (left !== undefined && (event.type === "deleted" || left.metadata.generation !== object.metadata.generation))
      autoscalers.enqueueOrphans(ns);
    if (left === undefined || (event.type === "modified" && left.spec.service === object.spec.service)) return;
    // another that names the same Service may have it now; otherwise nobody has
    if (view.elastiServicesOf(ns, left.spec.service).length === 0) hub.forget(ns, left.spec.service);
    this.#enqueueService(ns, left.spec.service);
  }

  #enqueueEach(all: readonly ElastiService[]): void {
    for (const { metadata } of all) this.#options.enqueue(keyOf(metadata.namespace ?? "", metadata.name));
  }

  #enqueueService(namespace: string, name: string): void {
    const named = this.#options.view.elastiServicesOf(namespace, name);
    this.#enqueueEach(named);
    if (named.length === 0 && name !== "") this.enqueueOrphan(keyOf(namespace, name));
  }
}
