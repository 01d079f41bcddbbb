import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Phase } from "@elasti/api";
import {
  type AnnotationChange,
  type Annotations,
  type AutoscalerStage,
  autoscalerStages,
  FORCE_ACTIVATION,
  isOn,
  nextAnnotations,
  PAUSED,
  PAUSED_REPLICAS,
} from "@elasti/scaling";
import { next, type Observation, type Step } from "../../src/lifecycle/phases.ts";

/**
 * The protocol beside a KEDA that acts between any two writes, exhaustively: the leader takes one step at a time and may die
 * before any of them, another replica wakes, requests come, the ElastiService is deleted. Routing and seal are taken for granted
 * here (test/model has that world); what counts is who writes the target, and what is left on the ScaledObject.
 */
interface State {
  readonly phase: Phase | "Released";
  readonly annotations: Annotations;
  readonly replicas: 0 | 1;
  readonly ready: boolean;
  /** The leader's memory of a sleep that it leads; lost when it dies. */
  readonly run: "none" | "led" | "sealed" | "zero";
  readonly fenced: boolean;
  readonly held: boolean;
  readonly deleted: boolean;
  /** A wake by another replica: it lets KEDA go first, then scales up. */
  readonly waker: "idle" | "told";
  readonly epoch: number;
  /** A write of a leader that died meanwhile; it lands if the ScaledObject has not been written since. */
  readonly late: Annotations | undefined;
  readonly sleeps: number;
  readonly deaths: number;
  readonly requests: number;
}

const mayZero = true;
const about = ({ annotations, epoch }: Pick<State, "annotations" | "epoch">) => ({
  annotations,
  mayZero,
  named: false,
  sleeps: [`web@${epoch}`],
});

const told = (s: State, stage: AutoscalerStage): State => ({
  ...s,
  annotations: patched(s.annotations, nextAnnotations(about(s), stage)),
  // moves the resourceVersion
  late: undefined,
});

function patched(annotations: Annotations, change: AnnotationChange | undefined): Annotations {
  const merged = Object.entries({ ...annotations, ...change });
  return Object.fromEntries(merged.filter((entry): entry is [string, string] => entry[1] !== null));
}

/** @param heard the leader has heard that requests are held; their resolver may have told another replica first */
function observe(s: State, heard: boolean): Observation {
  const awake = s.replicas === 1 && s.ready;
  return {
    phase: s.phase as Phase,
    epoch: s.epoch,
    drainEpoch: s.epoch,
    phaseAgeMs: 1_000_000,
    podsGone: true,
    mode: "EndpointSlice",
    lifecycle: s.deleted ? "restore" : "live",
    service: "ok",
    parked: false,
    serviceEpoch: s.epoch,
    slice: s.phase === "Serving" && awake ? "absent" : "current",
    unroutedMs: 60_000,
    resolvers: 1,
    publicPods: awake ? 1 : 0,
    publicReady: awake ? 1 : 0,
    target: "found",
    replicas: s.replicas,
    podsLeft: s.replicas,
    readyPods: awake ? 1 : 0,
    trustsReady: true,
    answered: false,
    graceMs: 0,
    maySleep: s.phase === "Draining" || (s.sleeps > 0 && !s.held),
    wantsAwake: s.held && heard,
    peersSealed: true,
    fence: s.fenced ? "kept" : "none",
    autoscalerDue: autoscalerStages.filter((stage) => nextAnnotations(about(s), stage) !== undefined),
    run:
      s.run === "none"
        ? undefined
        : {
            drainEpoch: s.epoch,
            parkWritten: false,
            proof: "none",
            grace: "over",
            look: "idle",
            seal: "acked",
            targetRead: true,
            zero: s.run === "zero" ? "done" : "none",
            zeroTries: 0,
            requestsSeen: 0,
          },
  };
}

/** What a step of the leader does; undefined: nothing for now. */
function performed(s: State, step: Step): State | undefined {
  switch (step.do) {
    case "wait":
      return undefined;
    case "tell-autoscaler":
      return told(s, step.stage);
    case "set-phase": {
      const run = step.phase === "Draining" ? "led" : step.phase === "Sealed" && s.run !== "none" ? "sealed" : "none";
      const begins = step.phase === "Draining" ? 1 : 0;
      const held = step.phase === "Serving" ? false : s.held;
      // whoever has told KEDA of a wake scales up long before another sleep
      return {
        ...s,
        phase: step.phase,
        run,
        fenced: false,
        held,
        waker: "idle",
        // of the epochs only one a sleep counts here
        epoch: s.epoch + begins,
        sleeps: s.sleeps - begins,
      };
    }
    case "zero":
      return { ...s, replicas: 0, ready: false, run: "zero" };
    case "fence-target":
    case "scale-up":
      return { ...s, replicas: 1, ...(step.do === "fence-target" ? { fenced: true } : {}) };
    case "release":
      return { ...s, phase: "Released" };
    case "write-slice":
    case "delete-slice":
      // follows from the phase here
      return undefined;
    default:
      throw new TypeError(`${step.do} in ${JSON.stringify(s)}`);
  }
}

/** What KEDA does to the target now, by its rules; its triggers are idle, so that it would rather have none. */
function keda({ annotations, replicas }: State): 0 | 1 {
  const count = annotations[PAUSED_REPLICAS];
  if (count !== undefined) return count === "0" ? 0 : 1;
  if (isOn(annotations[PAUSED])) return replicas;
  if (isOn(annotations[FORCE_ACTIVATION])) return 1;
  return mayZero ? 0 : replicas;
}

let count = 0;

function* moves(s: State): Generator<readonly [string, State]> {
  if (s.phase === "Released") return;
  for (const heard of s.held ? [true, false] : [true]) {
    const step = next(observe(s, heard));
    const after = performed(s, step);
    assert.ok(count++ < 2_000_000, "too many states");
    if (after !== undefined) yield [step.do === "set-phase" ? step.phase : step.do, after];
  }
  if (s.deaths > 0) {
    const dead: State = { ...s, run: "none", fenced: false, deaths: s.deaths - 1 };
    yield ["leader dies", dead];
    const step = next(observe(s, false));
    if (step.do === "tell-autoscaler") yield ["leader dies", { ...dead, late: told(s, step.stage).annotations }];
  }
  if (s.late !== undefined) yield ["late write", { ...s, late: undefined, annotations: s.late }];
  if (s.replicas === 1 && !s.ready) yield ["ready", { ...s, ready: true }];
  if (s.requests > 0 && !s.held && s.phase !== "Serving")
    yield ["request", { ...s, held: true, requests: s.requests - 1 }];
  if (!s.deleted) yield ["deleted", { ...s, deleted: true }];
  if (s.held && s.phase === "Asleep" && s.replicas === 0) {
    if (s.waker === "idle") yield ["waker tells", { ...told(s, "waking"), waker: "told" }];
    else yield ["waker scales", { ...s, waker: "idle", replicas: 1 }];
  }
  const wanted = keda(s);
  if (wanted !== s.replicas) yield ["keda", { ...s, replicas: wanted, ready: wanted === 1 && s.ready }];
}

const begun = (annotations: Annotations): State => ({
  phase: "Serving",
  annotations: patched(annotations, nextAnnotations(about({ annotations, epoch: 1 }), "awake")),
  epoch: 1,
  late: undefined,
  replicas: 1,
  ready: true,
  run: "none",
  fenced: false,
  held: false,
  deleted: false,
  waker: "idle",
  sleeps: 2,
  deaths: 2,
  requests: 2,
});

interface Explored {
  readonly states: number;
  readonly ends: State[];
  readonly seen: ReadonlySet<string>;
}

function explore(first: State, check: (s: State, move: string, after: State) => void): Explored {
  const parents = new Map<string, string>([[JSON.stringify(first), ""]]);
  const queue = [first];
  const ends: State[] = [];
  const seen = new Set<string>();
  for (let s = queue.pop(); s !== undefined; s = queue.pop()) {
    let any = false;
    for (const [move, after] of moves(s)) {
      any = true;
      seen.add(move);
      check(s, move, after);
      const key = JSON.stringify(after);
      if (parents.has(key)) continue;
      parents.set(key, JSON.stringify(s));
      queue.push(after);
    }
    if (!any) ends.push(s);
  }
  return { states: parents.size, ends, seen };
}

const users: Record<string, Annotations> = {
  "no annotation": {},
  "a pause of its own that is off": { [PAUSED]: "false" },
  "a pause of its own": { [PAUSED]: "true" },
  "its own force-activation, off": { [FORCE_ACTIVATION]: "false" },
};

describe("a ScaledObject whose KEDA acts between any two writes", () => {
  for (const [name, before] of Object.entries(users)) {
    it(`with ${name}: is put to zero by the sleep alone, never loses a wake, and ends as it was`, (t) => {
      const { states, ends, seen } = explore(begun(before), (s, move, after) => {
        const text = () => `${move} from ${JSON.stringify(s)}`;
        // once its values are back KEDA is its user's
        const ours = s.annotations["elasti.truefoundry.com/autoscaler-former"] !== undefined;
        if (move === "keda" && ours) assert.equal(after.replicas, 1, text());
        if (move === "keda" && (s.phase === "Sealed" || s.phase === "Asleep") && ours) assert.fail(text());
        if (move === "zero") assert.equal(isOn(s.annotations[PAUSED]), true, text());
        if (after.phase === "Sealed") assert.equal(isOn(after.annotations[PAUSED]), true, text());
      });
      assert.ok(ends.length > 0);
      for (const end of ends) {
        assert.equal(end.phase, "Released", JSON.stringify(end));
        assert.deepEqual(end.annotations, before);
      }
      for (const move of ["zero", "Asleep", "leader dies", "waker scales", "scale-up", "release", "late write"]) {
        assert.ok(seen.has(move), `${move} was never reached`);
      }
      t.diagnostic(`${states} states`);
    });
  }
});
