import type { Clock, Logger } from "@elasti/core";
import type {
  Decision,
  HistoryEntry,
  MetricReader,
  MetricSample,
  MetricTarget,
  PolicyState,
  TargetObservation,
} from "../contracts.ts";
import { decide } from "../domain/decide.ts";
import { metricsOf } from "../domain/metric-key.ts";
import { initialState } from "../domain/state.ts";
import { autoscalerOf } from "../executors/bounds-executor.ts";
import type { Executor } from "../executors/executor.ts";
import { unknownSample } from "../metric-sample.ts";
import type { Metric, Policy } from "../schema/policy.ts";
import type { ClusterSources } from "../targets/cluster-sources.ts";
import type { FoundTarget, ResolvedTarget, TargetResolver, TargetWriter } from "../targets/target-resolver.ts";
import type { TargetEvents, VoteSink } from "./contracts.ts";
import { actionEntry, actionOf, decisionEntry, type EntryContext, markOf } from "./decision-log.ts";
import { type Settled, settle } from "./intents.ts";
import { overridesOn } from "./overrides.ts";
import { isSuppressed, type Plan, planOf } from "./plan.ts";

export interface EvaluatorDeps {
  readonly clock: Clock;
  readonly logger: Logger;
  readonly resolver: TargetResolver;
  readonly sources: ClusterSources;
  readonly executors: Readonly<Record<TargetWriter["kind"], Executor>>;
  readonly metrics: MetricReader;
  readonly votes: VoteSink;
  readonly events: TargetEvents;
  readonly intervalMs: number;
  /** Nothing is executed, whatever policies say. */
  readonly dryRun: boolean;
}

/** One evaluation that may act. */
export interface Run {
  readonly signal: AbortSignal;
  /** Longest time for its metrics, in ms: one that has not answered by then is unknown, and what else the policy asks stands. */
  readonly readMs: number;
  /** Keeps what is about to be done. @throws when it cannot be kept, or is no longer ours to do */
  readonly keep: (state: PolicyState) => Promise<void>;
  /** Whether this replica may still write. */
  readonly mayWrite: () => boolean;
  /** Who asked for it; undefined: it was due. */
  readonly by?: string;
}

export interface Evaluated {
  readonly decision: Decision;
  readonly outcome: HistoryEntry["outcome"];
  /** To be kept; the intent still in it where nobody can tell what came of the write. */
  readonly state: PolicyState;
  readonly entries: readonly HistoryEntry[];
  readonly message?: string;
  /** Somebody was faster; nothing was written. */
  readonly conflict?: true;
  /** The target is not seen yet: soon there may be more to say. */
  readonly pending?: true;
}

interface Look {
  readonly resolved: ResolvedTarget;
  readonly target: TargetObservation;
  readonly decision: Decision;
  /** Where the decision is carried out, or there is nothing to carry out. */
  readonly done: PolicyState;
  /** Where it is not. */
  readonly undone: PolicyState;
  readonly plan: Plan;
  readonly nowMs: number;
  /** Of an action that was found to have landed. */
  readonly settled: readonly HistoryEntry[];
}

const emptySamples: ReadonlyMap<string, MetricSample> = new Map();

/** Evaluates one policy: looks, decides, and does it. */
export class Evaluator {
  readonly #deps: EvaluatorDeps;

  constructor(deps: EvaluatorDeps) {
    this.#deps = deps;
  }

  /** What would be done now. Changes nothing. */
  async look(policy: Policy, kept: PolicyState | undefined, signal: AbortSignal): Promise<Evaluated> {
    const look = await this.#look(policy, kept, signal);
    const { decision, plan, undone } = look;
    const outcome = plan.write !== undefined ? "dry_run" : quietOutcome(look);
    const pending = look.target.kind === "unknown" ? { pending: true as const } : {};
    return { decision: told(decision, plan), outcome, state: undone, entries: [], ...pending };
  }

  /** Evaluates, and does what comes of it. @throws what `run.keep` throws, and the reason of `run.signal` */
  async run(policy: Policy, kept: PolicyState | undefined, run: Run): Promise<Evaluated> {
    const look = await this.#look(policy, kept, run.signal, run.readMs);
    const { plan, target, nowMs, settled } = look;
    const isShadow = this.#deps.dryRun || policy.shadow;
    this.#vote(policy, look, isShadow);
    const decision = told(look.decision, plan);
    const context: EntryContext = {
      id: crypto.randomUUID(),
      policy,
      nowMs,
      previous: target.kind === "found" ? target.replicas : null,
      decision,
      plan,
      ...(run.by === undefined ? {} : { manualBy: run.by }),
    };
    if (plan.write === undefined || target.kind !== "found" || look.resolved.kind !== "found") {
      const state = { ...(plan.heldBack === undefined ? look.done : look.undone), arbitrated: plan.mark };
      const pending = look.resolved.kind === "unknown" ? { pending: true as const } : {};
      return { ...this.#recorded(context, state, quietOutcome(look), settled), ...pending };
    }
    // as if it had been done, so that what is recorded is what would be
    if (isShadow) return this.#recorded(context, look.done, this.#deps.dryRun ? "dry_run" : "shadow", settled);
    return await this.#act(look.resolved, target, context, look, run);
  }

  async #look(policy: Policy, kept: PolicyState | undefined, signal: AbortSignal, readMs?: number): Promise<Look> {
    const { clock, intervalMs, resolver, sources } = this.#deps;
    const resolved = resolver.resolve(policy);
    if (resolved.kind === "found") sources.want(policy.id, resolved.workload);
    const intent = kept?.intent ?? null;
    const target: TargetObservation =
      resolved.kind === "found"
        ? await this.#executorOf(resolved).observe(resolved, signal, intent !== null)
        : resolved;
    signal.throwIfAborted();
    const settled = kept === undefined ? undefined : settle(kept, target);
    const isOpen = settled?.outcome === "open" && intent !== null;
    const samples = target.kind === "found" ? await this.#samplesOf(policy, resolved, signal, readMs) : emptySamples;
    signal.throwIfAborted();
    const nowMs = clock.now();
    const before = settled?.state ?? initialState(policy.id);
    const { decision, state: done, undone } = decide({ policy, state: before, target, samples, nowMs, intervalMs });
    const object = resolved.kind === "found" ? autoscalerOf(resolved) : undefined;
    const plan: Plan = isOpen
      ? {
          winner: "person",
          mark: before.arbitrated,
          heldBack: { by: "target", message: "what came of the last write is not known yet" },
        }
      : planOf({
          policy,
          decision,
          target,
          autoscaler: object,
          overrides: resolved.kind === "found" ? overridesOn(resolved, sources, nowMs) : [],
          named: resolved.kind === "found" && resolved.elastiServices.length > 0,
          last: before.arbitrated,
        });
    return {
      resolved,
      target,
      decision,
      done,
      undone: isOpen ? { ...undone, intent } : undone,
      plan,
      nowMs,
      settled: intent === null ? [] : settledEntries(intent.entry, settled?.outcome),
    };
  }

  async #samplesOf(
    policy: Policy,
    resolved: ResolvedTarget,
    signal: AbortSignal,
    readMs: number | undefined,
  ): Promise<ReadonlyMap<string, MetricSample>> {
    const metrics = [...metricsOf(policy)];
    if (policy.target_ref === null || resolved.kind !== "found" || metrics.length === 0) return emptySamples;
    const services = resolved.elastiServices.map(({ spec }) => spec.service);
    const target: MetricTarget = { ...policy.target_ref, workload: resolved.workload, services };
    const late = new AbortController();
    const timer = readMs === undefined ? undefined : this.#deps.clock.after(readMs, () => late.abort());
    const either = AbortSignal.any([signal, late.signal]);
    try {
      const read = metrics.map(async ([key, metric]) => [key, await this.#sampleOf(metric, target, either)] as const);
      return new Map(await Promise.all(read));
    } finally {
      timer?.cancel();
    }
  }

  async #sampleOf(metric: Metric, target: MetricTarget, signal: AbortSignal): Promise<MetricSample> {
    try {
      return await this.#deps.metrics.read(metric, target, signal);
    } catch (error) {
      // if the evaluation itself is over, its caller finds that out
      if (!signal.aborted) throw error;
      return unknownSample("MetricFailed", "it has not answered in time", this.#deps.clock.now());
    }
  }

  /** Keeps what is about to be done, does it, and keeps in mind what came of it. */
  async #act(
    resolved: FoundTarget,
    target: Extract<TargetObservation, { kind: "found" }>,
    context: EntryContext,
    { done, undone, settled }: Look,
    run: Run,
  ): Promise<Evaluated> {
    const { policy, decision, plan } = context;
    const write = plan.write!;
    const entry = actionEntry(context, "executed");
    const { intent: _, ...next } = {
      ...(plan.winner === "override" ? undone : done),
      current_replicas: write.replicas,
      arbitrated: plan.mark,
      decision_mark: markOf(decision, plan, "executed"),
    };
    const begun: PolicyState = {
      ...undone,
      intent: {
        resource_version: target.resource_version,
        replicas: write.replicas,
        ...(write.bounds === undefined ? {} : { bounds: write.bounds }),
        entry,
        next,
      },
    };
    await run.keep(begun);
    run.signal.throwIfAborted();
    // whoever leads by now finds the intent, and that nothing came of it
    if (!run.mayWrite()) return { decision, outcome: "no_change", state: begun, entries: settled };
    const wanted = { policy: policy.id, resourceVersion: target.resource_version, ...write };
    const applied = await this.#executorOf(resolved).apply(resolved, wanted, entry.reason);
    switch (applied.kind) {
      case "done":
        this.#tell(resolved, context, entry);
        return { decision, outcome: "executed", state: { ...next, intent: null }, entries: [...settled, entry] };
      case "unchanged":
        return { decision, outcome: "no_change", state: { ...next, intent: null }, entries: settled };
      case "conflict": {
        const message = "the target has changed meanwhile";
        return { decision, outcome: "no_change", message, state: undone, entries: settled, conflict: true };
      }
      case "unknown":
        return { decision, outcome: "no_change", message: applied.message, state: begun, entries: settled };
      case "failed": {
        const mark = markOf(decision, plan, "failed");
        const isNews = mark !== undone.decision_mark;
        if (isNews) this.#tell(resolved, context, entry, applied.message);
        return {
          decision,
          outcome: "failed",
          message: applied.message,
          state: { ...undone, decision_mark: mark },
          entries: isNews ? [...settled, actionEntry(context, "failed", applied.message)] : settled,
        };
      }
    }
  }

  #tell(resolved: FoundTarget, context: EntryContext, entry: HistoryEntry, failure?: string): void {
    const { events, logger } = this.#deps;
    const { workload } = resolved;
    const { name } = context.policy;
    const { previous_replicas: from, new_replicas: to } = entry;
    const words = {
      namespace: workload.namespace,
      target: `${workload.kind}/${workload.name}`,
      policy: name,
      from,
      to,
    };
    if (failure === undefined) {
      logger.info({ ...words, reason: entry.triggered_by }, "policy carried out");
      const message = `${name}: ${actionOf(context)} from ${from} to ${to}: ${entry.reason}`;
      events.record(workload, "Normal", "PolicyScaled", message);
    } else {
      logger.warn({ ...words, reason: entry.triggered_by, error: failure }, "policy could not be carried out");
      events.record(workload, "Warning", "PolicyFailed", `${name}: ${failure}`);
    }
  }

  /** What was not done, where that is another decision than the last. */
  #recorded(
    context: EntryContext,
    state: PolicyState,
    outcome: HistoryEntry["outcome"],
    settled: readonly HistoryEntry[],
  ): Evaluated {
    const { decision, plan } = context;
    const mark = markOf(decision, plan, outcome);
    const next = { ...state, decision_mark: mark };
    const isFirstQuiet = state.decision_mark === "" && outcome === "no_change";
    const isNews = mark !== state.decision_mark && !isFirstQuiet;
    const isAction = outcome === "shadow" || outcome === "dry_run";
    const entry = isAction ? actionEntry(context, outcome) : decisionEntry(context, outcome);
    return { decision, outcome, state: next, entries: isNews ? [...settled, entry] : settled };
  }

  #vote(policy: Policy, { resolved, decision }: Look, isShadow: boolean): void {
    // what is not known changes nothing
    if (resolved.kind === "unknown" && !isShadow) return;
    if (resolved.kind !== "found" || resolved.elastiServices.length === 0 || isShadow) {
      this.#deps.votes.vote(policy.id, undefined, undefined);
      return;
    }
    const { wants_zero: idle, wants_awake, bounds, reason } = decision;
    const floor = wants_awake ? bounds.min : 0;
    this.#deps.votes.vote(policy.id, resolved.workload, { idle, floor, awake: Math.max(1, bounds.min), reason });
  }

  #executorOf({ writer }: FoundTarget): Executor {
    return this.#deps.executors[writer.kind];
  }
}

/** What history says of an action once it is known what came of it. */
function settledEntries(entry: HistoryEntry, outcome: Settled["outcome"] | undefined): HistoryEntry[] {
  if (outcome === "landed") return [entry];
  if (outcome !== "overtaken") return [];
  return [{ ...entry, outcome: "failed", reason: `${entry.reason}; somebody else has changed the target meanwhile` }];
}

/** The outcome where nothing is written. */
function quietOutcome({ decision, plan, target }: Look): HistoryEntry["outcome"] {
  const held = decision.held_back ?? plan.heldBack;
  if (held === null || held === undefined) return "no_change";
  return held.by === "asleep" || isSuppressed(target) ? "suppressed" : "held_back";
}

/** The decision as it is told: with what the arbiter held back of it. */
function told(decision: Decision, plan: Plan): Decision {
  if (decision.held_back !== null || plan.heldBack === undefined) return decision;
  return { ...decision, held_back: plan.heldBack };
}
