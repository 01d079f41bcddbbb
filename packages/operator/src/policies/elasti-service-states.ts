import type { ElastiService } from "@elasti/api";
import type { ElastiServiceState, ElastiServiceStates, Policy, TargetResolver, WakeReason } from "@elasti/policies";
import type { SessionHub } from "../elastiserver/session-hub.ts";
import { operatorErrors } from "../errors.ts";
import type { ClusterView, StoredElastiService } from "../lifecycle/cluster-view.ts";
import type { Waker } from "../waker.ts";

export interface ElastiServiceStatesOptions {
  readonly view: ClusterView;
  readonly hub: Pick<SessionHub, "traffic">;
  readonly waker: Pick<Waker, "wake">;
  /** Replicas that a wake asks for. */
  readonly wanted: (es: ElastiService) => { readonly replicas: number };
  readonly watched: (namespace: string) => boolean;
}

const msOf = (time: string | undefined): number | undefined => (time === undefined ? undefined : Date.parse(time));

/** The ElastiServices as the policy API shows and wakes them. */
export class WatchedElastiServices implements ElastiServiceStates {
  readonly #options: ElastiServiceStatesOptions;
  readonly #resolver: TargetResolver;

  constructor(options: ElastiServiceStatesOptions, resolver: TargetResolver) {
    this.#options = options;
    this.#resolver = resolver;
  }

  of(policy: Policy): ElastiServiceState | undefined {
    const es = this.#esOf(policy);
    return es === undefined ? undefined : this.#stateOf(es);
  }

  namespaces(): readonly string[] {
    const all = this.#options.view.stores.elastiServices.list();
    return [...new Set(all.map(({ metadata }) => metadata.namespace ?? "").filter(this.#options.watched))];
  }

  async wake(namespace: string, name: string, _reason: WakeReason): Promise<{ readonly replicas: number }> {
    const es = this.#options.view.elastiServices.get(namespace, name);
    if (es === undefined)
      throw operatorErrors.ELASTI_UNKNOWN_SERVICE(`there is no ElastiService ${name} in namespace ${namespace}`);
    const { replicas } = await this.#options.waker.wake({ namespace, svc: es.spec.service, count: 1 });
    return { replicas: Math.max(replicas, this.#options.wanted(es).replicas) };
  }

  serving(namespace: string, name: string, signal: AbortSignal): Promise<boolean> {
    const { elastiServices } = this.#options.view.stores;
    const isServing = (): boolean =>
      this.#options.view.elastiServices.get(namespace, name)?.status?.phase === "Serving";
    if (isServing()) return Promise.resolve(true);
    if (signal.aborted) return Promise.resolve(false);
    const { promise, resolve } = Promise.withResolvers<boolean>();
    const stop = elastiServices.on("change", ({ object }) => {
      if (object.metadata.namespace === namespace && object.metadata.name === name && isServing()) resolve(true);
    });
    const onAbort = (): void => resolve(false);
    signal.addEventListener("abort", onAbort, { once: true });
    return promise.finally(() => {
      stop();
      signal.removeEventListener("abort", onAbort);
    });
  }

  #esOf(policy: Policy): StoredElastiService | undefined {
    const { target_ref: ref } = policy;
    if (ref === null) return undefined;
    const resolved = this.#resolver.resolve(policy);
    const [named] = resolved.kind === "found" ? resolved.elastiServices : [];
    const { view } = this.#options;
    if (named !== undefined) return view.elastiServices.get(ref.namespace, named.metadata.name);
    return this.#resolver.isElastiService(policy) ? view.elastiServices.get(ref.namespace, ref.name) : undefined;
  }

  #stateOf(es: StoredElastiService): ElastiServiceState {
    const { namespace = "", name } = es.metadata;
    const { phase = "Serving", phaseTime, lastActiveTime, lastWake } = es.status ?? {};
    const { lastRequestAtMs } = this.#options.hub.traffic(namespace, es.spec.service);
    const active = Math.max(lastRequestAtMs ?? 0, msOf(lastActiveTime) ?? 0);
    return {
      namespace,
      name,
      phase,
      sinceMs: msOf(phaseTime),
      lastActiveMs: active === 0 ? undefined : active,
      lastWakeMs: msOf(lastWake?.time),
      lastWakeReason: lastWake?.reason,
    };
  }
}
