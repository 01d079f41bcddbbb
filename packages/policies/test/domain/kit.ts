import assert from "node:assert/strict";
import {
  type Decided,
  decide,
  initialState,
  type MetricSample,
  type NewPolicy,
  normalizePolicy,
  type Policy,
  type PolicyContext,
  type PolicyState,
  type TargetObservation,
} from "../../src/index.ts";

export const context: PolicyContext = {
  targetTypes: { workload: { needsRef: true }, elastiservice: { needsRef: true }, "cdc-worker": { needsRef: false } },
  catalogue: ["queue_depth", "latency", "errors"],
};
export const body = (more: Partial<NewPolicy> = {}): NewPolicy => ({
  name: "orders",
  target_type: "workload",
  target_ref: { namespace: "shop", name: "orders" },
  ...more,
});

/** A policy as it is kept, made in spring. */
export function policyOf(more: Partial<NewPolicy> = {}, updatedAt = "2026-05-01T00:00:00.000Z"): Policy {
  const { draft, errors } = normalizePolicy(body(more), context);
  assert.ok(draft !== undefined, JSON.stringify(errors));
  return { ...draft, version: 1, created_at: updatedAt, updated_at: updatedAt };
}

export const INTERVAL = 30_000;
export const at = (text: string): number => Date.parse(text);
export const NOON = at("2026-05-05T12:00:00Z");

export type Values = Readonly<Record<string, number | undefined>>;

/** Readings of named metrics; undefined: unknown. */
export function samplesOf(values: Values, atMs: number): ReadonlyMap<string, MetricSample> {
  return new Map(
    Object.entries(values).map(([name, value]): [string, MetricSample] => [
      `name:${name}`,
      value === undefined
        ? { kind: "unknown", reason: "timeout", message: "no answer", atMs }
        : { kind: "value", value, atMs },
    ]),
  );
}

export type Found = Extract<TargetObservation, { kind: "found" }>;
export const found = (replicas: number, more: Partial<Found> = {}): Found => ({
  kind: "found",
  replicas,
  resource_version: "1",
  ...more,
});

/** Evaluates one policy again and again, and carries out what it decides. */
export class Run {
  policy: Policy;
  state: PolicyState;
  nowMs: number;
  target: TargetObservation;

  constructor(policy: Policy, replicas: number, nowMs = NOON) {
    this.policy = policy;
    this.state = initialState(policy.id);
    this.nowMs = nowMs;
    this.target = found(replicas);
  }

  /** One evaluation, now; nothing is carried out. */
  look(values: Values = {}): Decided {
    const { policy, state, nowMs, target } = this;
    return decide({ policy, state, nowMs, intervalMs: INTERVAL, samples: samplesOf(values, nowMs), target });
  }

  /** One evaluation after `afterMs`, carried out. */
  step(values: Values = {}, afterMs = INTERVAL): Decided["decision"] {
    this.nowMs += afterMs;
    const { decision, state } = this.look(values);
    this.state = state;
    const { target } = this;
    if (target.kind === "found" && decision.action !== "none" && decision.desired_replicas !== null) {
      const { min, max } = decision.bounds;
      this.target =
        target.bounds === undefined
          ? { ...target, replicas: decision.desired_replicas }
          : { ...target, bounds: { min, max }, replicas: Math.max(min, Math.min(target.replicas, max)) };
    }
    return decision;
  }

  /** The last of some evaluations, one interval apart. */
  steps(count: number, values: Values = {}): Decided["decision"] {
    let last = this.step(values);
    for (let index = 1; index < count; index += 1) last = this.step(values);
    return last;
  }
}

export const up = (more: object = {}) => ({
  metric: "queue_depth",
  operator: "gt" as const,
  threshold: 100,
  scale_by: 2,
  ...more,
});
export const down = (more: object = {}) => ({
  metric: "queue_depth",
  operator: "lt" as const,
  threshold: 10,
  scale_by: -1,
  ...more,
});
