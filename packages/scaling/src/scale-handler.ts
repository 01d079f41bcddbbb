import {
  type Clock,
  type Counter,
  errorCode,
  errorText,
  type Histogram,
  type Logger,
  type Metrics,
  silentLogger,
  systemClock,
  type Timer,
} from "@elasti/core";
import PQueue from "p-queue";
import { scalingErrors } from "./errors.ts";
import {
  type FenceRequest,
  type FenceResult,
  type SetRequest,
  type SetResult,
  type WakeReason,
  type WakeRequest,
  type WakeResult,
  wakeReasons,
  type ZeroOutcome,
} from "./scale-requests.ts";
import {
  type ScaleClient,
  type ScaleState,
  type TargetRef,
  type Targets,
  targetKey,
  targetText,
} from "./scale-target.ts";
import { type TargetCalls, TargetScale } from "./target-scale.ts";

export interface ScaleHandlerOptions {
  client: ScaleClient;
  /** Left out: the first attempt of a wake reads the scale. */
  targets?: Targets;
  clock?: Clock;
  logger?: Logger;
  metrics?: Metrics;
  /** Least time between an accepted scale-up of a target and the next. */
  rescaleMs?: number;
  /** Calls on the API server at once. */
  concurrency?: number;
  /** Deadline of one call; must be shorter than the lease of the leader. */
  callTimeoutMs?: number;
  /** Targets remembered; the longest unused one is forgotten first. */
  maxTargets?: number;
}

export const scaleDefaults = { rescaleMs: 30_000, concurrency: 16, callTimeoutMs: 5_000, maxTargets: 10_000 } as const;

type Kind = "read" | "wake" | "set" | "zero" | "fence";
/** Wakes go before sleeps. */
const priorities: Readonly<Record<Kind, number>> = { read: 10, wake: 10, fence: 10, set: 5, zero: 0 };
const wakeOutcomes = ["scaled", "already-awake", "in-progress", "failed"] as const;
const TRUST_MS = 1_000;
const writeBuckets = [0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10];

interface Rescale {
  request: WakeRequest;
  stillWaiting: () => boolean;
  timer: Timer;
}

/**
 * The one component that changes replicas. Calls on one target are serialised and coalesced, each write carries the
 * resourceVersion that it was decided on, and all calls together are bounded.
 */
export class ScaleHandler {
  readonly #client: ScaleClient;
  readonly #targets: Targets | undefined;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #queue: PQueue;
  readonly #times: { rescaleMs: number; trustMs: number };
  readonly #callTimeoutMs: number;
  readonly #maxTargets: number;
  readonly #scales = new Map<string, TargetScale>();
  readonly #rescales = new Map<string, Rescale>();
  readonly #closed = new AbortController();
  readonly #wakes: Counter<"outcome" | "reason"> | undefined;
  readonly #writes: Histogram<"kind" | "result"> | undefined;

  constructor(options: ScaleHandlerOptions) {
    this.#client = options.client;
    this.#targets = options.targets;
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger ?? silentLogger;
    this.#queue = new PQueue({ concurrency: options.concurrency ?? scaleDefaults.concurrency });
    this.#times = { rescaleMs: options.rescaleMs ?? scaleDefaults.rescaleMs, trustMs: TRUST_MS };
    this.#callTimeoutMs = options.callTimeoutMs ?? scaleDefaults.callTimeoutMs;
    this.#maxTargets = options.maxTargets ?? scaleDefaults.maxTargets;
    this.#wakes = options.metrics?.counter(
      "elasti_wakes_total",
      "Wakes asked for, by what came of them",
      ["outcome", "reason"],
      wakeReasons.flatMap((reason) => wakeOutcomes.map((outcome) => ({ outcome, reason }))),
    );
    this.#writes = options.metrics?.histogram(
      "elasti_scale_call_duration_seconds",
      "Calls on the scale of targets, with the time that they waited for their turn",
      ["kind", "result"],
      writeBuckets,
    );
    const queue = this.#queue;
    options.metrics?.gauge("elasti_scale_calls_waiting", "Calls on scales that wait for their turn", [], function () {
      this.set(queue.size);
    });
  }

  /**
   * Raises the target to at least `wanted`; never lowers it. Calls that come while one is under way share its write, and
   * within the rescale window after an accepted write there is no other.
   * @throws ElastiError ELASTI_SCALE_*
   */
  async wake(request: WakeRequest): Promise<WakeResult> {
    this.#mustBeOpen(request.ref);
    try {
      const result = await this.#scaleOf(request.ref).wake(request);
      this.#count(result.outcome, request.reason);
      if (result.outcome === "scaled") {
        const { from, to } = result;
        this.#logger.info({ ...named(request.ref), reason: request.reason, from, to }, "scaled up");
      }
      return result;
    } catch (error) {
      this.#count("failed", request.reason);
      throw error;
    }
  }

  /**
   * One PATCH to zero with `resourceVersion` as its precondition, never repeated. `conflict`: the target has changed, or a
   * wake came first; nothing was written. `unknown-outcome`: it may land at any time until it is fenced.
   * @throws ElastiError ELASTI_SCALE_* when it was certainly not written
   */
  async zero(request: { ref: TargetRef; resourceVersion: string }): Promise<ZeroOutcome> {
    this.#mustBeOpen(request.ref);
    const outcome = await this.#scaleOf(request.ref).zero(request.resourceVersion);
    this.#logger.info({ ...named(request.ref), reason: outcome, to: 0 }, "scale to zero");
    return outcome;
  }

  /**
   * One PATCH to exactly `replicas` of a target that is awake, on the resourceVersion that it was decided on; never repeated,
   * and never over zero where an ElastiService names the target. A sleep that is under way is undone by it.
   * @throws ElastiError ELASTI_SCALE_*; it may have been written, unless the code says that it was refused
   */
  async set(request: SetRequest): Promise<SetResult> {
    this.#mustBeOpen(request.ref);
    const result = await this.#scaleOf(request.ref).set(request);
    const { outcome } = result;
    if (outcome !== "already-so") {
      this.#logger.info({ ...named(request.ref), reason: request.reason, to: request.replicas, outcome }, "scale");
    }
    return result;
  }

  /**
   * Moves the target's resourceVersion, so that no zero decided on before can land, and raises the target to at least
   * `replicas` in the same write; never lowers it.
   * @throws ElastiError ELASTI_SCALE_*
   */
  async fence(request: FenceRequest): Promise<FenceResult> {
    this.#mustBeOpen(request.ref);
    return await this.#scaleOf(request.ref).fence(request);
  }

  /** Whether this process has raised the target since an ElastiService fell asleep with `asleep.epoch`, or is at it. */
  raisedSince(ref: TargetRef, asleep: NonNullable<WakeRequest["asleep"]>): boolean {
    return this.#scaleOf(ref).raisedSince(asleep);
  }

  /** Milliseconds until another scale-up of the target is allowed. */
  rescaleInMs(ref: TargetRef): number {
    return this.#scaleOf(ref).rescaleInMs;
  }

  /** The newest state known without a call: of the watch and of our own writes. */
  latest(ref: TargetRef): ScaleState | undefined {
    return this.#scaleOf(ref).latest;
  }

  /**
   * Reads the scale now; its resourceVersion can be the precondition of a zero.
   * @throws ElastiError ELASTI_SCALE_*
   */
  async read(ref: TargetRef): Promise<ScaleState> {
    this.#mustBeOpen(ref);
    return await this.#scaleOf(ref).read();
  }

  /**
   * Looks at the target again each time the rescale window is over, as long as `stillWaiting()`, and scales once more if
   * something took it back to zero. A second call for a target replaces the first.
   */
  watchRescale(request: WakeRequest, stillWaiting: () => boolean): void {
    if (this.#closed.signal.aborted) return;
    const key = targetKey(request.ref);
    const running = this.#rescales.get(key);
    if (running !== undefined) {
      running.request = request;
      running.stillWaiting = stillWaiting;
      return;
    }
    this.#rescales.set(key, { request, stillWaiting, timer: this.#armRescale(key, request.ref) });
  }

  /** Takes back what waits, lets running calls end at once, and leaves no timer. */
  async close(): Promise<void> {
    if (this.#closed.signal.aborted) return;
    this.#closed.abort(scalingErrors.ELASTI_SCALE_CLOSED("the operator is shutting down"));
    for (const { timer } of this.#rescales.values()) timer.cancel();
    this.#rescales.clear();
    await this.#queue.onIdle();
    this.#scales.clear();
  }

  #armRescale(key: string, ref: TargetRef): Timer {
    const wait = this.#scaleOf(ref).rescaleInMs;
    // 1 ms more: timers may fire that much before the clock says so
    return this.#clock.after(wait > 0 ? wait + 1 : this.#times.rescaleMs, () => void this.#lookAgain(key));
  }

  async #lookAgain(key: string): Promise<void> {
    const entry = this.#rescales.get(key);
    if (entry === undefined) return;
    if (!entry.stillWaiting()) {
      this.#rescales.delete(key);
      return;
    }
    const { ref } = entry.request;
    try {
      await this.wake(entry.request);
    } catch (error) {
      if (this.#closed.signal.aborted) return;
      this.#logger.warn(
        { ...named(ref), reason: errorCode(error), error: errorText(error) },
        "scaling once more failed",
      );
    }
    if (this.#rescales.get(key) === entry) entry.timer = this.#armRescale(key, ref);
  }

  #scaleOf(ref: TargetRef): TargetScale {
    const key = targetKey(ref);
    const scale = this.#scales.get(key) ?? new TargetScale(ref, this.#callsOf(ref), this.#clock, this.#times);
    // a Map keeps the order of insertion: the first ones are the longest unused
    this.#scales.delete(key);
    this.#scales.set(key, scale);
    if (this.#scales.size > this.#maxTargets) {
      for (const [oldKey, old] of this.#scales) {
        if (old === scale || !old.idle || this.#rescales.has(oldKey)) continue;
        this.#scales.delete(oldKey);
        break;
      }
    }
    return scale;
  }

  #callsOf(ref: TargetRef): TargetCalls {
    const call = { signal: this.#closed.signal, timeoutMs: this.#callTimeoutMs };
    const closed = this.#closed.signal;
    return {
      cached: () => this.#targets?.cached(ref),
      get: () => this.#measured("read", closed, () => this.#client.getScale(ref, call)),
      set: (replicas, resourceVersion) =>
        this.#measured("wake", closed, () => this.#client.setScale({ ...ref, replicas, resourceVersion }, call)),
      adjust: (replicas, resourceVersion) =>
        this.#measured("set", closed, () => this.#client.setScale({ ...ref, replicas, resourceVersion }, call)),
      zero: (resourceVersion, signal, started) =>
        this.#measured("zero", AbortSignal.any([closed, signal]), () => {
          started();
          return this.#client.setScale({ ...ref, replicas: 0, resourceVersion }, call);
        }),
      fence: (wanted, epoch, again) =>
        this.#measured("fence", closed, () => this.#client.fenceScale({ ...ref, ...wanted, epoch, again }, call)),
    };
  }

  async #measured(kind: Kind, signal: AbortSignal, call: () => Promise<ScaleState>): Promise<ScaleState> {
    const begun = this.#clock.monotonic();
    const seconds = () => (this.#clock.monotonic() - begun) / 1_000;
    try {
      const state = await this.#queue.add(call, { priority: priorities[kind], signal });
      this.#writes?.observe({ kind, result: "ok" }, seconds());
      return state;
    } catch (error) {
      this.#writes?.observe({ kind, result: errorCode(error) ?? "aborted" }, seconds());
      throw error;
    }
  }

  #count(outcome: (typeof wakeOutcomes)[number], reason: WakeReason): void {
    this.#wakes?.inc({ outcome, reason });
  }

  #mustBeOpen(ref: TargetRef): void {
    if (this.#closed.signal.aborted) {
      throw scalingErrors.ELASTI_SCALE_CLOSED(`${targetText(ref)}: the operator is shutting down`);
    }
  }
}

function named(ref: TargetRef): Record<string, string> {
  return { namespace: ref.namespace, target: `${ref.resource.plural}/${ref.name}` };
}
