import {
  defaultLimits,
  next,
  nextForWake,
  type Observation,
  type SleepRun,
  type Step,
} from "../../packages/operator/src/lifecycle/phases.ts";
import { published } from "./kubernetes.ts";
import { holds } from "./properties.ts";
import { active } from "./rules.ts";
import {
  copy,
  DRAINING,
  NONE,
  noWrite,
  phases,
  READY,
  type Run,
  SEALED,
  STARTING,
  type State,
  type Write,
  type WriteKind,
} from "./state.ts";
import { type Emit, LAG, type Mover, type World } from "./world.ts";
import { apply, text } from "./writes.ts";

const proofs = ["none", "running", "ok", "failed"] as const;
const graces = ["none", "running", "over"] as const;
const looks = ["none", "running", "idle", "not-idle"] as const;
const seals = ["none", "running", "acked", "refused"] as const;
const zeros = ["none", "done", "conflict", "unknown-outcome"] as const;
const fences = ["none", "kept", "landed"] as const;
const limits = { ...defaultLimits, zeroTries: 2 };

const newRun: Run = {
  parkWritten: 0,
  proof: 0,
  grace: 0,
  look: 0,
  seal: 0,
  targetRead: 0,
  targetFresh: 0,
  zero: 0,
  zeroTries: 0,
  broken: 0,
};

const sleepRun = (r: Run, epoch: number, requestsSeen: number): SleepRun => ({
  drainEpoch: epoch,
  parkWritten: r.parkWritten === 1,
  proof: proofs[r.proof]!,
  grace: graces[r.grace]!,
  look: looks[r.look]!,
  seal: seals[r.seal]!,
  targetRead: r.targetRead === 1,
  zero: zeros[r.zero]!,
  zeroTries: r.zeroTries,
  requestsSeen,
});

/** No pod is about to be ended for a write that has been taken back: what the time limits of 2 s wait for. */
const settled = (s: State): boolean => s.controller === s.replicas;

/** @param told the leader has heard what there is to hear of holds and requests; else nothing of it */
function observe(s: State, w: World, told: boolean): Observation {
  const broken = s.run?.broken === 1;
  const evidence = broken || (told && (holds(s) || s.resolvers.some((r) => r.drained && r.counted)));
  const nodesKnow = w.removed === "settled nodes" || (s.table.length === 1 && s.kube === published(s, w));
  const quiet = !active(s) && !holds(s);
  const drainEpoch = s.drain === 0 ? 1 : s.drain;
  return {
    phase: phases[s.phase],
    epoch: s.epoch,
    drainEpoch,
    phaseAgeMs: s.phase !== DRAINING && settled(s) ? limits.taintMs : 0,
    podsGone: s.gone === 1,
    mode: w.mode,
    lifecycle: "live",
    service: "ok",
    parked: s.parked === 1,
    serviceEpoch: s.fenced ? drainEpoch : drainEpoch - 1,
    slice: s.slice ? "current" : "absent",
    // decides only when a deleted ElastiService is let go
    unroutedMs: 0,
    resolvers: 2,
    publicPods: (s.kube & 1) + ((s.kube >> 1) & 1),
    publicReady: ((s.kube >> 2) & 1) + ((s.kube >> 3) & 1),
    target: "found",
    replicas: s.replicas,
    podsLeft: s.pods.filter((p) => p !== NONE).length,
    readyPods: s.pods.filter((p) => p === READY || (p === STARTING && !w.trustsReady)).length,
    trustsReady: w.trustsReady,
    answered: s.answered === 1,
    graceMs: 0,
    maySleep: s.phase === DRAINING || s.phase === SEALED ? true : s.sleeps > 0 && quiet && nodesKnow && settled(s),
    wantsAwake: told && holds(s),
    peersSealed: true,
    fence: fences[s.fence]!,
    run: s.run === undefined ? undefined : sleepRun(s.run, s.epoch, evidence ? 1 : 0),
    // what KEDA is told lies on objects of its own: test/lifecycle/autoscaler-model.test.ts of the operator has that world
    autoscalerDue: [],
  };
}

/** The same world with the status from before Draining. */
const asBefore = (o: Observation): Observation => ({
  ...o,
  phase: "Serving",
  epoch: o.epoch - 1,
  drainEpoch: 0,
  maySleep: false,
  run: undefined,
});

export function leader(s: State, w: World, emit: Emit): void {
  if (s.leader.kind === "none") {
    for (const told of holds(s) || s.resolvers.some((r) => r.drained && r.counted) ? [true, false] : [true]) {
      perform(s, w, next(observe(s, w, told), limits), emit);
    }
    if (s.newcomer && s.phase === DRAINING) perform(s, w, next(asBefore(observe(s, w, false)), limits), emit);
  } else {
    land(s, w, "leader", emit);
    if (s.lost > 0 && s.late.kind === "none") {
      const n = copy(s);
      n.lost -= 1;
      n.late = s.leader;
      n.leader = noWrite;
      if (s.leader.kind === "zero" && n.run !== undefined)
        n.run = { ...n.run, zero: 3, zeroTries: n.run.zeroTries + 1 };
      emit(`the leader hears no answer to ${text(s.leader)}`, "chance", n);
    }
  }
  if (s.depositions > 0 && s.late.kind === "none") {
    const n = copy(s);
    n.depositions -= 1;
    n.late = s.leader;
    n.leader = noWrite;
    n.run = undefined;
    n.fence = 0;
    n.newcomer = w.removed === "a new leader reads afresh" ? 1 : 0;
    emit(
      s.leader.kind === "none" ? "another leads" : `another leads, and ${text(s.leader)} is still on its way`,
      "chance",
      n,
    );
  }
  runs(s, w, emit);
}

/** What goes on in a run by itself. */
function runs(s: State, w: World, emit: Emit): void {
  if (s.run?.proof === 1) {
    const outcome = (proof: number, label: string, fair: boolean): void => {
      const n = copy(s);
      n.run = { ...s.run!, proof };
      emit(label, fair ? "world" : "chance", n);
    };
    if (s.table[0] === 4 || w.removed === "proof")
      outcome(2, w.removed === "proof" ? "the proof is taken as made" : "proven: the node leads to resolvers", true);
    outcome(3, "not proven in time", false);
  }
  if (s.run?.seal === 1) {
    const n = copy(s);
    n.run = { ...s.run, seal: 3 };
    emit("a resolver does not answer in time", "chance", n);
  }
}

export function waker(s: State, w: World, emit: Emit): void {
  if (s.waker.kind !== "none") {
    land(s, w, "waker", emit);
    return;
  }
  if (!holds(s)) return;
  const step = nextForWake({
    phase: phases[s.phase],
    replicas: s.replicas,
    fence: fences[s.wakerFence]!,
    target: "found",
  });
  if (step.do === "wait") return;
  const n = copy(s);
  n.waker = call(s, w, step);
  emit(`another replica, told of a hold, sends ${text(n.waker)}`, "waker", n);
}

export function late(s: State, w: World, emit: Emit): void {
  if (s.late.kind !== "none") land(s, w, "late", emit);
}

/** A write is decided on: its precondition is the object as it is now. */
function call(s: State, w: World, step: Exclude<Step, { do: "wait" }>): Write {
  const kind = step.do as WriteKind;
  return {
    kind,
    phase: step.do === "set-phase" ? phases.indexOf(step.phase as (typeof phases)[number]) : 0,
    fresh: kind === "zero" && w.removed !== "target read before the seal" ? (s.run?.targetFresh ?? 0) : 1,
    current: 1,
    stamp: 1,
  };
}

function perform(s: State, w: World, step: Step, emit: Emit): void {
  const run = s.run ?? newRun;
  const went = (change: Partial<Run>, label: string, mover: Mover = "leader"): void => {
    const n = copy(s);
    n.run = { ...run, ...change };
    if (change.look === 2 && active(s)) n.busy = 1;
    emit(label, mover, n);
  };
  switch (step.do) {
    case "wait":
      return;
    case "start-proof":
      went({ proof: 1 }, "the leader starts the proof");
      return;
    case "start-grace":
      went({ grace: 2 }, "grace passes");
      return;
    case "look-again":
      if (w.removed === "second look") {
        went({ look: 2 }, "the second look is taken as idle");
        return;
      }
      if (active(s)) went({ look: 3 }, "the second look: not idle");
      else {
        went({ look: 2 }, "the second look: idle");
        went({ look: 3 }, "the second look: unknown", "chance");
      }
      return;
    case "start-seal":
      startSeal(s, w, emit);
      return;
    case "release":
      throw new Error(`${step.do} is outside of this model`);
    default: {
      const n = copy(s);
      n.leader = call(s, w, step);
      n.newcomer = 0;
      emit(`the leader sends ${text(n.leader)} (${step.why})`, "leader", n);
    }
  }
}

function startSeal(s: State, w: World, emit: Emit): void {
  const n = copy(s);
  const asked = w.removed !== "seal";
  n.run = { ...(s.run ?? newRun), seal: asked ? 1 : 2 };
  for (let i = 0; i < 2 && asked; i += 1) {
    n.resolvers[i] = { ...s.resolvers[i]!, askEpoch: s.epoch, askDrain: s.drain, acked: 0 };
  }
  emit(asked ? "the leader asks the resolvers to seal" : "the seal is taken as acknowledged", "leader", n);
}

function land(s: State, w: World, by: "leader" | "waker" | "late", emit: Emit): void {
  const x = s[by];
  // a change that the nodes cannot take up within their bound waits
  if (s.table.length > LAG && (x.kind === "write-slice" || x.kind === "delete-slice")) return;
  const n = copy(s);
  n[by] = noWrite;
  const result = apply(n, w, x);
  if (by === "late" && !result.ok) return;
  if (by === "leader") remember(n, x, result.ok, result.fence);
  if (by === "waker" && result.fence > 0 && x.current) n.wakerFence = result.fence;
  const who = by === "late" ? "late, " : "";
  emit(`${who}${text(x)} ${result.ok ? "lands" : "conflicts"}`, by === "late" ? "chance" : by, n, result.violation);
}

/** What the leader makes of an answer. */
function remember(n: State, x: Write, ok: boolean, fence: number): void {
  if (x.kind === "set-phase" && ok && x.phase === DRAINING) n.run = newRun;
  if (fence > 0 && x.current) n.fence = fence;
  const run = n.run;
  if (run === undefined) return;
  if (x.kind === "park" && ok) n.run = { ...run, parkWritten: 1 };
  if (x.kind === "read-target") n.run = { ...run, targetRead: 1, targetFresh: 1 };
  if (x.kind === "zero") n.run = { ...run, zero: ok ? 1 : 2, zeroTries: Math.min(3, run.zeroTries + 1) };
}
