import type { Clock } from "@elasti/core";
import { answeredStatus, isConflict } from "@elasti/kube";
import { arbitrate, type Intent } from "./arbiter.ts";
import { isCertainlyNotWritten, scaleErrorOf, scalingErrors } from "./errors.ts";
import type {
  AtEpoch,
  FenceRequest,
  FenceResult,
  SetRequest,
  SetResult,
  WakeRequest,
  WakeResult,
  ZeroOutcome,
} from "./scale-requests.ts";
import { newerState, type ScaleState, type TargetRef, targetText } from "./scale-target.ts";

/** The calls of one target, as the ScaleHandler bounds and measures them. */
export interface TargetCalls {
  cached(): ScaleState | undefined;
  get(): Promise<ScaleState>;
  set(replicas: number, resourceVersion: string): Promise<ScaleState>;
  /** The same, of what is awake. */
  adjust(replicas: number, resourceVersion: string): Promise<ScaleState>;
  /** `started` is called when the call leaves the queue; until then `signal` may take it back. */
  zero(resourceVersion: string, signal: AbortSignal, started: () => void): Promise<ScaleState>;
  /** @param again takes another field manager than the epoch's own, where that one is spent */
  fence(wanted: ScaleState, epoch: number, again: boolean): Promise<ScaleState>;
}

export interface TargetTimes {
  /** Least time between an accepted scale-up and the next one, in ms. */
  readonly rescaleMs: number;
  /** For so long "it is awake" is believed without asking the API server again, in ms. */
  readonly trustMs: number;
}

const intentActor = {
  request: "hold",
  manual: "hold",
  override: "hold",
  policy: "hold",
  trigger: "trigger",
  schedule: "schedule",
} as const;
const FENCE_ATTEMPTS = 5;
/** How the resourceVersion is moved while the replicas stay, in the order in which it is tried. */
type FenceWay = "epoch" | "again" | "step";

/** Serialises everything that changes the replicas of one target, and remembers what it was told. */
export class TargetScale {
  readonly ref: TargetRef;
  readonly #calls: TargetCalls;
  readonly #clock: Clock;
  readonly #times: TargetTimes;
  #tail: Promise<unknown> = Promise.resolve();
  #queued = 0;
  /** Wakes and fences that were asked for and not answered yet. */
  #waking = 0;
  #wake: { readonly wanted: number; readonly result: Promise<WakeResult> } | undefined;
  #fence: { readonly key: string; readonly result: Promise<FenceResult>; atMs: number } | undefined;
  /** A zero that waits for its turn; a wake takes it back. */
  #waitingZero: AbortController | undefined;
  #known: ScaleState | undefined;
  #answeredAtMs = Number.NEGATIVE_INFINITY;
  /** Our last accepted scale-up since the last zero. */
  #raise: { readonly atMs: number; readonly state: ScaleState } | undefined;
  /** By service: its newest sleep. */
  readonly #sleeps = new Map<string, AtEpoch>();

  constructor(ref: TargetRef, calls: TargetCalls, clock: Clock, times: TargetTimes) {
    this.ref = ref;
    this.#calls = calls;
    this.#clock = clock;
    this.#times = times;
  }

  /** Nothing under way and nothing worth remembering. */
  get idle(): boolean {
    return this.#queued === 0 && this.rescaleInMs === 0;
  }

  /** Milliseconds until another scale-up is allowed. */
  get rescaleInMs(): number {
    if (this.#raise === undefined) return 0;
    return Math.max(0, this.#raise.atMs + this.#times.rescaleMs - this.#clock.monotonic());
  }

  /** The newest state known without a call: of the watch and of our own writes. */
  get latest(): ScaleState | undefined {
    return this.#newest();
  }

  /** Whether we have raised it in this sleep, rather than somebody else, or are about to: a watch may show our write before its answer. */
  raisedSince(asleep: NonNullable<WakeRequest["asleep"]>): boolean {
    this.#noteSleep({ asleep });
    return this.#raise !== undefined || this.#waking > 0;
  }

  async wake(request: WakeRequest): Promise<WakeResult> {
    const running = this.#wake;
    if (running !== undefined && running.wanted >= request.wanted) {
      const result = await running.result;
      return result.outcome === "scaled" ? { ...result, outcome: "in-progress" } : result;
    }
    const result = this.#awaking(() => this.#wakeNow(request));
    const entry = { wanted: request.wanted, result };
    this.#wake = entry;
    try {
      return await result;
    } finally {
      if (this.#wake === entry) this.#wake = undefined;
    }
  }

  read(): Promise<ScaleState> {
    return this.#serial(() => this.#read());
  }

  zero(resourceVersion: string): Promise<ZeroOutcome> {
    return this.#serial(async () => {
      const { replicas } = arbitrate(
        this.#waking > 0 ? [{ actor: "hold", replicas: 1 }, { actor: "sleep" }] : [{ actor: "sleep" }],
        {
          // what it is now is for the precondition to say
          replicas: 1,
        },
      );
      if (replicas !== 0) return "conflict";
      const waiting = new AbortController();
      this.#waitingZero = waiting;
      try {
        const after = await this.#calls.zero(resourceVersion, waiting.signal, () => {
          this.#waitingZero = undefined;
        });
        this.#learn(after);
        this.#raise = undefined;
        return "done";
      } catch (error) {
        if (waiting.signal.aborted) return "conflict";
        this.#known = undefined;
        if (isConflict(error)) return "conflict";
        if (isCertainlyNotWritten(error)) throw this.#failure(error);
        return "unknown-outcome";
      } finally {
        this.#waitingZero = undefined;
      }
    });
  }

  /** One PATCH of what is awake, never repeated. It moves the resourceVersion, so that a zero decided on before does not land. */
  set(request: SetRequest): Promise<SetResult> {
    return this.#serial(async (): Promise<SetResult> => {
      const { replicas, mayCrossZero = false } = request;
      const known = this.#newest();
      let state = known !== undefined && known.resourceVersion === request.resourceVersion ? known : await this.#read();
      const version = request.resourceVersion ?? state.resourceVersion;
      if (state.resourceVersion !== version) return { outcome: "conflict", state };
      if (!mayCrossZero && (replicas === 0 || state.replicas === 0)) return { outcome: "one-door", state };
      if (replicas === 0 && this.#waking > 0) return { outcome: "conflict", state };
      if (replicas === state.replicas) return { outcome: "already-so", state };
      try {
        state = await this.#calls.adjust(replicas, version);
        this.#learn(state);
        return { outcome: "set", state };
      } catch (error) {
        this.#known = undefined;
        if (isConflict(error)) return { outcome: "conflict", state: undefined };
        throw this.#failure(error);
      }
    });
  }

  async fence(request: FenceRequest): Promise<FenceResult> {
    const key = `${request.of?.service ?? ""} ${request.of?.uid ?? ""}@${request.epoch}x${request.replicas}`;
    const last = this.#fence;
    // one epoch needs one fence: what was under way before it is dead already
    if (last?.key === key && this.#clock.monotonic() - last.atMs < this.#times.rescaleMs) return last.result;
    const result = this.#awaking(() => this.#fenceNow(request));
    const entry = { key, result, atMs: this.#clock.monotonic() };
    this.#fence = entry;
    try {
      return await result;
    } catch (error) {
      if (this.#fence === entry) this.#fence = undefined;
      throw error;
    }
  }

  #awaking<T>(step: () => Promise<T>): Promise<T> {
    this.#waking += 1;
    this.#waitingZero?.abort();
    return this.#serial(step).finally(() => {
      this.#waking -= 1;
    });
  }

  #serial<T>(step: () => Promise<T>): Promise<T> {
    this.#queued += 1;
    const run = this.#tail.then(step).finally(() => {
      this.#queued -= 1;
    });
    this.#tail = run.catch(() => undefined);
    return run;
  }

  async #wakeNow(request: WakeRequest): Promise<WakeResult> {
    this.#noteSleep(request);
    const raise = this.#raise;
    if (raise !== undefined && this.rescaleInMs > 0) {
      return { ...span(raise.state, raise.state), outcome: "in-progress" };
    }
    let state = this.#newest() ?? (await this.#read());
    if (this.#wantedNow(request, state) === undefined && !this.#fresh) state = await this.#read();
    for (let attempt = 0; ; attempt += 1) {
      const replicas = this.#wantedNow(request, state);
      if (replicas === undefined) {
        // whoever was faster began a window of ours too
        if (attempt > 0 && state.replicas > 0) this.#raise = { atMs: this.#clock.monotonic(), state };
        return { ...span(state, state), outcome: "already-awake" };
      }
      try {
        const after = await this.#calls.set(replicas, state.resourceVersion);
        this.#learn(after);
        this.#raise = { atMs: this.#clock.monotonic(), state: after };
        return { ...span(state, after), outcome: "scaled" };
      } catch (error) {
        this.#known = undefined;
        if (attempt > 0 || !isConflict(error)) throw this.#failure(error);
        state = await this.#read();
      }
    }
  }

  async #fenceNow(request: FenceRequest): Promise<FenceResult> {
    let way: FenceWay = "epoch";
    let landed = false;
    let refused = false;
    for (let attempt = 0; attempt < FENCE_ATTEMPTS; attempt += 1) {
      const before = await this.#read();
      landed ||= before.replicas === 0;
      const { autoscaled = false } = request;
      const floor: Intent = { actor: "hold", replicas: Math.max(1, request.replicas) };
      const replicas = arbitrate([floor], { replicas: before.replicas, autoscaled }).replicas ?? before.replicas;
      try {
        const after = await this.#move(before, replicas, request.epoch, way);
        this.#learn(after);
        if (after.replicas > before.replicas) this.#raise = { atMs: this.#clock.monotonic(), state: after };
        if (after.resourceVersion !== before.resourceVersion) return { ...after, landed };
        // the manager of this name owns the replicas already: its apply changed nothing, and so fenced nothing
        way = way === "epoch" ? "again" : "step";
      } catch (error) {
        this.#known = undefined;
        if (isConflict(error)) continue;
        if (way === "step" || !isRefusedApply(error)) throw this.#failure(error);
        // the first time it may have been a bad moment of the API server
        if (refused) way = "step";
        refused = true;
      }
    }
    throw scalingErrors.ELASTI_SCALE_CONTENDED(
      `${targetText(this.ref)}: changed by others during ${FENCE_ATTEMPTS} attempts to fence it`,
    );
  }

  /** A write that moves the resourceVersion, on condition that the target is as it was read. */
  #move(before: ScaleState, replicas: number, epoch: number, way: FenceWay): Promise<ScaleState> {
    // other replicas move it by themselves
    if (replicas !== before.replicas) return this.#calls.set(replicas, before.resourceVersion);
    if (way !== "step") return this.#calls.fence(before, epoch, way === "again");
    return this.#stepAndBack(before);
  }

  /** One replica more and back at once: what is left where an apply of the same replicas is refused or moves nothing. */
  async #stepAndBack({ replicas, resourceVersion }: ScaleState): Promise<ScaleState> {
    let state = await this.#calls.set(replicas + 1, resourceVersion);
    // from here on the target is fenced: what fails now costs a pod too many, and no request
    for (let attempt = 0; attempt < FENCE_ATTEMPTS && state.replicas === replicas + 1; attempt += 1) {
      try {
        state = await this.#calls.set(replicas, state.resourceVersion);
      } catch {
        // mostly the status that the target's controller has written meanwhile
        state = await this.#calls.get().catch(() => state);
      }
    }
    return state;
  }

  /** What a wake has to write over `state`, or undefined. */
  #wantedNow(request: WakeRequest, state: ScaleState): number | undefined {
    // once we have raised it, what others make of it from 1 up is theirs; the floor outside the enabled period is not
    if (this.#raise !== undefined && state.replicas > 0 && request.reason !== "schedule") return undefined;
    const intent: Intent = { actor: intentActor[request.reason], replicas: Math.max(1, request.wanted) };
    return arbitrate([intent], { replicas: state.replicas, autoscaled: request.autoscaled ?? false }).replicas;
  }

  #noteSleep({ asleep }: Pick<WakeRequest, "asleep">): void {
    if (asleep === undefined) return;
    const before = this.#sleeps.get(asleep.service);
    if (before !== undefined && before.uid === asleep.uid && before.epoch >= asleep.epoch) return;
    this.#sleeps.set(asleep.service, asleep);
    this.#raise = undefined;
  }

  get #fresh(): boolean {
    return this.#clock.monotonic() - this.#answeredAtMs < this.#times.trustMs;
  }

  /** The newest state that needs no call; undefined where none is known, or the order of two is not. */
  #newest(): ScaleState | undefined {
    const cached = this.#calls.cached();
    const known = this.#known;
    if (cached === undefined || known === undefined) return cached ?? known;
    return newerState(known, cached);
  }

  async #read(): Promise<ScaleState> {
    try {
      const state = await this.#calls.get();
      this.#learn(state);
      return state;
    } catch (error) {
      this.#known = undefined;
      throw this.#failure(error);
    }
  }

  #learn(state: ScaleState): void {
    this.#known = state;
    this.#answeredAtMs = this.#clock.monotonic();
  }

  #failure(error: unknown): Error {
    return scaleErrorOf(error, targetText(this.ref));
  }
}

function span(from: ScaleState, to: ScaleState): Omit<WakeResult, "outcome"> {
  return { from: from.replicas, to: to.replicas, resourceVersion: to.resourceVersion };
}

/** The API server cannot do this apply, whoever asks: of custom resources it answers 500 to many, older ones 415. */
function isRefusedApply(error: unknown): boolean {
  const status = answeredStatus(error);
  return status === 500 || status === 415;
}
