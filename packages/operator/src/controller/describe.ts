import type { Condition, Waking } from "@elasti/api";
import type { StoredElastiService } from "../lifecycle/cluster-view.ts";
import type { TargetState } from "../lifecycle/contracts.ts";
import type { SleepAnswer } from "../lifecycle/may-sleep.ts";
import type { ServiceMemory } from "../lifecycle/memory.ts";
import type { Observation, Step } from "../lifecycle/phases.ts";
import { PINNED_ASLEEP } from "../lifecycle/ruling.ts";
import { type ConditionUpdate, setConditions } from "./conditions.ts";
import type { Prepared, Warning } from "./parts.ts";

export interface Description {
  readonly es: StoredElastiService;
  readonly nowMs: number;
  readonly prepared: Prepared;
  readonly observation: Observation;
  readonly target: TargetState;
  readonly answer: SleepAnswer;
  readonly step: Extract<Step, { do: "wait" }>;
  readonly memory: ServiceMemory;
  readonly warnings: readonly Warning[];
  /** What a wake waits for. */
  readonly waking: Waking | undefined;
}

/** The conditions of an ElastiService whose next step is to wait. */
export function describe(d: Description): Condition[] {
  const updates: ConditionUpdate[] = [ready(d), routing(d), target(d), idle(d), ...optional(d)];
  return setConditions(d.es.status?.conditions ?? [], updates, {
    nowMs: d.nowMs,
    generation: d.es.metadata.generation,
  });
}

/** The conditions of one that is not acted on at all. */
describe.refused = (es: StoredElastiService, why: { nowMs: number; reason: string; message: string }): Condition[] =>
  setConditions(
    es.status?.conditions ?? [],
    [{ type: "Ready", status: "False", reason: why.reason, message: why.message }],
    { nowMs: why.nowMs, generation: es.metadata.generation },
  );

/** Those of one whose pass failed: the others stay as they were. */
describe.failed = (
  es: StoredElastiService,
  failure: { nowMs: number; reason: string; message: string },
): Condition[] => {
  const before = es.status?.conditions ?? [];
  const others = before.filter(({ type }) => type !== "Ready");
  const ready = { type: "Ready", status: "False", reason: failure.reason, message: failure.message } as const;
  return setConditions(before, [ready, ...others], { nowMs: failure.nowMs, generation: es.metadata.generation });
};

function ready({ observation, prepared, target: state, step }: Description): ConditionUpdate {
  const type = "Ready";
  if (prepared.refused !== undefined) return { type, status: "False", ...prepared.refused };
  if (state.kind !== "found") return { type, status: "False", reason: state.reason, message: state.message };
  const { phase = "Degraded" } = observation;
  if (phase === "Degraded") return { type, status: "False", reason: "Degraded", message: step.why };
  return { type, status: "True", reason: phase, message: step.why };
}

function routing({ prepared, memory, observation }: Description): ConditionUpdate {
  const type = "RoutingSupported";
  if (prepared.refused !== undefined) return { type, status: "False", ...prepared.refused };
  if (memory.routingProblem !== undefined) return { type, status: "False", ...memory.routingProblem };
  if (observation.resolvers === 0) {
    return {
      type,
      status: "Unknown",
      reason: "NoResolver",
      message: "no resolver serves this service on its ports",
    };
  }
  return { type, status: "True", reason: observation.mode, message: `resolvers: ${observation.resolvers}` };
}

function target({ target: state }: Description): ConditionUpdate {
  const type = "TargetFound";
  return state.kind === "found"
    ? { type, status: "True", reason: "Found", message: "the target has a scale subresource" }
    : { type, status: "False", reason: state.reason, message: state.message };
}

function idle({ observation, answer }: Description): ConditionUpdate {
  const type = "Idle";
  if (observation.phase === "Asleep") return { type, status: "True", reason: "Asleep", message: "at zero replicas" };
  if (answer.may) return { type, status: "True", reason: "Idle", message: answer.message };
  return {
    type,
    status: answer.unknown === true ? "Unknown" : "False",
    reason: answer.reason,
    message: answer.message,
  };
}

function optional({ warnings, waking, memory }: Description): ConditionUpdate[] {
  const updates = [...warnings, ...missingRight(memory)].map(
    (warning): ConditionUpdate => ({ status: "True", ...warning }),
  );
  if (waking?.certain === true && waking.reason !== PINNED_ASLEEP)
    updates.push({ type: "WakeFailed", status: "True", reason: waking.reason, message: waking.message });
  return updates;
}

/** A sleep that is not allowed is tried again later, and said until it succeeds. */
const missingRight = ({ missingRight: message }: ServiceMemory): Warning[] =>
  message === undefined ? [] : [{ type: "PermissionMissing", reason: "PermissionMissing", message }];

/** Activity is written to status now and then, so that a cooldown survives a restart. */
export function activityToWrite({ spec, status }: StoredElastiService, lastActiveMs: number): string | undefined {
  const written = status?.lastActiveTime === undefined ? 0 : Date.parse(status.lastActiveTime);
  const stepMs = Math.min(60_000, Math.max(5_000, (spec.cooldownPeriod ?? 900) * 100));
  return lastActiveMs - written >= stepMs ? new Date(lastActiveMs).toISOString() : undefined;
}
