import type { Phase } from "@elasti/api";
import type { AutoscalerStage } from "@elasti/scaling";
import type { Observation, Step, StepName } from "./observation.ts";

export type * from "./observation.ts";

/**
 * The protocol between awake and asleep as one pure function: from what was observed of the cluster, and from what this
 * leader remembers of the sleep it is leading, to the one step that comes next. The shell performs it, observes again and
 * asks again, so the operator may die between any two steps: the next leader has the cluster, and no memory of a run.
 *
 *     Serving --idle--> Draining --routed, proven, grace over, still idle--> Sealed --all hold, scaled to 0--> Asleep
 *        ^                 |                                                   |                                 |
 *        +---- request, ---+        <---- refused, woken: first the fence, -----+                    hold, trigger, person
 *        |     not proven                 then the epoch                                                        v
 *        +-----------------------------------------------------------------------------------------------  Waking
 *
 * Invariants (checked exhaustively in test/model):
 *  1. While the Service is parked, our slice leads to resolvers. The slice is written before the park, and goes only after
 *     the park has gone and pods that are ready are published; a park that an old leader may still have on its way is
 *     fenced off first, by moving the Service's resourceVersion.
 *  2. The target is written to zero only while every resolver holds, with the resourceVersion read before Sealed was written.
 *  3. Sealed is left, other than by that zero or by its refusal, only after the target's resourceVersion has moved. (Read any later, the
 *     version could be one that such a fence had already moved, with the epoch still on its way: the zero would land.)
 *  4. Every phase is written under the ElastiService's resourceVersion and raises the epoch.
 *  5. KEDA is paused before Sealed is written, told to hold the target at zero only once it is there, and no longer before a wake
 *     scales it up. It scales again when a pod is ready. A KEDA that cannot be told delays none of this but the sleep.
 */

export interface Limits {
  /** Longest wait in Draining for Kubernetes to empty the Service's own slices. */
  readonly drainTimeoutMs: number;
  /** Pods of before a scale to zero are not trusted for so long after a wake overtook their end. */
  readonly taintMs: number;
  /** Longest wait for an endpoint when a deleted ElastiService wakes its target. */
  readonly restoreTimeoutMs: number;
  /** Longest wait in Sealed for other ElastiServices on the same target. */
  readonly peersTimeoutMs: number;
  /** Writes to zero with an unknown outcome before the sleep is given up. */
  readonly zeroTries: number;
}

export const defaultLimits: Limits = {
  drainTimeoutMs: 60_000,
  taintMs: 2_000,
  restoreTimeoutMs: 120_000,
  peersTimeoutMs: 60_000,
  zeroTries: 3,
};

const step = (name: StepName, why: string): Step => ({ do: name, why });
const setPhase = (phase: Phase, why: string): Step => ({ do: "set-phase", phase, why });
const wait = (why: string, atMostMs?: number): Step =>
  atMostMs === undefined ? { do: "wait", why } : { do: "wait", why, atMostMs };

/** What KEDA has to be told at a stage and was not; undefined when it was, and where there is none. */
function tell(o: Observation, stage: AutoscalerStage, why: string): Step | undefined {
  return o.autoscalerDue.includes(stage) ? { do: "tell-autoscaler", stage, why } : undefined;
}

/** The one step that comes next. */
export function next(o: Observation, limits: Limits = defaultLimits): Step {
  if (o.lifecycle === "release") return release(o);
  switch (o.phase) {
    case "Sealed":
      return sealed(o, limits);
    case "Draining":
      return draining(o, limits);
    default:
  }
  if (o.service !== "ok" || o.target !== "found") return degraded(o, limits);
  switch (o.phase) {
    case "Serving":
      return o.lifecycle === "restore" ? restoring(o, limits) : serving(o);
    case "Asleep":
      return asleep(o);
    case "Waking":
      return waking(o, limits);
    case undefined:
    case "Degraded":
      return fresh(o);
  }
}

/** Our slice as it should be, or nothing to do about it. */
function keepSlice(o: Observation, why: string): Step | undefined {
  // another's leads to resolvers as long as there is none of ours
  const replaceable = o.slice === "absent" || o.slice === "foreign";
  if (o.slice === "stale" || (replaceable && o.resolvers > 0)) return step("write-slice", why);
  return undefined;
}

/** In mode Always clients are led past the pods in every phase, as soon as there is a resolver to lead them to. */
function keepPark(o: Observation): Step | undefined {
  const wanted = o.mode === "Always" && o.lifecycle === "live" && !o.parked;
  return wanted && o.slice === "current" && o.resolvers > 0
    ? step("park", "the resolver stays in the path")
    : undefined;
}

/** A service seen for the first time, or one whose Service and target are complete again. */
function fresh(o: Observation): Step {
  if (o.replicas > 0) return setPhase("Serving", "target is up");
  if (o.phase === undefined && o.slice === "foreign") {
    if (o.lifecycle === "live" && o.resolvers === 0) return wait("for resolvers to take over from those of KubeElasti");
    // nobody else wakes it for them any more
    return scaleUp(o, "requests may wait at the resolvers of KubeElasti");
  }
  return keepSlice(o, "target is at zero") ?? setPhase("Asleep", "target is at zero");
}

function degraded(o: Observation, limits: Limits): Step {
  const why = o.service !== "ok" ? `Service is ${o.service}` : `target is ${o.target}`;
  if (o.lifecycle === "restore") return release(o);
  if (o.service === "refused" && o.phase === "Asleep" && o.target === "found" && o.replicas === 0) {
    return step("scale-up", "the Service cannot be led to resolvers any more");
  }
  if (o.phase !== "Degraded") return setPhase("Degraded", why);
  if (o.service === "refused" && o.parked) return step("unpark", why);
  if (o.service === "refused" && o.slice !== "absent") {
    return keepUntilPublished(o, limits.restoreTimeoutMs - o.phaseAgeMs) ?? step("delete-slice", why);
  }
  const told = o.target === "found" && o.replicas > 0 ? tell(o, "restored", why) : undefined;
  return told ?? wait(why);
}

function serving(o: Observation): Step {
  if (o.replicas === 0) return scaledToZeroByOthers(o);
  if (o.mode === "Always") {
    const kept = keepSlice(o, "the resolver stays in the path") ?? keepPark(o);
    if (kept !== undefined) return kept;
    // no resolver: clients go to the pods rather than nowhere
    if (o.resolvers === 0 && o.parked && o.readyPods > 0) return step("unpark", "no resolver is up");
  } else {
    const cleared = clearTheWay(o);
    if (cleared !== undefined) return cleared;
  }
  const told = tell(o, "awake", "a pod is ready");
  if (told !== undefined) return told;
  if (o.adjustTo !== undefined) return step("adjust", `an override asks for ${o.adjustTo}`);
  if (o.maySleep && o.resolvers > 0) return drain(o, "idle");
  return wait("awake");
}

/**
 * Begins to fall asleep, once the nodes have had the time that grace allows them to follow the last change: a table that still
 * leads to the resolvers from the sleep before would answer the proof of this one.
 */
function drain(o: Observation, why: string): Step {
  if (o.phaseAgeMs < o.graceMs) return wait("for nodes that lag behind the last change", o.graceMs - o.phaseAgeMs);
  return setPhase("Draining", why);
}

/** Brings clients from the resolvers back to the pods; undefined when they are there. */
function clearTheWay(o: Observation): Step | undefined {
  if (o.parked) {
    return keepSlice(o, "parked") ?? step("unpark", "pods take over");
  }
  // with no ready pod published, a request is better held by a resolver than refused
  if (o.publicReady === 0) return keepSlice(o, "no pod is ready");
  if (o.slice === "absent") return undefined;
  if (o.serviceEpoch < o.drainEpoch) return step("fence-service", "a park may still be on its way");
  return step("delete-slice", "pods are published");
}

function scaledToZeroByOthers(o: Observation): Step {
  const kept = keepSlice(o, "target was scaled to zero by hand");
  if (kept !== undefined) return kept;
  if (o.lifecycle === "live" && o.publicReady > 0)
    return wait("target was scaled to zero by hand; its pods are leaving");
  return setPhase("Asleep", "target was scaled to zero by hand");
}

/** While pods come up, a request is better held by a resolver than refused; undefined once they are published, or overdue. */
function keepUntilPublished(o: Observation, leftMs: number): Step | undefined {
  const leads = o.slice !== "absent" && o.resolvers > 0 && o.replicas > 0;
  if (!leads || o.publicReady > 0 || leftMs <= 0) return undefined;
  return keepSlice(o, "no pod is ready") ?? wait("for Kubernetes to publish the pods", leftMs);
}

/** A deleted ElastiService in Serving: everything is put back, then let go. */
function restoring(o: Observation, limits: Limits): Step {
  // led to its pods for long enough, it is its own again: KEDA, once given back, may take it to zero before we are gone
  const led = !o.parked && o.slice === "absent" && o.unroutedMs >= o.graceMs;
  if (o.replicas === 0 && !led) return setPhase("Asleep", "deleted while at zero");
  if (o.parked) return step("unpark", "deleted");
  // however long it has been serving: taken off a moment ago, the park keeps ready pods from the Service's slices a moment more
  const sinceMs = o.readyPods > 0 ? 0 : o.phaseAgeMs;
  const kept = keepUntilPublished(o, limits.restoreTimeoutMs - sinceMs);
  if (kept !== undefined) return kept;
  if (o.slice !== "absent" && o.serviceEpoch < o.drainEpoch)
    return step("fence-service", "a park may still be on its way");
  if (o.slice !== "absent") return step("delete-slice", "deleted");
  // until then nodes that lag lead clients to resolvers, which serve them only as long as they know the service
  if (o.unroutedMs < o.graceMs) return wait("for nodes that lag behind the last change", o.graceMs - o.unroutedMs);
  return tell(o, "restored", "deleted") ?? step("release", "deleted");
}

/** Nothing is to be woken: take the park off where there is still a Service, then go. */
function release(o: Observation): Step {
  if (o.service !== "missing" && o.parked) return step("unpark", "released");
  return tell(o, "restored", "released") ?? step("release", "released");
}

const nobodyLeads = "another operator led this sleep, or its spec was changed";

function draining(o: Observation, limits: Limits): Step {
  const run = o.run;
  const undo = (why: string): Step => setPhase("Serving", why);
  if (run === undefined || run.drainEpoch !== o.epoch) return undo(nobodyLeads);
  if (o.lifecycle !== "live") return undo("deleted");
  if (o.service !== "ok") return undo(`Service is ${o.service}`);
  if (o.target !== "found") return undo(`target is ${o.target}`);
  if (o.wantsAwake) return undo("wanted awake");
  if (!o.maySleep) return undo("no longer idle");
  if (run.requestsSeen > 0) return undo("a request came");
  if (o.replicas === 0) return undo("target was scaled to zero by hand");
  if (o.resolvers === 0) return undo("no resolver is up");
  const kept = tell(o, "paused", "draining") ?? keepSlice(o, "draining");
  if (kept !== undefined) return kept;

  if (o.mode !== "EndpointSlice") {
    if (!o.parked) return run.parkWritten ? undo("the park was reverted") : step("park", "draining");
    if (o.publicPods > 0) {
      if (o.phaseAgeMs > limits.drainTimeoutMs) return undo("Kubernetes did not empty the Service's slices");
      return wait("for Kubernetes to empty the Service's slices", limits.drainTimeoutMs - o.phaseAgeMs + 1);
    }
    if (run.proof === "none") return step("start-proof", "slices are empty");
    if (run.proof === "running") return wait("for the proof that traffic reaches the resolvers");
    if (run.proof === "failed") return undo("not proven that traffic reaches the resolvers");
  }
  if (run.grace === "none") return step("start-grace", "routed to the resolvers");
  if (run.grace === "running") return wait("for nodes and connections that lag");
  if (run.look === "none") return step("look-again", "grace is over");
  if (run.look === "running") return wait("for a second look at the triggers");
  if (run.look === "not-idle") return undo("not idle at the second look");
  if (!run.targetRead) return step("read-target", "idle, and led to the resolvers");
  return setPhase("Sealed", "idle, and led to the resolvers");
}

function sealed(o: Observation, limits: Limits): Step {
  const run = o.run;
  if (o.fence !== "none") {
    // another replica's fence may have taken a zero back before ours: only who sent none knows that none has landed
    const untouched = o.fence === "kept" && run !== undefined && run.zero === "none";
    return untouched ? setPhase("Serving", "sleep undone") : setPhase("Waking", "woken as it fell asleep");
  }
  // found at zero, read afresh: the write has landed under the seal, whoever sent it, and the sleep is complete
  if (o.replicas === 0 && o.target === "found" && !o.wantsAwake) return setPhase("Asleep", "scaled to zero");
  // not allowed to write: nothing is on its way that a fence would have to stop, and a fence may be refused as well
  if (run?.zero === "refused") return setPhase("Serving", "the write to zero was refused");
  const undo = (why: string): Step =>
    o.target === "found" ? step("fence-target", why) : setPhase("Degraded", `target is ${o.target}`);
  if (run === undefined) return undo(nobodyLeads);
  if (o.wantsAwake) return undo("wanted awake");
  if (o.lifecycle !== "live") return undo("deleted");
  if (run.requestsSeen > 0 && run.zero === "none") return undo("a request came");
  // whoever takes the park off leads clients past the seal, to pods that are about to end
  const led = o.service === "ok" && (o.mode === "EndpointSlice" || o.parked);
  if (!led && run.zero !== "done") return undo("clients are no longer led to the resolvers");
  if (run.seal === "none") return step("start-seal", "every resolver is to hold");
  if (run.seal === "running") return wait("for every resolver to hold");
  if (run.seal === "refused") return undo("a resolver did not seal");
  switch (run.zero) {
    case "none":
      if (o.peersSealed) return step("zero", "sealed");
      if (o.phaseAgeMs > limits.peersTimeoutMs) return undo("another service of the same target stays awake");
      return wait("for the other services of the same target", limits.peersTimeoutMs - o.phaseAgeMs + 1);
    case "done":
      return setPhase("Asleep", "scaled to zero");
    case "conflict":
      return undo("somebody else changed the target");
    case "unknown-outcome":
      return run.zeroTries < limits.zeroTries
        ? step("zero", "outcome of the write unknown")
        : undo("the write to zero did not succeed");
  }
}

function asleep(o: Observation): Step {
  if (o.replicas > 0) return setPhase("Waking", "target was scaled up");
  if (o.wantsAwake || o.lifecycle === "restore") return scaleUp(o, o.wantsAwake ? "wanted awake" : "deleted");
  const kept = keepSlice(o, "asleep") ?? keepPark(o);
  if (kept !== undefined) return kept;
  if (o.podsLeft > 0) return wait("for the last pods to leave");
  if (!o.podsGone) return step("mark-pods-gone", "no pod is left");
  if (o.mode === "SelectorSwap" && o.trustsReady && o.parked && o.publicPods === 0) {
    return step("unpark", "asleep: nothing depends on the operator from here");
  }
  // the later, the less likely that KEDA is still busy with it when a wake comes
  return tell(o, "asleep", "asleep") ?? wait("asleep");
}

/** KEDA may hold the target at zero: it is told not to, before anything else. */
function scaleUp(o: Observation, why: string): Step {
  return tell(o, "waking", why) ?? step("scale-up", why);
}

function waking(o: Observation, limits: Limits): Step {
  if (o.replicas === 0) {
    if (o.wantsAwake || o.lifecycle === "restore") return scaleUp(o, "taken back to zero while waking");
    return setPhase("Asleep", "taken back to zero while waking");
  }
  const kept = tell(o, "paused", "waking") ?? keepSlice(o, "waking") ?? keepPark(o);
  if (kept !== undefined) return kept;
  if (o.lifecycle === "restore" && o.phaseAgeMs >= limits.restoreTimeoutMs) return setPhase("Serving", "deleted");
  // pods from before the zero may look ready for a moment longer
  if (!o.podsGone && o.phaseAgeMs < limits.taintMs) {
    return wait("for pods of before to leave", limits.taintMs - o.phaseAgeMs);
  }
  if (o.mode === "Always" && o.lifecycle === "live") {
    if (o.readyPods > 0) return setPhase("Serving", "a pod is ready");
  } else if (o.parked) {
    if (o.trustsReady || o.answered) return step("unpark", "waking");
    if (o.resolvers === 0 && o.readyPods > 0) return step("unpark", "no resolver is up");
    if (o.readyPods > 0 && o.lifecycle === "restore") return step("unpark", "deleted");
  } else if (o.publicReady > 0) {
    return setPhase("Serving", "a pod is ready and published");
  }
  if (o.maySleep && o.resolvers > 0 && o.lifecycle === "live") {
    return drain(o, o.readyPods > 0 ? "idle" : "idle, and no pod became ready");
  }
  return wait(
    "for a pod to become ready",
    o.lifecycle === "restore" ? limits.restoreTimeoutMs - o.phaseAgeMs : undefined,
  );
}

/**
 * What a replica that is not leading does for a hold: the shortest way out of each phase. The leader tidies up after it.
 * `fence` and `replicas` must be fresh where a step before has written the target.
 */
export function nextForWake(o: Pick<Observation, "phase" | "replicas" | "fence" | "target">): Step {
  if (o.target !== "found") return wait(`target is ${o.target}`);
  switch (o.phase) {
    case "Draining":
      return setPhase("Serving", "a request came");
    case "Sealed":
      // first the fence, then the epoch: else a zero on its way would land under resolvers that forward again
      if (o.fence === "none") return step("fence-target", "a request came");
      return setPhase("Waking", "a request came");
    case "Asleep":
      return o.replicas === 0 ? step("scale-up", "a request came") : setPhase("Waking", "a request came");
    default:
      return o.replicas === 0 ? step("scale-up", "a request came") : wait("awake");
  }
}

/** `status.mode` as KubeElasti's users know it: where clients are led. */
export function clientMode(o: Pick<Observation, "phase" | "mode" | "parked" | "slice">): "proxy" | "serve" {
  if (o.mode === "Always" || o.parked) return "proxy";
  return o.slice === "absent" ? "serve" : "proxy";
}
