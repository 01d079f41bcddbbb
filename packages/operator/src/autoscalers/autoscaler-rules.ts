import { type ElastiService, specDefaults } from "@elasti/api";
import type { ScaledObject } from "@elasti/kube";
import { type AutoscalerStage, isPausedByUs, pinnedReplicas, type ScaledObjectState } from "@elasti/scaling";
import { type FoundAutoscalers, isSameTarget, type KindState } from "./autoscaler-watch.ts";
import type { WriteTrouble } from "./scaled-object-writer.ts";

/** What is known of the autoscalers of one target. */
export interface AutoscalerFacts extends FoundAutoscalers {
  readonly es: ElastiService;
  readonly states: { readonly keda: KindState; readonly hpa: KindState };
  /** What `spec.autoscaler` names, whatever it scales. */
  readonly named: { readonly spec: { readonly scaleTargetRef: ScaledObject["spec"]["scaleTargetRef"] } } | undefined;
  readonly kedaVersion: readonly [number, number] | undefined;
  readonly troubleOf: (object: ScaledObject) => WriteTrouble | undefined;
}

export interface AutoscalerNote {
  readonly type: string;
  readonly reason: string;
  readonly message: string;
}

/** The KEDA that knows `force-activation`. */
const leastKeda: readonly [number, number] = [2, 18];

/** By its spec KEDA takes the target from one to zero. It allows idleReplicaCount only where it is 0. */
export const mayZero = ({ spec }: ScaledObject): boolean =>
  (spec.minReplicaCount ?? 0) === 0 || spec.idleReplicaCount === 0;

/** The sleep that an ElastiService is in, if it is in one. */
const sleepOf = ({ metadata, status }: ElastiService): string => `${metadata.name}@${status?.epoch ?? 0}`;

/** @param peers others with the same target */
export function stateOfScaledObject(
  object: ScaledObject,
  es: ElastiService | undefined,
  peers: readonly ElastiService[] = [],
): ScaledObjectState {
  const { autoscaler } = es?.spec ?? {};
  return {
    annotations: object.metadata.annotations ?? {},
    mayZero: mayZero(object),
    named: autoscaler?.type === "keda" && autoscaler.name === object.metadata.name,
    sleeps: es === undefined ? [] : [es, ...peers].map(sleepOf),
  };
}

/** A KEDA so old that nothing keeps it from taking an awake target to zero. A version that is not told is taken for a newer one. */
export function isTooOld(object: ScaledObject, version: readonly [number, number] | undefined): boolean {
  if (version === undefined || !mayZero(object)) return false;
  return version[0] < leastKeda[0] || (version[0] === leastKeda[0] && version[1] < leastKeda[1]);
}

/** What can be told of a stage: a KEDA that is too old is left as it was. */
export function stageFor(
  object: ScaledObject,
  stage: AutoscalerStage,
  version: readonly [number, number] | undefined,
): AutoscalerStage | undefined {
  if (!isTooOld(object, version)) return stage;
  return stage === "awake" || stage === "restored" ? "restored" : undefined;
}

/** Why these autoscalers let nobody else put the target to zero; undefined when they can be lived with. */
export function obstacleOf(facts: AutoscalerFacts): { reason: string; message: string } | undefined {
  const { es, states, scaledObjects, hpas, kedaVersion, troubleOf } = facts;
  const { autoscaler } = es.spec;
  if (states.keda === "pending" || states.hpa === "pending")
    return { reason: "AutoscalerPending", message: "it is not known yet which autoscalers there are" };
  if (autoscaler !== undefined && states[autoscaler.type] === "unreadable")
    return {
      reason: "AutoscalerUnreadable",
      message: `spec.autoscaler names ${autoscaler.type} ${autoscaler.name}, which may not be read: allow get, list and watch on ${autoscaler.type === "keda" ? "scaledobjects.keda.sh" : "horizontalpodautoscalers.autoscaling"}`,
    };
  for (const { metadata, spec } of hpas) {
    if (spec.minReplicas !== 0) continue;
    return {
      reason: "AutoscalerUnsupported",
      message: `HPA ${metadata.name} has minReplicas 0 and scales to zero by itself, which loses requests: set it to 1 or more`,
    };
  }
  for (const object of scaledObjects) {
    const { name } = object.metadata;
    if (isTooOld(object, kedaVersion))
      return {
        reason: "AutoscalerUnsupported",
        message: `nothing keeps KEDA ${kedaVersion?.join(".")} from taking an awake target to zero for ScaledObject ${name}: set minReplicaCount to 1 or more and no idleReplicaCount, or install KEDA ${leastKeda.join(".")} or later`,
      };
    const pinned = pinnedReplicas(stateOfScaledObject(object, es));
    if (pinned !== undefined)
      return {
        reason: "AutoscalerPinned",
        message: `ScaledObject ${name} is paused at ${pinned} replicas by its own annotation`,
      };
    const trouble = troubleOf(object);
    if (trouble !== undefined) return { reason: trouble.reason, message: trouble.message };
  }
  return undefined;
}

/** What status says of the autoscalers beside that. */
export function notesOf(facts: AutoscalerFacts): AutoscalerNote[] {
  const { es, states, scaledObjects, named } = facts;
  const notes: AutoscalerNote[] = [];
  const paused = scaledObjects.filter(({ metadata }) => isPausedByUs({ annotations: metadata.annotations ?? {} }));
  if (paused.length > 0)
    notes.push({
      type: "AutoscalerPaused",
      reason: "AutoscalerPaused",
      message: `ScaledObject ${paused.map(({ metadata }) => metadata.name).join(", ")} is paused until the target is awake again`,
    });
  const obstacle = obstacleOf(facts);
  if (obstacle !== undefined && obstacle.reason !== "AutoscalerPending")
    notes.push({ type: "AutoscalerUnsupported", ...obstacle });
  const { autoscaler, scaleTargetRef } = es.spec;
  if (autoscaler === undefined) return notes;
  const state = states[autoscaler.type];
  const what = `${autoscaler.type === "keda" ? "ScaledObject" : "HPA"} ${autoscaler.name}`;
  if (state === "absent" || (state === "known" && named === undefined))
    notes.push({
      type: "AutoscalerMissing",
      reason: "AutoscalerMissing",
      message: `${what}, which spec.autoscaler names, does not exist`,
    });
  else if (state === "known" && named !== undefined && !isSameTarget(named.spec.scaleTargetRef, scaleTargetRef))
    notes.push({
      type: "AutoscalerMissing",
      reason: "AutoscalerMismatch",
      message: `${what}, which spec.autoscaler names, scales ${named.spec.scaleTargetRef.name} and is left alone`,
    });
  return notes;
}

/** Replicas that a wake asks for: what the autoscaler would ask for at once is asked for in the first place. */
export function wantedOf(
  es: ElastiService,
  { scaledObjects, hpas }: FoundAutoscalers,
): { replicas: number; autoscaled: boolean } {
  return {
    replicas: Math.max(
      es.spec.minTargetReplicas ?? specDefaults.minTargetReplicas,
      ...hpas.map(({ spec }) => spec.minReplicas ?? 1),
      ...scaledObjects.map(({ spec }) => spec.minReplicaCount ?? 0),
    ),
    autoscaled: hpas.length + scaledObjects.length > 0,
  };
}

/**
 * Whether one ElastiService may bring the autoscalers of its target to a stage, as far as others with the same target are
 * concerned: a pause is anybody's, it ends when none of them needs it any more.
 */
export function mayTell(stage: AutoscalerStage, peers: readonly ElastiService[]): boolean {
  const live = peers.filter(({ metadata }) => metadata.deletionTimestamp === undefined);
  switch (stage) {
    case "paused":
    case "waking":
      return true;
    case "asleep":
      return live.every(({ status }) => status?.phase === "Asleep");
    case "awake":
      return live.every(({ status }) => status?.phase === "Serving" || status?.phase === undefined);
    case "restored":
      return live.length === 0;
  }
}
