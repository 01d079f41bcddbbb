/**
 * The state of the modelled world: small numbers only, so that a state becomes a short string.
 *
 * resourceVersions are not counted. Whoever has built a write keeps one bit, `fresh`: the object is still as it was read.
 * Every change of an object clears that bit in all writes that concern it. Epochs are kept as ranks: only their order
 * and equality matter.
 */

export const phases = ["Serving", "Draining", "Sealed", "Asleep", "Waking", "Degraded"] as const;
export const SERVING = 0;
export const DRAINING = 1;
export const SEALED = 2;
export const ASLEEP = 3;
export const WAKING = 4;

/** Pods. With targets without a readiness probe, a starting pod is already published as ready. */
export const NONE = 0;
export const STARTING = 1;
export const READY = 2;
export const TERMINATING = 3;

export const writeKinds = [
  "none",
  "set-phase",
  "mark-pods-gone",
  "park",
  "unpark",
  "fence-service",
  "write-slice",
  "delete-slice",
  "fence-target",
  "scale-up",
  "zero",
  "read-target",
] as const;
export type WriteKind = (typeof writeKinds)[number];
export type Bit = 0 | 1;

/** A call on its way to the API server. */
export interface Write {
  readonly kind: WriteKind;
  /** For set-phase. */
  readonly phase: number;
  /** Its precondition still holds. */
  readonly fresh: Bit;
  /** No phase has been written since it was decided. */
  readonly current: Bit;
  /** The epoch that it stamps on the Service is not below the last Draining's. */
  readonly stamp: Bit;
}

export const noWrite: Write = { kind: "none", phase: 0, fresh: 0, current: 0, stamp: 0 };

/** The leader's memory of a sleep; the numbers index the lists in operators.ts. */
export interface Run {
  readonly parkWritten: Bit;
  readonly proof: number;
  readonly grace: number;
  readonly look: number;
  readonly seal: number;
  /** The target has been read, and is still as it was then. */
  readonly targetRead: Bit;
  readonly targetFresh: Bit;
  readonly zero: number;
  readonly zeroTries: number;
  /** A resolver has restarted since the run began: what it had seen nobody knows. */
  readonly broken: Bit;
}

export interface Resolver {
  /** What it has last seen of the ElastiService. */
  readonly phase: number;
  readonly epoch: number;
  readonly gone: Bit;
  /** It has seen the Draining before this Sealed itself. */
  readonly drained: Bit;
  /** A request came since it saw that Draining. */
  readonly counted: Bit;
  /** Epoch of its local seal while that is in force, else 0. */
  readonly sealed: number;
  /** Epochs of a request to seal that is on its way to it; 0 for none. */
  readonly askEpoch: number;
  readonly askDrain: number;
  /** It has acknowledged to the present run. */
  readonly acked: Bit;
  /** Pods, one bit each, that it does not trust to live. */
  readonly taint: number;
}

/** Requests: 0 not sent, 1 answered, 2+p on its way on pod p directly, 4+r held by resolver r, 6+2r+p forwarded by r to pod p. */
export const UNSENT = 0;
export const ANSWERED = 1;
export const direct = (pod: number): number => 2 + pod;
export const held = (resolver: number): number => 4 + resolver;
export const forwarded = (resolver: number, pod: number): number => 6 + 2 * resolver + pod;
export const isHeld = (request: number): boolean => request === 4 || request === 5;
export const isDirect = (request: number): boolean => request === 2 || request === 3;
/** The resolver that has the request, or -1. */
export const resolverOf = (request: number): number =>
  isHeld(request) ? request - 4 : request >= 6 ? (request - 6) >> 1 : -1;
/** The pod that works on the request, or -1. */
export const podOf = (request: number): number => (isDirect(request) ? request - 2 : request >= 6 ? request & 1 : -1);

export interface State {
  /** The ElastiService's status. */
  phase: number;
  epoch: number;
  /** Epoch of the Draining that is under way or sealed, else 0. */
  drain: number;
  gone: Bit;
  /** The public Service; `fenced`: the epoch in its annotation is not below the last Draining's. */
  parked: Bit;
  fenced: Bit;
  /** Our EndpointSlice stands. */
  slice: Bit;
  /** Kubernetes' own slice: per pod bit p present, bit 2+p ready. */
  kube: number;
  replicas: number;
  /** The replica count that the workload's controller acts by. */
  controller: number;
  pods: [number, number];
  /** What the node's kube-proxy leads to, then the changes that it has yet to learn, in order: bit p pod, bit 2 resolvers. */
  table: number[];
  requests: number[];
  resolvers: [Resolver, Resolver];
  /** The leader: its memory, the result of its fence in this phase, its call under way. */
  run: Run | undefined;
  fence: number;
  leader: Write;
  /** A replica that answers a hold's notification without leading. */
  wakerFence: number;
  waker: Write;
  /** A call that outlived its caller's patience, or its caller. */
  late: Write;
  /** Ghost: a request was let through, or a trigger was not idle at the second look, since Draining began. */
  busy: Bit;
  /** A resolver has carried an answer since this wake began. */
  answered: Bit;
  sleeps: number;
  depositions: number;
  lost: number;
  restarts: number;
  /** The leader has not read the ElastiService since it leads. Set only where that is explored. */
  newcomer: Bit;
}

export function copy(s: State): State {
  return {
    ...s,
    pods: [s.pods[0], s.pods[1]],
    table: s.table.slice(),
    requests: s.requests.slice(),
    resolvers: [s.resolvers[0], s.resolvers[1]],
  };
}
