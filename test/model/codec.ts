import {
  type Bit,
  DRAINING,
  isDirect,
  isHeld,
  NONE,
  noWrite,
  type Resolver,
  type Run,
  SEALED,
  type State,
  type Write,
  writeKinds,
} from "./state.ts";

const bits = (w: Write): number =>
  writeKinds.indexOf(w.kind) | (w.phase << 4) | (w.fresh << 7) | (w.current << 8) | (w.stamp << 9);
const bit = (n: number): Bit => (n & 1 ? 1 : 0);
const unbits = (n: number): Write =>
  n === 0
    ? noWrite
    : {
        kind: writeKinds[n & 15] ?? "none",
        phase: (n >> 4) & 7,
        fresh: bit(n >> 7),
        current: bit(n >> 8),
        stamp: bit(n >> 9),
      };

const packRun = (r: Run): number =>
  1 |
  (r.parkWritten << 1) |
  (r.proof << 2) |
  ((r.grace >> 1) << 4) |
  (r.broken << 5) |
  (r.look << 6) |
  (r.seal << 8) |
  (r.zero << 10) |
  (r.targetFresh << 12) |
  (r.targetRead << 13) |
  (r.zeroTries << 14);
const unpackRun = (n: number): Run => ({
  parkWritten: bit(n >> 1),
  proof: (n >> 2) & 3,
  grace: ((n >> 4) & 1) << 1,
  look: (n >> 6) & 3,
  seal: (n >> 8) & 3,
  zero: (n >> 10) & 3,
  targetFresh: bit(n >> 12),
  targetRead: bit(n >> 13),
  zeroTries: (n >> 14) & 3,
  broken: bit(n >> 5),
});

const packResolver = (r: Resolver): number =>
  r.phase |
  (r.epoch << 3) |
  (r.gone << 7) |
  (r.drained << 8) |
  (r.counted << 9) |
  (r.sealed << 10) |
  (r.askEpoch << 14) |
  (r.askDrain << 18) |
  (r.acked << 22) |
  (r.taint << 23);
const unpackResolver = (n: number): Resolver => ({
  phase: n & 7,
  epoch: (n >> 3) & 15,
  gone: bit(n >> 7),
  drained: bit(n >> 8),
  counted: bit(n >> 9),
  sealed: (n >> 10) & 15,
  askEpoch: (n >> 14) & 15,
  askDrain: (n >> 18) & 15,
  acked: bit(n >> 22),
  taint: (n >> 23) & 3,
});

/** Brings a state to its canonical form: what no longer matters forgotten, epochs as ranks, twins in order. Changes it. */
export function canonical(s: State): State {
  const transit = s.phase === DRAINING || s.phase === SEALED;
  if (!transit) {
    s.drain = 0;
    s.busy = 0;
    s.run = undefined;
  }
  const here = (s.pods[0] !== NONE ? 1 : 0) | (s.pods[1] !== NONE ? 2 : 0);
  let used = (1 << s.epoch) | (1 << s.drain);
  for (let i = 0; i < 2; i += 1) {
    const r = s.resolvers[i]!;
    const inSleep = r.phase === DRAINING || r.phase === SEALED;
    const sealed = r.sealed >= r.epoch ? r.sealed : 0;
    const open = inSleep && sealed === 0;
    const epoch = r.epoch === s.epoch || sealed > 0 || inSleep ? r.epoch : 1;
    const asked = r.askEpoch > 0;
    s.resolvers[i] = {
      phase: r.phase,
      epoch,
      gone: r.gone,
      drained: open ? r.drained : 0,
      counted: open ? r.counted : 0,
      sealed,
      askEpoch: r.askEpoch,
      askDrain: r.askDrain,
      acked: s.run?.seal === 1 ? r.acked : 0,
      taint: r.taint & here,
    };
    used |= (1 << epoch) | (1 << sealed);
    if (asked) used |= (1 << r.askEpoch) | (1 << r.askDrain);
  }
  // 0 stands for none, 1 for some older epoch
  used |= 3;
  const rank = (epoch: number): number => {
    let below = used & ((1 << epoch) - 1);
    let n = 0;
    while (below !== 0) {
      below &= below - 1;
      n += 1;
    }
    return n;
  };
  s.epoch = rank(s.epoch);
  s.drain = rank(s.drain);
  for (let i = 0; i < 2; i += 1) {
    const r = s.resolvers[i]!;
    s.resolvers[i] = {
      ...r,
      epoch: rank(r.epoch),
      sealed: rank(r.sealed),
      askEpoch: rank(r.askEpoch),
      askDrain: rank(r.askDrain),
    };
  }
  if (s.run !== undefined && s.phase === SEALED) {
    s.run = { ...s.run, parkWritten: 0, proof: 0, grace: 0, look: 0 };
  }
  swapTwins(s);
  s.requests.sort((a, b) => a - b);
  return s;
}

/** Of two states that differ in the names of pods or resolvers alone, one stands for both. */
function swapTwins(s: State): void {
  if (podRank(s, 0) > podRank(s, 1)) {
    s.pods = [s.pods[1], s.pods[0]];
    s.kube = swapBits(s.kube) | (swapBits(s.kube >> 2) << 2);
    s.table = s.table.map((t) => swapBits(t) | (t & 4));
    for (let i = 0; i < 2; i += 1) s.resolvers[i] = { ...s.resolvers[i]!, taint: swapBits(s.resolvers[i]!.taint) };
    s.requests = s.requests.map((q) => (isDirect(q) || q >= 6 ? q ^ 1 : q));
  }
  if (packResolver(s.resolvers[0]) > packResolver(s.resolvers[1])) {
    s.resolvers = [s.resolvers[1], s.resolvers[0]];
    s.requests = s.requests.map((q) => (isHeld(q) ? q ^ 1 : q >= 6 ? 6 + ((q - 6) ^ 2) : q));
  }
}
const swapBits = (n: number): number => ((n & 1) << 1) | ((n >> 1) & 1);
const podRank = (s: State, p: number): number =>
  (s.pods[p]! << 4) |
  (((s.kube >> p) & 1) << 3) |
  (((s.kube >> (p + 2)) & 1) << 2) |
  (((s.table[0]! >> p) & 1) << 1) |
  ((s.resolvers[0].taint >> p) & 1);

/** The state as a short string. */
export function encode(s: State): string {
  let table = s.table.length;
  for (let i = 0; i < s.table.length; i += 1) table |= s.table[i]! << (3 + 3 * i);
  let requests = 0;
  for (let i = 0; i < s.requests.length; i += 1) requests |= s.requests[i]! << (4 * i);
  const a = packResolver(s.resolvers[0]);
  const b = packResolver(s.resolvers[1]);
  return String.fromCharCode(
    s.phase | (s.epoch << 3) | (s.drain << 7) | (s.gone << 11) | (s.parked << 12) | (s.fenced << 13) | (s.slice << 14),
    s.kube |
      (s.replicas << 4) |
      (s.controller << 5) |
      (s.pods[0] << 6) |
      (s.pods[1] << 8) |
      (s.busy << 10) |
      (s.answered << 11) |
      (s.fence << 12) |
      (s.wakerFence << 14),
    table,
    requests | (s.requests.length << 12),
    a & 0xffff,
    a >> 16,
    b & 0xffff,
    b >> 16,
    s.run === undefined ? 0 : packRun(s.run),
    bits(s.leader),
    bits(s.waker),
    bits(s.late),
    s.sleeps | (s.depositions << 2) | (s.lost << 4) | (s.restarts << 6) | (s.newcomer << 8),
  );
}

export function decode(key: string): State {
  const c = (i: number): number => key.charCodeAt(i);
  const [es, world, table, requests, end] = [c(0), c(1), c(2), c(3), c(12)];
  return {
    phase: es & 7,
    epoch: (es >> 3) & 15,
    drain: (es >> 7) & 15,
    gone: bit(es >> 11),
    parked: bit(es >> 12),
    fenced: bit(es >> 13),
    slice: bit(es >> 14),
    kube: world & 15,
    replicas: (world >> 4) & 1,
    controller: (world >> 5) & 1,
    pods: [(world >> 6) & 3, (world >> 8) & 3],
    busy: bit(world >> 10),
    answered: bit(world >> 11),
    fence: (world >> 12) & 3,
    wakerFence: (world >> 14) & 3,
    table: Array.from({ length: table & 7 }, (_, i) => (table >> (3 + 3 * i)) & 7),
    requests: Array.from({ length: requests >> 12 }, (_, i) => (requests >> (4 * i)) & 15),
    resolvers: [unpackResolver(c(4) | (c(5) << 16)), unpackResolver(c(6) | (c(7) << 16))],
    run: c(8) === 0 ? undefined : unpackRun(c(8)),
    leader: unbits(c(9)),
    waker: unbits(c(10)),
    late: unbits(c(11)),
    sleeps: end & 3,
    depositions: (end >> 2) & 3,
    lost: (end >> 4) & 3,
    restarts: (end >> 6) & 3,
    newcomer: bit(end >> 8),
  };
}
