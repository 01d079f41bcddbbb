import type { Waking } from "@elasti/api";
import type { EndpointSlice, Service } from "@elasti/kube";
import type { WakeReason } from "@elasti/scaling";
import type { StoredElastiService } from "./cluster-view.ts";
import type { TargetState } from "./contracts.ts";
import type { Ruling } from "./ruling.ts";

/** What a step is performed on. */
export interface Subject {
  /** `namespace/name` of the ElastiService. */
  readonly key: string;
  readonly es: StoredElastiService;
  readonly service: Service | undefined;
  readonly ourSlices: readonly EndpointSlice[];
  readonly desiredSlices: readonly EndpointSlice[];
  readonly target: TargetState;
  /** Names of the resolvers that the slice lists. */
  readonly listed: readonly string[];
  /** Names of every resolver that may carry a request: they all must hold. */
  readonly required: readonly string[];
  readonly wakeReason: WakeReason;
  /** No other ElastiService has the same target. */
  readonly alone: boolean;
  /** Somebody else raised the target from zero while it was asleep. */
  readonly raisedByOthers: boolean;
  readonly ruling: Ruling;
  /** While requests are to be refused. */
  readonly pinned: Waking | undefined;
  /** Replicas that an override asks for. */
  readonly adjustTo: number | undefined;
}
