import { canonical, decode, encode } from "./codec.ts";
import { kubernetes } from "./kubernetes.ts";
import { late, leader, waker } from "./operators.ts";
import { broken, holds } from "./properties.ts";
import { client, resolvers } from "./rules.ts";
import { copy, noWrite, type State } from "./state.ts";
import { type Emit, type Mover, start, type World } from "./world.ts";

export interface Outcome {
  readonly states: number;
  readonly transitions: number;
  readonly depth: number;
  readonly complete: boolean;
  readonly violation?: string;
  /** The steps that lead to the violation. */
  readonly trace: readonly string[];
}

/** All that can happen next, in canonical form. */
export function successors(s: State, w: World, emit: Emit): void {
  const canonicalised: Emit = (label, mover, next, violation) => {
    // a late call that can no longer do anything is forgotten
    if (next.late.kind !== "none" && !next.late.fresh && !honoured(next, w)) next.late = noWrite;
    emit(label, mover, canonical(next === s ? copy(s) : next), violation);
  };
  leader(s, w, canonicalised);
  waker(s, w, canonicalised);
  late(s, w, canonicalised);
  resolvers(s, w, canonicalised);
  client(s, w, canonicalised);
  kubernetes(s, w, canonicalised);
}

const honoured = (s: State, w: World): boolean =>
  (w.removed === "precondition" && s.late.kind === "zero") || (w.removed === "epoch" && s.late.kind === "set-phase");

const movers: readonly Mover[] = ["world", "leader", "waker", "chance"];

class Ints {
  #data = new Int32Array(1 << 16);
  length = 0;
  push(value: number): void {
    if (this.length === this.#data.length) {
      const grown = new Int32Array(this.length * 2);
      grown.set(this.#data);
      this.#data = grown;
    }
    this.#data[this.length] = value;
    this.length += 1;
  }
  get(index: number): number {
    return this.#data[index] ?? 0;
  }
}

/**
 * Visits every reachable state, breadth first, and stops at the first violation, so that its trace is as short as any.
 * At the end it asks of every state in which a request is held whether it can still be let go by what the world does in
 * its time and one of the two replicas, with no luck and no help of the other.
 */
export function explore(w: World, maxStates = 3_000_000): Outcome {
  const ids = new Map<string, number>();
  const keys: string[] = [];
  const parents = new Ints();
  const from = new Ints();
  const to = new Ints();
  const depths = new Ints();
  let transitions = 0;
  let found: { violation: string; id: number; label: string } | undefined;
  const visit = (key: string, parent: number): number => {
    const known = ids.get(key);
    if (known !== undefined) return known;
    const id = keys.length;
    ids.set(key, id);
    keys.push(key);
    parents.push(parent);
    depths.push(parent < 0 ? 0 : depths.get(parent) + 1);
    return id;
  };
  visit(encode(canonical(start(w))), -1);
  for (let id = 0; id < keys.length && found === undefined && keys.length < maxStates; id += 1) {
    successors(decode(keys[id]!), w, (label, mover, next, violation) => {
      transitions += 1;
      if (violation !== undefined) {
        found ??= { violation, id, label };
        return;
      }
      const target = visit(encode(next), id);
      from.push(id);
      to.push(target * 4 + movers.indexOf(mover));
    });
  }
  const complete = found === undefined && keys.length < maxStates;
  const trace = (id: number): string[] => traceTo(w, keys, parents, id);
  const base = { states: keys.length, transitions, depth: depths.get(keys.length - 1), complete };
  if (found !== undefined) {
    return { ...base, violation: found.violation, trace: [...trace(found.id), found.label] };
  }
  if (complete) {
    for (const alone of ["leader", "waker"] as const) {
      const stuck = stuckHold(keys, from, to, alone);
      if (stuck !== undefined) {
        return { ...base, violation: broken.heldForEver(alone), trace: trace(stuck) };
      }
    }
  }
  return { ...base, trace: [] };
}

/** A state with a hold from which no state without one can be reached by the world and `alone`. */
function stuckHold(keys: readonly string[], from: Ints, to: Ints, alone: Mover): number | undefined {
  const allowed = (packed: number): boolean => movers[packed & 3] === "world" || movers[packed & 3] === alone;
  // edges turned round, grouped by their end
  const starts = new Int32Array(keys.length + 1);
  for (let e = 0; e < from.length; e += 1) if (allowed(to.get(e))) starts[(to.get(e) >> 2) + 1]! += 1;
  for (let i = 0; i < keys.length; i += 1) starts[i + 1]! += starts[i]!;
  const cursor = starts.slice();
  const sources = new Int32Array(starts[keys.length]!);
  for (let e = 0; e < from.length; e += 1) {
    if (!allowed(to.get(e))) continue;
    const target = to.get(e) >> 2;
    sources[cursor[target]!] = from.get(e);
    cursor[target]! += 1;
  }
  const good = new Uint8Array(keys.length);
  const queue = new Int32Array(keys.length);
  let size = 0;
  for (let id = 0; id < keys.length; id += 1) {
    if (holds(decode(keys[id]!))) continue;
    good[id] = 1;
    queue[size] = id;
    size += 1;
  }
  for (let head = 0; head < size; head += 1) {
    const target = queue[head]!;
    for (let e = starts[target]!; e < starts[target + 1]!; e += 1) {
      const source = sources[e]!;
      if (good[source]) continue;
      good[source] = 1;
      queue[size] = source;
      size += 1;
    }
  }
  const stuck = good.indexOf(0);
  return stuck < 0 ? undefined : stuck;
}

/** The labels from the first state to this one. */
function traceTo(w: World, keys: readonly string[], parents: Ints, id: number): string[] {
  const path: number[] = [];
  for (let at = id; at >= 0; at = parents.get(at)) path.unshift(at);
  return path.slice(1).map((child, i) => {
    let found = "?";
    successors(decode(keys[path[i]!]!), w, (label, _mover, next, violation) => {
      if (found === "?" && violation === undefined && encode(next) === keys[child]) found = label;
    });
    return found;
  });
}
