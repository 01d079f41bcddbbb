import {
  type ElastiService,
  type Phase,
  privateServiceName,
  type RoutingMode,
  resolverSliceName,
  SERVICE_NAME_LABEL,
  SLICE_MANAGED_BY_LABEL,
  SLICE_MANAGER,
  wantedRoutingMode,
} from "@elasti/api";
import type { EndpointSlice, Service } from "@elasti/kube";
import type { TargetState } from "./contracts.ts";
import type { Observation, SleepRun } from "./phases.ts";
import { isParked, serviceEpoch } from "./routing.ts";
import type { Run } from "./sleep-run.ts";

/** Everything known of one service when its next step is decided. */
export interface Facts {
  readonly es: ElastiService;
  readonly nowMs: number;
  /** undefined: missing. */
  readonly service: Service | undefined;
  /** Why the Service cannot be led to resolvers; undefined when it can. */
  readonly refused: string | undefined;
  /** Of the public Service, whoever made them. */
  readonly publicSlices: readonly EndpointSlice[];
  /** Of the private Service. */
  readonly privateSlices: readonly EndpointSlice[];
  readonly desiredSlices: readonly EndpointSlice[];
  /** Our slices are what they should be. */
  readonly slicesMatch: boolean;
  readonly target: TargetState;
  /** Namespace is being deleted too. */
  readonly namespaceGoing: boolean;
  /** The park is not to be used: somebody takes it off, or somebody forbids it. */
  readonly parkBarred: boolean;
  readonly answeredEpoch: number;
  /** When slice or park of ours were last seen, or this leader began to look; wall clock in ms. */
  readonly routedAtMs: number;
  readonly graceMs: number;
  readonly maySleep: boolean;
  readonly wantsAwake: boolean;
  readonly adjustTo?: number | undefined;
  readonly peersSealed: boolean;
  readonly fence: Observation["fence"];
  readonly run: Run | undefined;
  readonly autoscalerDue: Observation["autoscalerDue"];
}

export const isOurs = (slice: EndpointSlice): boolean =>
  slice.metadata.labels?.[SLICE_MANAGED_BY_LABEL] === SLICE_MANAGER;

/** Slices of the public Service that KubeElasti left under the name that is now ours count as ours. */
export function ourSlices(slices: readonly EndpointSlice[], names: readonly string[]): EndpointSlice[] {
  const hasOurName = ({ metadata: { name, labels } }: EndpointSlice): boolean =>
    names.includes(name) || name === resolverSliceName(labels?.[SERVICE_NAME_LABEL] ?? "");
  return slices.filter((slice) => isOurs(slice) || hasOurName(slice));
}

/** The mode in force: the one asked for, but a park that somebody takes off again is not fought over. */
export function modeInForce(es: ElastiService, parkBarred: boolean): RoutingMode {
  return parkBarred ? "EndpointSlice" : wantedRoutingMode(es.spec);
}

/** Whether the target's pods say by themselves when they can serve. */
export function trustsReady(target: TargetState): boolean {
  if (target.kind !== "found" || target.template === undefined) return true;
  return target.template.spec.containers.some((container) => container.readinessProbe !== undefined);
}

/**
 * Whether the watch on the target may be behind what the phase tells, so that it has to be read before a step is decided:
 * - Sealed, without a run or after a write without a clear answer: a zero may have landed
 * - Waking at zero replicas: another replica may have scaled up, and its phase come here before its target
 */
export function needsFreshTarget(phase: Phase | undefined, replicas: number, run: SleepRun | undefined): boolean {
  if (phase === "Sealed") return run === undefined || run.zero === "conflict" || run.zero === "unknown-outcome";
  return phase === "Waking" && replicas === 0;
}

/** Puts the facts into the terms of the transition function. */
export function observe(facts: Facts): Observation {
  const { es, service, target } = facts;
  const status = es.status ?? {};
  const ours = ourSlices(
    facts.publicSlices,
    facts.desiredSlices.map(({ metadata }) => metadata.name),
  );
  const others = facts.publicSlices
    .filter((slice) => !ours.includes(slice))
    .flatMap(({ endpoints }) => endpoints ?? []);
  const pods = facts.privateSlices.flatMap(({ endpoints }) => endpoints ?? []);
  const isReady = ({ conditions }: EndpointSlice["endpoints"][number]) =>
    conditions?.ready !== false && conditions?.terminating !== true;
  const listed = facts.desiredSlices.reduce((most, { endpoints }) => Math.max(most, endpoints.length), 0);
  return {
    phase: status.phase,
    epoch: status.epoch ?? 0,
    drainEpoch: status.drainEpoch ?? 0,
    phaseAgeMs: status.phaseTime === undefined ? 0 : Math.max(0, facts.nowMs - Date.parse(status.phaseTime)),
    podsGone: status.podsGone ?? false,
    mode: modeInForce(es, facts.parkBarred),
    lifecycle: lifecycleOf(facts),
    service: service === undefined ? "missing" : facts.refused === undefined ? "ok" : "refused",
    parked: service !== undefined && isParked(service),
    serviceEpoch: service === undefined ? 0 : serviceEpoch(service),
    slice: ours.length === 0 ? "absent" : facts.slicesMatch ? "current" : ours.some(isOurs) ? "stale" : "foreign",
    unroutedMs: Math.max(0, facts.nowMs - facts.routedAtMs),
    resolvers: listed,
    publicPods: others.length,
    publicReady: others.filter(isReady).length,
    target: target.kind === "pending" ? "missing" : target.kind,
    replicas: target.kind === "found" ? target.replicas : 0,
    // the private Service may be younger than the pods, so the target's own count has a say too
    podsLeft: Math.max(pods.length, target.kind === "found" ? target.statusReplicas : 0),
    readyPods: pods.filter(isReady).length,
    trustsReady: trustsReady(target),
    answered: facts.answeredEpoch > 0 && facts.answeredEpoch >= (status.epoch ?? 0),
    graceMs: facts.graceMs,
    maySleep: facts.maySleep,
    wantsAwake: facts.wantsAwake,
    adjustTo: facts.adjustTo,
    peersSealed: facts.peersSealed,
    fence: facts.fence,
    run: facts.run,
    autoscalerDue: facts.autoscalerDue,
  };
}

/** Longest that a deleted ElastiService waits for its target to be woken: whoever may not scale it must still be able to delete. */
export const restoreAtMostMs = 600_000;

function lifecycleOf({ es, service, target, namespaceGoing, nowMs }: Facts): Observation["lifecycle"] {
  const { deletionTimestamp } = es.metadata;
  if (deletionTimestamp === undefined) return "live";
  if (nowMs - Date.parse(deletionTimestamp) > restoreAtMostMs) return "release";
  if (namespaceGoing || service === undefined || service.metadata.deletionTimestamp !== undefined) return "release";
  // it may be at zero by us: that its kind cannot be read at the moment is no reason to leave it there
  const { phase = "Degraded" } = es.status ?? {};
  const isOurs = phase !== "Degraded" && phase !== "Serving";
  if (target.kind === "unsupported" && target.reason === "TargetUnreadable" && isOurs) return "restore";
  if (target.kind !== "found" || target.deleting) return "release";
  return "restore";
}

/** Name of the private Service whose slices list the target's pods. */
export const privateNameOf = (es: ElastiService): string => privateServiceName(es.spec.service);
