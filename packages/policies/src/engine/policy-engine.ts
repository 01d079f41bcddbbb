import { type Clock, ElastiError, errorText, type Logger, type Metrics, unlessAborted } from "@elasti/core";
import PQueue from "p-queue";
import type { Store } from "../contracts.ts";
import { policyErrors } from "../errors.ts";
import type { Policy } from "../schema/policy.ts";
import type { ClusterSources } from "../targets/cluster-sources.ts";
import type { VoteSink } from "./contracts.ts";
import { type EngineMetrics, engineMetrics } from "./engine-metrics.ts";
import type { Evaluated, Evaluator } from "./evaluator.ts";
import { HistoryBuffer } from "./history-buffer.ts";
import type { Releaser } from "./releaser.ts";
import { Roster } from "./roster.ts";
import { StateKeeper } from "./state-keeper.ts";
import { Timetable } from "./timetable.ts";

export interface PolicyEngineOptions {
  readonly store: Store;
  readonly evaluator: Pick<Evaluator, "look" | "run">;
  readonly releaser: Pick<Releaser, "release">;
  readonly sources: Pick<ClusterSources, "forget" | "onChange">;
  readonly votes: VoteSink;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** Between two evaluations of a policy. */
  readonly intervalMs: number;
  /** Evaluations at once. */
  readonly concurrency?: number;
  /** Longest time of one evaluation. */
  readonly deadlineMs?: number;
  /** Entries of history older than this are removed. */
  readonly retentionMs: number;
  readonly random?: () => number;
}

export type EngineHealth =
  /** `following`: another replica evaluates. `paused`: the database cannot be used, and nothing is evaluated. */
  | { readonly state: "following" | "running" }
  | { readonly state: "paused"; readonly message: string; readonly sinceMs: number };

const purgeEveryMs = 60_000;
const purgeAtOnce = 5_000;
/** Of the time of an evaluation, for reading metrics; the rest is for what comes of it. */
const readShare = 0.7;
/** A dry run waits so long for a target that is not watched yet. */
const seenWithinMs = 2_000;
/** Between two looks at the database: what is new there, and what is to be written. */
const upkeepMs = 1_000;
/** What is due within so long is evaluated at once. Short, so that a call of the API never waits behind a crowd of evaluations. */
const slotMs = 50;

interface Term {
  readonly signal: AbortSignal;
  readonly mayWrite: () => boolean;
  readonly timetable: Timetable;
  readonly roster: Roster;
  /** Those that have not had their say since the term began; undefined: nobody knows which there are. */
  unheard: Set<string> | undefined;
}

/**
 * Evaluates every enabled policy once per interval, on the leader only. What is about to be done is kept before it is done, under
 * the number of the leader's term, so that two leaders in a row do it once. While the database cannot be used nothing is
 * evaluated; what is to be recorded waits.
 */
export class PolicyEngine {
  readonly #options: PolicyEngineOptions;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #keeper: StateKeeper;
  readonly history: HistoryBuffer;
  readonly #queue: PQueue;
  readonly #metrics: EngineMetrics;
  /** By policy: its evaluation, of which there is one at a time. */
  readonly #running = new Map<string, Promise<unknown>>();
  /** Policies that wait for their turn to be evaluated. */
  readonly #queued = new Set<string>();
  #term: Term | undefined;
  #loop: Promise<void> = Promise.resolve();
  #paused: { readonly message: string; readonly sinceMs: number } | undefined;
  #purgeAtMs = 0;
  #releaseAtMs = 0;

  constructor(options: PolicyEngineOptions) {
    this.#options = options;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#keeper = new StateKeeper(options.store.states, 1.5 * options.intervalMs);
    this.history = new HistoryBuffer(options.store.history, options.logger);
    this.#queue = new PQueue({ concurrency: options.concurrency ?? 32 });
    this.#metrics = engineMetrics(options.metrics, {
      policies: () => this.#term?.roster.size ?? 0,
      running: () => this.health.state === "running",
      databaseUp: () => this.#paused === undefined,
      historyWaiting: () => this.history.waiting,
      historyDropped: () => this.history.dropped,
    });
  }

  get health(): EngineHealth {
    if (this.#term === undefined) return { state: "following" };
    return this.#paused === undefined ? { state: "running" } : { state: "paused", ...this.#paused };
  }

  /**
   * Evaluates until `signal` aborts.
   * @param mayWrite whether this replica leads at this very moment
   */
  lead(signal: AbortSignal, mayWrite: () => boolean): void {
    const before = this.#loop;
    this.#loop = (async () => {
      await before;
      if (!signal.aborted) await this.#lead(signal, mayWrite);
    })();
  }

  /** What this policy decides as soon as it can be asked: something about its target has changed. */
  hurry(policyId: string): void {
    this.#term?.timetable.hurry(policyId);
  }

  /** The policies that are evaluated here. */
  get(policyId: string): Policy | undefined {
    return this.#term?.roster.get(policyId);
  }

  /** Waits until nothing is under way any more; `signal` of `lead` must have aborted. */
  async close(): Promise<void> {
    await this.#loop;
    await this.history.flush().catch((error: unknown) => this.#unwritten(error));
  }

  /**
   * Evaluates a policy now, enabled or not.
   * @throws ELASTI_POLICY_NOT_LEADING where it is to be done and another replica has to do it, ELASTI_POLICY_DATABASE
   */
  async evaluate(
    policy: Policy,
    { dryRun, by, signal }: { readonly dryRun: boolean; readonly by: string; readonly signal: AbortSignal },
  ): Promise<Evaluated> {
    if (dryRun) {
      try {
        return await this.#look(policy, signal);
      } finally {
        if (this.get(policy.id) === undefined) this.#silence(policy.id);
      }
    }
    const term = this.#term;
    if (term === undefined || !this.#keeper.begun)
      throw policyErrors.ELASTI_POLICY_NOT_LEADING("another replica evaluates the policies: ask again");
    try {
      return await this.#alone(policy.id, () =>
        this.#evaluated(policy, { ...term, signal: AbortSignal.any([signal, term.signal]) }, by),
      );
    } finally {
      if (this.get(policy.id) === undefined) this.#silence(policy.id);
    }
  }

  /** What would be done now. A target that nobody else asks for is watched only from here on, and is waited for. */
  async #look(policy: Policy, signal: AbortSignal): Promise<Evaluated> {
    const { evaluator, sources, store } = this.#options;
    const kept = this.#keeper.get(policy.id) ?? (await store.states.get(policy.id));
    const late = new AbortController();
    const timer = this.#clock.after(seenWithinMs, () => late.abort());
    let changed = Promise.withResolvers<void>();
    const stop = sources.onChange((id) => {
      if (id === policy.id) changed.resolve();
    });
    try {
      for (;;) {
        changed = Promise.withResolvers();
        const seen = await evaluator.look(policy, kept, signal);
        if (seen.pending === undefined || late.signal.aborted) return seen;
        await unlessAborted(changed.promise, AbortSignal.any([signal, late.signal])).catch(() =>
          signal.throwIfAborted(),
        );
      }
    } finally {
      stop();
      timer.cancel();
    }
  }

  async #lead(signal: AbortSignal, mayWrite: () => boolean): Promise<void> {
    const { intervalMs, random = Math.random, store } = this.#options;
    const slots = Math.max(1, Math.round(intervalMs / slotMs));
    const timetable = new Timetable({ intervalMs, slots, phaseMs: random() * intervalMs, nowMs: this.#clock.now() });
    const roster = new Roster(store.policies, timetable, (id) => this.#forget(id));
    const term: Term = { signal, mayWrite, timetable, roster, unheard: undefined };
    this.#term = term;
    try {
      for (let upkeepAtMs = 0; !signal.aborted; ) {
        if (this.#clock.monotonic() >= upkeepAtMs) {
          await this.#upkeep(term);
          upkeepAtMs = this.#clock.monotonic() + Math.min(upkeepMs, intervalMs);
        }
        if (this.#paused === undefined) this.#begin(term);
        await this.#clock.sleep(timetable.slotMs, signal).catch(() => undefined);
      }
      this.#queue.clear();
      this.#queued.clear();
      await Promise.allSettled(this.#running.values());
      // what was done is to be known to whoever leads next
      await this.#keeper
        .flush()
        .catch((error: unknown) => this.#logger.warn({ error: errorText(error) }, "states not kept"));
      await this.history.flush().catch((error: unknown) => this.#unwritten(error));
    } finally {
      this.#options.votes.settled(false);
      this.#term = undefined;
      this.#paused = undefined;
      this.#keeper.end();
      for (const id of roster.ids()) this.#forget(id);
    }
  }

  /** Reads and writes what the database has to do with; pauses where it cannot. */
  async #upkeep(term: Term): Promise<void> {
    try {
      if (!this.#keeper.begun) await this.#keeper.begin();
      const changed = await term.roster.refresh();
      if (term.unheard === undefined) {
        term.unheard = new Set(term.roster.ids());
        this.#heard(term);
      }
      await this.#keeper.flush();
      await this.history.flush();
      await this.#purge();
      this.#resume();
      await this.#release(term, changed);
    } catch (error) {
      if (!term.signal.aborted) this.#pause(error);
    }
  }

  /** Begins what is due. */
  #begin(term: Term): void {
    for (const id of term.timetable.due(this.#clock.now())) {
      if (this.#running.has(id) || this.#queued.has(id)) this.#metrics.evaluated("overrun", 0);
      else {
        this.#queued.add(id);
        void this.#queue.add(() => {
          this.#queued.delete(id);
          return this.#due(id, term);
        });
      }
    }
  }

  async #due(id: string, term: Term): Promise<void> {
    const policy = term.roster.get(id);
    if (policy === undefined || term.signal.aborted || !term.mayWrite() || this.#paused !== undefined) return;
    try {
      const { pending = false } = await this.#alone(id, () => this.#evaluated(policy, term));
      if (!pending) this.#heard(term, id);
    } catch (error) {
      if (term.signal.aborted) return;
      this.#failed(policy, error);
      // one that cannot be evaluated is not waited for by all the others
      if (this.#paused === undefined) this.#heard(term, id);
    }
  }

  /** One more policy has had its say. */
  #heard({ unheard, signal }: Term, id?: string): void {
    if (id !== undefined && unheard?.delete(id) !== true) return;
    if (unheard?.size === 0 && !signal.aborted) this.#options.votes.settled(true);
  }

  /** One evaluation within its deadline, with what came of it kept. */
  async #evaluated(policy: Policy, term: Term, by?: string): Promise<Evaluated> {
    const { evaluator, intervalMs, deadlineMs = Math.min(20_000, Math.max(2_000, intervalMs)) } = this.#options;
    const begun = this.#clock.monotonic();
    const deadline = new AbortController();
    const timer = this.#clock.after(deadlineMs, () =>
      deadline.abort(new Error(`the evaluation took more than ${deadlineMs} ms`)),
    );
    const seconds = () => (this.#clock.monotonic() - begun) / 1_000;
    try {
      const evaluated = await evaluator.run(policy, this.#keeper.get(policy.id), {
        signal: AbortSignal.any([deadline.signal, term.signal]),
        readMs: readShare * deadlineMs,
        keep: (state) => this.#keeper.keep(state),
        mayWrite: () => term.mayWrite() && !term.signal.aborted,
        ...(by === undefined ? {} : { by }),
      });
      this.#keeper.put(evaluated.state);
      this.history.add(...evaluated.entries);
      this.#metrics.recorded(evaluated.entries);
      this.#metrics.heldBack(evaluated.decision);
      if (evaluated.conflict === true) this.#metrics.conflict();
      this.#metrics.evaluated("ok", seconds());
      return evaluated;
    } catch (error) {
      this.#metrics.evaluated(deadline.signal.aborted ? "timeout" : "failed", seconds());
      throw error;
    } finally {
      timer.cancel();
    }
  }

  /** One at a time of each policy. */
  async #alone<T>(id: string, work: () => Promise<T>): Promise<T> {
    while (this.#running.has(id)) await this.#running.get(id)?.catch(() => undefined);
    const running = work();
    this.#running.set(id, running);
    try {
      return await running;
    } finally {
      this.#running.delete(id);
    }
  }

  #failed(policy: Policy, error: unknown): void {
    if (error instanceof ElastiError && error.code === "ELASTI_POLICY_DATABASE") this.#pause(error);
    else if (error instanceof ElastiError && error.code === "ELASTI_POLICY_SUPERSEDED") this.#pause(error);
    else
      this.#logger.warn(
        { namespace: policy.target_ref?.namespace, policy: policy.name, error: errorText(error) },
        "evaluation of a policy failed",
      );
  }

  #pause(error: unknown): void {
    const superseded = error instanceof ElastiError && error.code === "ELASTI_POLICY_SUPERSEDED";
    // whoever it was, if we still lead, we begin anew
    if (superseded) this.#keeper.end();
    if (this.#paused !== undefined) return;
    this.#paused = { message: errorText(error), sinceMs: this.#clock.now() };
    this.#logger.error(
      { error: errorText(error), reason: superseded ? "superseded" : "database" },
      "policies are not evaluated",
    );
  }

  #unwritten(error: unknown): void {
    this.#logger.warn({ error: errorText(error), waiting: this.history.waiting }, "history not written");
  }

  #resume(): void {
    if (this.#paused === undefined) return;
    this.#logger.info({ pausedMs: this.#clock.now() - this.#paused.sinceMs }, "policies are evaluated again");
    this.#paused = undefined;
  }

  async #purge(): Promise<void> {
    const { retentionMs, store } = this.#options;
    const now = this.#clock.now();
    if (now < this.#purgeAtMs) return;
    const removed = await store.history.purge(new Date(now - retentionMs).toISOString(), purgeAtOnce);
    this.#metrics.purged(removed);
    // as long as there is more, the next tick goes on
    this.#purgeAtMs = removed < purgeAtOnce ? now + purgeEveryMs : now;
  }

  async #release({ roster, mayWrite }: Term, changed: boolean): Promise<void> {
    const now = this.#clock.now();
    if (!changed && now < this.#releaseAtMs) return;
    this.#releaseAtMs = now + this.#options.intervalMs;
    await this.#options.releaser.release((id) => roster.get(id), mayWrite);
  }

  #forget(id: string): void {
    if (this.#term !== undefined) this.#heard(this.#term, id);
    this.#silence(id);
    this.#keeper.forget(id);
  }

  /** What it has a say in, it has none in any more. */
  #silence(id: string): void {
    this.#options.votes.vote(id, undefined, undefined);
    this.#options.sources.forget(id);
  }
}
