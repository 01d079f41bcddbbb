import { publish } from "./kubernetes.ts";
import { zeroLanded } from "./properties.ts";
import { DRAINING, phases, SEALED, type State, WAKING, type Write, type WriteKind } from "./state.ts";
import type { World } from "./world.ts";

/** For labels. */
export const text = (x: Write): string => (x.kind === "set-phase" ? `phase ${phases[x.phase]}` : x.kind);

const concerns: Record<WriteKind, "status" | "service" | "slice" | "target" | "nothing"> = {
  none: "nothing",
  "set-phase": "status",
  "mark-pods-gone": "status",
  park: "service",
  unpark: "service",
  "fence-service": "service",
  "write-slice": "nothing",
  "delete-slice": "slice",
  "fence-target": "target",
  "scale-up": "target",
  zero: "target",
  "read-target": "nothing",
};

/** An object has changed: what was built on its former resourceVersion is stale. */
function changed(s: State, object: "status" | "service" | "slice" | "target"): void {
  const age = (x: Write): Write => (x.fresh && concerns[x.kind] === object ? { ...x, fresh: 0 } : x);
  s.leader = age(s.leader);
  s.waker = age(s.waker);
  s.late = age(s.late);
  if (object === "target" && s.run?.targetFresh) s.run = { ...s.run, targetFresh: 0 };
}

interface Result {
  readonly ok: boolean;
  readonly fence: number;
  readonly violation?: string | undefined;
}
const done: Result = { ok: true, fence: 0 };
const conflict: Result = { ok: false, fence: 0 };

/** The API server's part: takes the write or refuses it. Changes the state. */
export function apply(n: State, w: World, x: Write): Result {
  const guarded = x.fresh === 1;
  switch (x.kind) {
    case "set-phase":
      if (!guarded && w.removed !== "epoch") return conflict;
      writePhase(n, x.phase);
      return done;
    case "mark-pods-gone":
      if (!guarded) return conflict;
      n.gone = 1;
      changed(n, "status");
      return done;
    case "park":
    case "unpark":
      if (!guarded) return conflict;
      n.parked = x.kind === "park" ? 1 : 0;
      n.fenced = x.stamp;
      changed(n, "service");
      return done;
    case "fence-service":
      if (!guarded) return conflict;
      n.fenced = x.stamp;
      if (w.removed !== "fence of the Service") changed(n, "service");
      return done;
    case "write-slice":
      if (n.slice) return conflict;
      n.slice = 1;
      publish(n);
      return done;
    case "delete-slice":
      if (!guarded) return conflict;
      n.slice = 0;
      changed(n, "slice");
      publish(n);
      return done;
    case "fence-target":
      if (!guarded) return conflict;
      if (n.replicas === 0) {
        n.replicas = 1;
        changed(n, "target");
        return { ok: true, fence: 2 };
      }
      if (w.removed !== "fence of the target") changed(n, "target");
      return { ok: true, fence: 1 };
    case "scale-up":
      if (!guarded) return conflict;
      if (n.replicas === 0) changed(n, "target");
      n.replicas = 1;
      return done;
    case "zero":
      if (!guarded && w.removed !== "precondition") return conflict;
      if (n.replicas === 0) return done;
      n.replicas = 0;
      changed(n, "target");
      return { ...done, violation: zeroLanded(n, x.current === 1) };
    case "read-target":
      return done;
    case "none":
      return conflict;
  }
}

function writePhase(n: State, phase: number): void {
  const was = n.phase;
  n.phase = phase;
  n.epoch += 1;
  n.gone = phase === WAKING ? n.gone : 0;
  n.fence = 0;
  n.wakerFence = 0;
  n.answered = 0;
  changed(n, "status");
  const fall = (x: Write): Write => ({ ...x, current: 0, stamp: phase === DRAINING ? 0 : x.stamp });
  if (n.leader.kind !== "none") n.leader = fall(n.leader);
  if (n.waker.kind !== "none") n.waker = fall(n.waker);
  if (n.late.kind !== "none") n.late = fall(n.late);
  if (phase === DRAINING) {
    n.drain = n.epoch;
    n.fenced = 0;
    n.busy = 0;
    n.sleeps = Math.max(0, n.sleeps - 1);
  }
  if (!(was === DRAINING && phase === SEALED)) n.run = undefined;
}
