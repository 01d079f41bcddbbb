import { broken, ledTo } from "./properties.ts";
import {
  ANSWERED,
  ASLEEP,
  type Bit,
  copy,
  DRAINING,
  direct,
  forwarded,
  held,
  isDirect,
  NONE,
  podOf,
  READY,
  type Resolver,
  resolverOf,
  SEALED,
  SERVING,
  type State,
  UNSENT,
  WAKING,
} from "./state.ts";
import type { Emit, World } from "./world.ts";

/** May this resolver forward at all? */
function mayForward(r: Resolver): boolean {
  if (r.epoch <= r.sealed) return false;
  return r.phase === ASLEEP ? r.gone === 1 : r.phase !== SEALED;
}

const usable = (s: State, r: Resolver, p: number): boolean => s.pods[p] === READY && !((r.taint >> p) & 1);

/** It has seen the present Draining: what comes to it from then on counts against the sleep. */
const counts = (s: State, r: Resolver): boolean => r.phase === DRAINING && r.epoch === s.drain;

/** What a resolver makes of the ElastiService as it is now. */
function seen(s: State, r: Resolver, w: World): Resolver {
  const moved = r.epoch !== s.epoch;
  const drained: Bit =
    s.phase === DRAINING || (s.phase === SEALED && r.phase === DRAINING && r.epoch === s.drain) ? 1 : 0;
  const counted: Bit = s.phase === SEALED && drained ? r.counted : 0;
  let taint = r.taint;
  const here = (s.pods[0] !== NONE ? 1 : 0) | (s.pods[1] !== NONE ? 2 : 0);
  if (s.gone) taint = 0;
  else if (s.phase === ASLEEP || (s.phase === WAKING && moved && w.removed !== "taint without having seen Asleep"))
    taint |= here;
  if (w.removed === "taint") taint = 0;
  return {
    ...r,
    phase: s.phase,
    epoch: s.epoch,
    gone: s.gone,
    drained: moved ? drained : r.drained,
    counted: moved ? counted : r.counted,
    sealed: s.epoch > r.sealed ? 0 : r.sealed,
    taint,
  };
}

const hasRequests = (s: State, i: number): boolean => s.requests.some((q) => resolverOf(q) === i);

export function resolvers(s: State, w: World, emit: Emit): void {
  for (let i = 0; i < 2; i += 1) {
    const r = s.resolvers[i]!;
    if (r.epoch !== s.epoch || r.gone !== s.gone) {
      const n = copy(s);
      n.resolvers[i] = seen(s, r, w);
      emit(`a resolver sees the phase`, "world", n);
    }
    if (r.askEpoch > 0) answerSeal(s, i, emit);
    for (let p = 0; p < 2; p += 1) {
      // 2 s after the wake: the controllers have acted on all that was before it
      if ((r.taint >> p) & 1 && r.phase !== ASLEEP && r.phase !== SEALED && s.pods[p] === READY) {
        if (s.replicas === 1 && s.controller === 1) {
          const n = copy(s);
          n.resolvers[i] = { ...r, taint: r.taint & ~(1 << p) };
          emit(`a resolver trusts the pod again`, "world", n);
        }
      }
      const waiting = s.requests.indexOf(held(i));
      if (waiting >= 0 && mayForward(r) && usable(s, r, p)) {
        const n = copy(s);
        n.requests[waiting] = forwarded(i, p);
        if (r.counted && counts(s, r)) n.busy = 1;
        emit(`a resolver forwards the held request`, "world", n);
      }
    }
    if (s.restarts > 0 && !hasRequests(s, i)) {
      const n = copy(s);
      n.restarts -= 1;
      const blank: Resolver = {
        ...r,
        phase: SERVING,
        epoch: 0,
        gone: 0,
        sealed: 0,
        askEpoch: 0,
        askDrain: 0,
        taint: 0,
      };
      n.resolvers[i] = seen(s, blank, w);
      if (n.run !== undefined) n.run = { ...n.run, broken: 1 };
      emit(`a resolver restarts`, "chance", n);
    }
  }
}

/** The resolver's rule for the seal. */
function answerSeal(s: State, i: number, emit: Emit): void {
  const r = s.resolvers[i]!;
  const draining = r.phase === DRAINING && r.epoch === r.askDrain;
  const sealed = r.phase === SEALED && r.epoch === r.askEpoch && r.drained === 1;
  const ok = (draining || sealed) && !r.counted && !hasRequests(s, i);
  const n = copy(s);
  // an answer to a leader that is no more is heard by nobody
  const heard = s.run?.seal === 1 && r.askEpoch === s.epoch;
  n.resolvers[i] = {
    ...r,
    askEpoch: 0,
    askDrain: 0,
    sealed: ok ? Math.max(r.sealed, r.askEpoch) : r.sealed,
    acked: ok && heard ? 1 : r.acked,
  };
  if (heard && s.run !== undefined) {
    if (!ok) n.run = { ...s.run, seal: 3 };
    else if (n.resolvers[0].acked && n.resolvers[1].acked) n.run = { ...s.run, seal: 2 };
  }
  emit(ok ? `a resolver seals` : `a resolver refuses to seal`, "world", n);
}

export function client(s: State, _w: World, emit: Emit): void {
  for (let q = 0; q < s.requests.length; q += 1) {
    const request = s.requests[q]!;
    if (q > 0 && s.requests[q - 1] === request) continue;
    if (request === UNSENT) send(s, q, emit);
    else if (podOf(request) >= 0) {
      const n = copy(s);
      n.requests[q] = ANSWERED;
      const r = s.resolvers[resolverOf(request)];
      if (r !== undefined && r.epoch === s.epoch && s.phase === WAKING) n.answered = 1;
      emit("the pod answers the request", "world", n);
    }
  }
}

/** A new connection goes to any ready endpoint in the node's table. */
function send(s: State, q: number, emit: Emit): void {
  const table = s.table[0]!;
  if (table === 0) emit("a request is refused", "chance", s, broken.nobody);
  for (let p = 0; p < 2; p += 1) {
    if (!((table >> p) & 1)) continue;
    const n = copy(s);
    n.requests[q] = direct(p);
    n.busy = s.phase === DRAINING || s.phase === SEALED ? 1 : 0;
    emit("a request goes to the pod directly", "chance", n, ledTo(s, p));
  }
  if (!(table & 4)) return;
  for (let i = 0; i < 2; i += 1) {
    const r = s.resolvers[i]!;
    const targets = mayForward(r) ? [0, 1].filter((p) => usable(s, r, p)) : [];
    for (const p of targets) {
      const n = copy(s);
      n.requests[q] = forwarded(i, p);
      n.resolvers[i] = { ...r, counted: 1 };
      if (counts(s, r)) n.busy = 1;
      emit(`a request goes to a resolver, which forwards it`, "chance", n);
    }
    if (targets.length === 0) {
      const n = copy(s);
      n.requests[q] = held(i);
      n.resolvers[i] = { ...r, counted: 1 };
      emit(`a request goes to a resolver, which holds it`, "chance", n);
    }
  }
}

/** Some trigger is not idle: a request has come since the swap, or is under way on a pod. */
export const active = (s: State): boolean => s.busy === 1 || s.requests.some((q) => isDirect(q) || q >= 6);
