import type { ProbeStatus, Route } from "@elasti/api";
import type { EndpointSlice, PodTemplate, Service } from "@elasti/kube";
import type { StoredElastiService } from "../lifecycle/cluster-view.ts";

/** What a pass needs before it decides: the Service judged, its ports, the private Service. */
export interface Prepared {
  /** Why the Service cannot be led to resolvers; undefined when it can. */
  readonly refused: { readonly reason: string; readonly message: string } | undefined;
  readonly routes: readonly Route[];
  readonly notes: readonly Warning[];
}

/** A thing worth knowing that changes nothing. */
export interface Warning {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
  /** Amounts in the message matter. */
  readonly exact?: boolean;
}

/** The resolvers that lead to a service, as its slices should list them. */
export interface Listed {
  readonly slices: readonly EndpointSlice[];
  readonly resolvers: readonly string[];
  /** Whether the slices that are there are these. */
  readonly match: (ours: readonly EndpointSlice[]) => boolean;
}

/** The pieces around the lifecycle that the reconciler puts together. */
export interface Parts {
  /** The ElastiService that has a Service: of several the oldest. */
  ownerOf(namespace: string, service: string): StoredElastiService | undefined;
  /** Judges the Service, allocates its resolver ports, makes the private Service. */
  prepare(es: StoredElastiService, service: Service | undefined): Promise<Prepared>;
  listed(es: StoredElastiService, service: Service | undefined, routes: readonly Route[]): Listed;
  /** Slices list a resolver that is gone. */
  listsTheGone(ours: readonly EndpointSlice[]): boolean;
  requiredResolvers(): readonly string[];
  probeOf(template: PodTemplate | undefined): ProbeStatus;
  warnings(es: StoredElastiService, template: PodTemplate | undefined): readonly Warning[];
  namespaceGoing(es: StoredElastiService): Promise<boolean>;
  /** Removes all that is ours around the service, then the finalizer. */
  release(es: StoredElastiService, service: Service | undefined): Promise<void>;
  removeFinalizer(es: StoredElastiService): Promise<void>;
}
