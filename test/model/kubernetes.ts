import { endingPod } from "./properties.ts";
import { ASLEEP, copy, NONE, READY, STARTING, type State, TERMINATING } from "./state.ts";
import { type Emit, LAG, type World } from "./world.ts";

/** Endpoints that Kubernetes publishes now: bit p present, bit 2+p ready. */
export function published(s: State, w: World): number {
  if (s.parked) return 0;
  let kube = 0;
  for (let p = 0; p < 2; p += 1) {
    if (s.pods[p] !== NONE) kube |= 1 << p;
    if (s.pods[p] === READY || (s.pods[p] === STARTING && !w.trustsReady)) kube |= 4 << p;
  }
  return kube;
}

/** Tells the nodes of a change of slices. kube-proxy has one watch on all slices, so that changes arrive in their order. */
export function publish(s: State): void {
  const now = (s.kube >> 2) | (s.slice << 2);
  if (s.table[s.table.length - 1] !== now) s.table.push(now);
}

/** Kubernetes: the workload's controller, pods, the slice controller, kube-proxy. */
export function kubernetes(s: State, w: World, emit: Emit): void {
  if (s.controller !== s.replicas) {
    const n = copy(s);
    n.controller = s.replicas;
    emit(`the workload's controller learns of ${s.replicas} replicas`, "world", n);
  }
  const live = s.pods.some((p) => p === STARTING || p === READY);
  for (let p = 0; p < 2; p += 1) {
    const pod = s.pods[p];
    if (pod === STARTING) {
      const n = copy(s);
      n.pods[p] = READY;
      emit("the pod becomes ready", "world", n);
    }
    if (s.controller === 0 && (pod === STARTING || pod === READY)) {
      const n = copy(s);
      n.pods[p] = TERMINATING;
      emit("the pod is told to end", "world", n, endingPod(s, p));
    }
    if (pod === TERMINATING) {
      const n = copy(s);
      n.pods[p] = NONE;
      emit("the pod is gone", "world", n);
    }
  }
  if (s.controller === 1 && !live) {
    // a name is used again only when nothing speaks of its former bearer
    const free = [0, 1].find(
      (p) => s.pods[p] === NONE && !((s.kube >> p) & 1) && s.table.every((t) => !((t >> p) & 1)),
    );
    if (free !== undefined) {
      const n = copy(s);
      n.pods[free] = STARTING;
      for (let i = 0; i < 2; i += 1) {
        const r = n.resolvers[i]!;
        if (r.phase === ASLEEP && !r.gone) n.resolvers[i] = { ...r, taint: r.taint | (1 << free) };
      }
      emit("a pod is made", "world", n);
    }
  }
  const kube = published(s, w);
  if (kube !== s.kube && s.table.length <= LAG) {
    const n = copy(s);
    n.kube = kube;
    publish(n);
    emit(kube === 0 ? "Kubernetes empties its slice" : "Kubernetes writes its slice", "world", n);
  }
  if (s.table.length > 1) {
    const n = copy(s);
    n.table.shift();
    emit(`kube-proxy catches up: ${tableText(n.table[0]!)}`, "world", n);
  }
}

export const tableText = (t: number): string =>
  [t & 3 ? "pods" : "", t & 4 ? "resolvers" : ""].filter((x) => x !== "").join(" and ") || "nobody";
