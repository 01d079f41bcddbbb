import { isDeepStrictEqual } from "node:util";
import { type Condition, FIELD_MANAGER, FINALIZER, type Route, type Waking } from "@elasti/api";
import { type Clock, errorText, type Logger } from "@elasti/core";
import { isConflict, isNotFound, type KubeClient, resources, type WorkResult } from "@elasti/kube";
import type { ScaleHandler, WakeReason } from "@elasti/scaling";
import type { WakeMonitor } from "../failures/wake-monitor.ts";
import { type ClusterView, identityOf, type StoredElastiService } from "../lifecycle/cluster-view.ts";
import type { Events, TargetState } from "../lifecycle/contracts.ts";
import { failureOf } from "../lifecycle/failure.ts";
import type { SleepAnswer } from "../lifecycle/may-sleep.ts";
import type { Memories, ServiceMemory } from "../lifecycle/memory.ts";
import { needsFreshTarget, observe, ourSlices } from "../lifecycle/observe.ts";
import type { Performer } from "../lifecycle/performer.ts";
import { clientMode, type Limits, next, type Observation, type Step } from "../lifecycle/phases.ts";
import type { Routing } from "../lifecycle/routing.ts";
import { noteCompleted, noteGivenUp, type UndoneCause } from "../lifecycle/sleep-end.ts";
import type { StatusChange, StatusWriter } from "../lifecycle/status-writer.ts";
import type { Subject } from "../lifecycle/subject.ts";
import type { Contention } from "./contention.ts";
import { activityToWrite, describe } from "./describe.ts";
import type { FactsGatherer } from "./facts.ts";
import { Follower } from "./follower.ts";
import type { LeftAlone } from "./left-alone.ts";
import type { OverrideKeeper } from "./overrides.ts";
import type { Parts, Prepared } from "./parts.ts";

/** Steps of one pass; what is left over goes on in the next. */
const MAX_STEPS = 24;
/**
 * After a conflict: our view is behind, and an event is on its way; these are for the one that is not. Doubled by each
 * conflict that follows, so that a watch that is broken does not lead to a stream of writes.
 */
const CONFLICT_PAUSE_MS = { first: 200, longest: 15_000 } as const;
/** Until a target is looked for again that has to be woken and cannot be read. */
const UNREADABLE_PAUSE_MS = 5_000;

export interface ReconcilerOptions {
  client: KubeClient;
  view: ClusterView;
  gatherer: FactsGatherer;
  performer: Performer;
  memories: Memories;
  routing: Routing;
  status: StatusWriter;
  scale: ScaleHandler;
  parts: Parts;
  contention: Contention;
  leftAlone: LeftAlone;
  overrides: OverrideKeeper;
  events: Events;
  clock: Clock;
  logger: Logger;
  /** Finds out why a target has no ready pod. */
  monitor: Pick<WakeMonitor, "look" | "forget">;
  isLeader: () => boolean;
  limits: Limits;
  /** A sleep that was begun was not completed. */
  onUndone: (cause: UndoneCause) => void;
  /** Takes up the triggers of a service, or lets them go. */
  watchTriggers: (key: string) => void;
  forgetTriggers: (key: string) => void;
}

/** How a pass ended. */
export interface PassResult extends WorkResult {
  /** What it decided on was no longer so. */
  readonly conflict?: boolean;
}

/** Brings one ElastiService to what it should be: level-based, one step at a time, each decided on what is there now. */
export class ElastiServiceReconciler {
  readonly #options: ReconcilerOptions;
  readonly #follower: Follower;

  constructor(options: ReconcilerOptions) {
    this.#options = options;
    this.#follower = new Follower(options);
  }

  /** @param key `namespace/name` of the ElastiService */
  async reconcile(key: string): Promise<PassResult> {
    const { view, isLeader, memories, forgetTriggers, leftAlone } = this.#options;
    const es = view.stores.elastiServices.getByKey(key);
    if (es === undefined) {
      memories.forget(key);
      forgetTriggers(key);
      this.#options.monitor.forget(key);
      return {};
    }
    const { namespace = "", name } = es.metadata;
    const current = view.elastiServices.get(namespace, name);
    // let go by us, and the watch has yet to tell
    if (current === undefined) return {};
    if (!isLeader()) {
      await this.#follower.follow(current);
      return {};
    }
    try {
      if (await leftAlone.takes(current)) return {};
      const result = await this.#lead(key, current);
      memories.of(key).conflicts = 0;
      return result;
    } catch (error) {
      if (isConflict(error) || isNotFound(error)) {
        const memory = memories.of(key);
        const { first, longest } = CONFLICT_PAUSE_MS;
        const requeueAfterMs = Math.min(longest, first * 2 ** Math.min(memory.conflicts, 10));
        memory.conflicts += 1;
        return { requeueAfterMs, conflict: true };
      }
      await this.#showFailure(current, error);
      throw error;
    }
  }

  async #lead(key: string, first: StoredElastiService): Promise<PassResult> {
    const { view, watchTriggers, parts } = this.#options;
    let es = first;
    const { namespace = "", name } = es.metadata;
    if (es.metadata.deletionTimestamp === undefined) {
      es = await this.#withFinalizer(es);
      watchTriggers(key);
    } else if (!(es.metadata.finalizers ?? []).includes(FINALIZER)) {
      return {};
    }
    const service = view.services.get(namespace, es.spec.service);
    const prepared = await parts.prepare(es, service);
    for (let count = 0; count < MAX_STEPS; count++) {
      // a leader no more sees old news, and its memory is gone
      if (!this.#options.isLeader()) return {};
      es = view.elastiServices.get(namespace, name) ?? es;
      if (await this.#noteRevert(key, es)) continue;
      const { subject, observation, target, answer, held } = await this.#observe(key, es, prepared);
      const { pinned } = subject;
      // a watch that has not begun is no reason to call a service degraded; its first list comes back here
      if (target.kind === "pending") return {};
      if (target.kind !== "found" && observation.lifecycle === "restore")
        return { requeueAfterMs: UNREADABLE_PAUSE_MS };
      const step = next(observation, this.#options.limits);
      if (step.do === "wait")
        return await this.#rest(key, es, { prepared, observation, target, answer, step, held, pinned });
      // routes and the probe are for resolvers to know before anybody is led to them, and whom to refuse
      if (await this.#writeRoutes(es, prepared, target, observation)) continue;
      if (await this.#options.overrides.writePinned(es, pinned)) continue;
      this.#noteStep(key, step, observation, subject);
      const over = await this.#options.performer.perform(step, subject, this.#options.memories.of(key));
      this.#noteDone(key, step, observation);
      if (over !== undefined) return over;
    }
    return { requeueAfterMs: 0 };
  }

  async #observe(
    key: string,
    es: StoredElastiService,
    prepared: Prepared,
  ): Promise<{ subject: Subject; observation: Observation; target: TargetState; answer: SleepAnswer; held: boolean }> {
    const { view, gatherer, memories, scale, parts } = this.#options;
    const namespace = es.metadata.namespace ?? "";
    const memory = memories.of(key);
    const service = view.services.get(namespace, es.spec.service);
    const listed = parts.listed(es, service, prepared.routes);
    const about = {
      service,
      refused: prepared.refused?.reason,
      routes: prepared.routes,
      desiredSlices: listed.slices,
      slicesMatch: listed.match,
      namespaceGoing: await parts.namespaceGoing(es),
    };
    let gathered = gatherer.gather(es, about);
    const seen = gathered.target;
    const behind = seen.kind === "found" && needsFreshTarget(es.status?.phase, seen.replicas, gathered.facts.run);
    if (seen.kind === "found" && (behind || gathered.unread)) {
      await scale.read(seen.ref);
      if (gathered.unread) memory.overrideRead = gathered.record;
      gathered = gatherer.gather(es, about);
    }
    const subject: Subject = {
      key,
      es,
      service,
      ourSlices: ourSlices(
        gathered.facts.publicSlices,
        listed.slices.map(({ metadata }) => metadata.name),
      ),
      desiredSlices: listed.slices,
      target: gathered.target,
      listed: listed.resolvers,
      required: parts.requiredResolvers(),
      wakeReason: gathered.wakeReason,
      alone: gatherer.peersOf(es).length === 0,
      raisedByOthers: this.#isRaisedByOthers(es, gathered.target, gathered.wakeReason, memory),
      ruling: gathered.ruling,
      pinned: this.#options.overrides.pinnedOf(es),
      adjustTo: gathered.facts.adjustTo,
    };
    const { facts, answer, wakeReason } = gathered;
    return {
      subject,
      observation: observe(facts),
      target: gathered.target,
      answer,
      held: wakeReason === "request",
    };
  }

  /** Writes what resolvers need to know, before a step relies on it. @returns whether something was written */
  async #writeRoutes(
    es: StoredElastiService,
    prepared: Prepared,
    target: TargetState,
    { mode }: Observation,
  ): Promise<boolean> {
    if (es.metadata.deletionTimestamp !== undefined) return false;
    const { parts, status } = this.#options;
    const wanted = {
      routes: prepared.routes as Route[],
      probe: target.kind === "found" ? parts.probeOf(target.template) : es.status?.probe,
      routingMode: mode,
    };
    const before = { routes: es.status?.routes, probe: es.status?.probe, routingMode: es.status?.routingMode };
    if (isDeepStrictEqual(wanted, before)) return false;
    await status.write(es, wanted);
    return true;
  }

  /** Nothing to do for now: status says how things stand. */
  async #rest(
    key: string,
    es: StoredElastiService,
    seen: {
      prepared: Prepared;
      observation: Observation;
      target: TargetState;
      answer: SleepAnswer;
      step: Extract<Step, { do: "wait" }>;
      held: boolean;
      pinned: Waking | undefined;
    },
  ): Promise<PassResult> {
    const { status, memories, clock, parts, contention, view, monitor, overrides } = this.#options;
    const { observation, answer, step } = seen;
    if (await this.#writeRoutes(es, seen.prepared, seen.target, observation)) return { requeueAfterMs: 0 };
    if (await this.#options.overrides.writePinned(es, seen.pinned)) return { requeueAfterMs: 0 };
    const service = view.services.get(es.metadata.namespace ?? "", es.spec.service);
    const named = await contention.named(es, service, seen.target);
    if (Object.keys(named).length > 0) {
      await status.write(es, named);
      return { requeueAfterMs: 0 };
    }
    const memory = memories.of(key);
    // while requests are refused nobody asks why no pod is ready
    if (seen.pinned !== undefined) monitor.forget(key);
    const looked = seen.pinned === undefined ? await monitor.look({ key, es, service, ...seen }) : undefined;
    const waking = looked === undefined ? seen.pinned : looked.waking;
    const notes = overrides.notes(es);
    const conditions = describe({
      es,
      ...seen,
      waking,
      memory,
      nowMs: clock.now(),
      warnings: [
        ...notes,
        ...seen.prepared.notes,
        ...contention.warnings(es, service, seen.target),
        ...parts.warnings(es, seen.target.kind === "found" ? seen.target.template : undefined),
      ],
    });
    const change: { -readonly [K in keyof StatusChange]: StatusChange[K] } = {};
    if (!isDeepStrictEqual(conditions, es.status?.conditions ?? [])) change.conditions = conditions as Condition[];
    // pinned it is written already, as far as the definition in the cluster has fields for it
    if (seen.pinned === undefined && !isDeepStrictEqual(waking, es.status?.waking)) change.waking = waking;
    const mode = clientMode(observation);
    if (mode !== es.status?.mode) change.mode = mode;
    if (es.metadata.generation !== undefined && es.metadata.generation !== es.status?.observedGeneration) {
      change.observedGeneration = es.metadata.generation;
    }
    const active = activityToWrite(es, memory.lastActiveMs);
    if (active !== undefined) change.lastActiveTime = active;
    if (es.metadata.deletionTimestamp === undefined) {
      const written = Object.keys(change).length > 0 ? await status.write(es, change) : es;
      overrides.tell(es, notes);
      await overrides.remove(written, memory);
    }
    const waits = [
      step.atMostMs,
      !answer.may && observation.phase === "Serving" ? answer.inMs : undefined,
      contention.changesInMs(es, service),
      overrides.changesInMs(es),
      looked?.againInMs,
    ].filter((ms): ms is number => ms !== undefined);
    return waits.length === 0 ? {} : { requeueAfterMs: Math.max(1, Math.ceil(Math.min(...waits))) };
  }

  /** Somebody took our park off: status remembers it. @returns whether something was written */
  async #noteRevert(key: string, es: StoredElastiService): Promise<boolean> {
    const { view, memories, contention, status } = this.#options;
    const service = view.services.get(es.metadata.namespace ?? "", es.spec.service);
    const change = contention.noteRevert(es, service, memories.of(key));
    if (change !== undefined) await status.write(es, change);
    return change !== undefined;
  }

  /** A raise that this process saw come, and that nobody of ours had asked for. */
  #isRaisedByOthers(es: StoredElastiService, target: TargetState, reason: WakeReason, memory: ServiceMemory): boolean {
    const { metadata, status } = es;
    if (status?.phase !== "Asleep" || target.kind !== "found" || metadata.deletionTimestamp !== undefined) return false;
    const epoch = status.epoch ?? 0;
    const asleep = { ...identityOf(es), epoch };
    if (target.replicas === 0) {
      memory.seenAtZero = epoch;
      // from here on a raise by this process, for whichever ElastiService of the target, is one of this sleep
      this.#options.scale.raisedSince(target.ref, asleep);
      return false;
    }
    if (memory.seenAtZero !== epoch || reason !== "manual") return false;
    return !this.#options.scale.raisedSince(target.ref, asleep);
  }

  /** Before the step, which ends the run. */
  #noteStep(key: string, step: Step, o: Observation, { ruling }: Subject): void {
    const { memories, clock, logger, onUndone } = this.#options;
    const memory = memories.of(key);
    const cause = noteGivenUp(step, o, memory, clock.now(), ruling.sleep !== undefined);
    if (cause === undefined) return;
    onUndone(cause);
    const { run } = memory;
    if (run?.proof !== "failed" && run?.seal === "refused")
      logger.info({ key, reason: run.sealDetail }, "seal refused");
  }

  #noteDone(key: string, step: Step, o: Observation): void {
    noteCompleted(step, o, this.#options.memories.of(key));
    if (step.do !== "set-phase")
      this.#options.logger.debug(
        { key, phase: o.phase, epoch: o.epoch, reason: step.do },
        step.do === "wait" ? "" : step.why,
      );
  }

  /** A pass that cannot go on says so in status, where that can be written; the queue tries again. */
  async #showFailure(es: StoredElastiService, error: unknown): Promise<void> {
    const { status, clock, logger, view } = this.#options;
    const { namespace = "", name } = es.metadata;
    const current = view.elastiServices.get(namespace, name);
    if (current === undefined || current.metadata.deletionTimestamp !== undefined) return;
    const failed = failureOf(error);
    const conditions = describe.failed(current, { nowMs: clock.now(), ...failed });
    const { reason, missing } = failed;
    if (missing !== undefined && current.status?.conditions?.[0]?.reason !== reason)
      logger.error({ namespace, service: es.spec.service, reason, ...missing, error: failed.message }, "not allowed");
    if (isDeepStrictEqual(conditions, current.status?.conditions ?? [])) return;
    try {
      await status.write(current, { conditions });
    } catch (failure) {
      logger.debug({ namespace, service: es.spec.service, error: errorText(failure) }, "status could not be written");
    }
  }

  async #withFinalizer(es: StoredElastiService): Promise<StoredElastiService> {
    const finalizers = es.metadata.finalizers ?? [];
    if (finalizers.includes(FINALIZER)) return es;
    const { client, view } = this.#options;
    const { namespace, name, resourceVersion } = es.metadata;
    const body = { metadata: { resourceVersion, finalizers: [...finalizers, FINALIZER] } };
    return view.elastiServices.wrote(
      await client.patch<StoredElastiService>(resources.elastiServices, namespace, name, "merge", body, {
        fieldManager: FIELD_MANAGER,
      }),
    );
  }
}
