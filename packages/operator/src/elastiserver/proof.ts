/** One connection that a resolver opened to the Service address and closed without a byte. */
export interface Dial {
  readonly address: string;
  readonly port: number;
  /** How long it was open, in ms, by the dialler's clock. */
  readonly openMs: number;
}

/** One connection that a resolver accepted and that ended without a byte. */
export interface SilentPeer extends Dial {
  /** The accepting resolver: with the peer address it names a stream, within which records are in order of their end. */
  readonly acceptedBy: string;
}

export type Evidence =
  /** Every dial was accepted with exactly its address and port. */
  | "exact"
  /** Every dial was accepted; those that were masqueraded on the way are known by how long they were open. */
  | "durations"
  /** At least one dial was accepted by no resolver that we know of. */
  | "missing"
  /** All are accounted for, but too few or too alike to tell masqueraded ones from strangers: dial again. */
  | "inconclusive";

export interface MatchOptions {
  /** How far two clocks' idea of one duration may lie apart, in ms. */
  readonly toleranceMs: number;
  /** Fewer masqueraded dials than this in a row prove nothing. */
  readonly minimumRun: number;
}

export const defaultMatchOptions: MatchOptions = { toleranceMs: 6, minimumRun: 3 };

/** How many connections one resolver opens in one round, and for how long. The shortest is clear of checks that close at once. */
export const dialCount = 10;
export const shortestOpenMs = 10;
export const longestOpenMs = 65;

/**
 * By how much connections may be open longer, and durations lie further apart: where clocks of durations jitter by more than
 * the first tolerance a longer round still succeeds, and is as telling. Beyond this one round would take too long, and
 * resolvers open no connection for more than a second.
 */
export const largestScale = 15;
/** How long the connections of one round are open together, in ms, on average, at scale 1. */
export const meanRoundMs = (dialCount * (shortestOpenMs + longestOpenMs)) / 2;

/** Steps of one search before it gives up: a few ms. A quiet service has as many records as dials and needs no more steps than that. */
const searchBudget = 5_000;
/** Among more accepted connections than this, durations tell nothing. */
const mostCandidates = 512;

const isNear = (peer: SilentPeer, dial: Dial, toleranceMs: number): boolean =>
  Math.abs(peer.openMs - dial.openMs) <= toleranceMs;

/**
 * The durations of one round: one from each tenth of the range, in random order. So they differ from each other, and
 * strangers that are all open equally long (health checks) cannot look like them.
 */
export function drawDurations(random: () => number, scale = 1, count = dialCount): number[] {
  const step = (longestOpenMs - shortestOpenMs) / count;
  const draw = (i: number) => Math.round(scale * (shortestOpenMs + step * (i + random())));
  const durations = Array.from({ length: count }, (_, i) => draw(i));
  for (let i = durations.length - 1; i > 0; i--) {
    const j = Math.min(i, Math.floor(random() * (i + 1)));
    [durations[i], durations[j]] = [durations[j]!, durations[i]!];
  }
  return durations;
}

/** `::ffff:10.0.0.1` and `10.0.0.1` are one peer. */
export function plainAddress(address: string): string {
  const lower = address.toLowerCase();
  return lower.startsWith("::ffff:") && lower.includes(".") ? lower.slice(7) : lower;
}

const peerOf = (end: { address: string; port: number }): string => `${plainAddress(end.address)} ${end.port}`;

/**
 * What the accepted connections say about the dials of each resolver of one round. All resolvers are judged together,
 * because one accepted connection stands for one dial only: what is missing of one cannot be covered by another's.
 * @param dials by resolver, in the order in which they were opened
 * @param accepted by all resolvers since the round began; of each resolver in order of their end
 */
export function judge(
  dials: ReadonlyMap<string, readonly Dial[]>,
  accepted: readonly SilentPeer[],
  options: MatchOptions = defaultMatchOptions,
): Map<string, Evidence> {
  const { rest, left } = takeExact(dials, accepted);
  const open = [...rest.values()].filter((unmatched) => unmatched.length > 0);
  const streams = [...Map.groupBy(left, (peer) => `${peer.acceptedBy} ${plainAddress(peer.address)}`).values()];
  const used = new Set<SilentPeer>();
  // together first: taken one by one, the first might take what belongs to the second
  const together = assign(open, streams, used, options.toleranceMs) !== undefined;
  const verdicts = new Map<string, Evidence>();
  for (const [resolver, given] of dials) {
    const unmatched = rest.get(resolver) ?? [];
    if (given.length === 0) verdicts.set(resolver, "missing");
    else if (unmatched.length === 0) verdicts.set(resolver, "exact");
    else if (together || takeDurations(unmatched, streams, used, options.toleranceMs)) {
      verdicts.set(resolver, isTelling(unmatched, options) ? "durations" : "inconclusive");
    } else verdicts.set(resolver, "missing");
  }
  return verdicts;
}

/** Pairs dials and accepted connections of the same address and port. */
function takeExact(
  dials: ReadonlyMap<string, readonly Dial[]>,
  accepted: readonly SilentPeer[],
): { rest: Map<string, Dial[]>; left: SilentPeer[] } {
  const byPeer = Map.groupBy(accepted, peerOf);
  const taken = new Set<SilentPeer>();
  const rest = new Map<string, Dial[]>();
  for (const [resolver, given] of dials) {
    const unmatched = given.filter((dial) => {
      const peer = byPeer.get(peerOf(dial))?.find((candidate) => !taken.has(candidate));
      if (peer !== undefined) taken.add(peer);
      return peer === undefined;
    });
    rest.set(resolver, unmatched);
  }
  return { rest, left: accepted.filter((peer) => !taken.has(peer)) };
}

/**
 * By how much the two sides' ideas of one duration lie apart, where an address tells which is which: at most, but for the one
 * that is furthest off, as a single pause says little of the next round. Undefined where fewer than two can be told.
 */
export function jitterOf(
  dials: ReadonlyMap<string, readonly Dial[]>,
  accepted: readonly SilentPeer[],
): number | undefined {
  const byPeer = new Map(accepted.map((peer) => [peerOf(peer), peer]));
  const apart = [...dials.values()].flat().flatMap((dial) => {
    const peer = byPeer.get(peerOf(dial));
    return peer === undefined ? [] : [Math.abs(peer.openMs - dial.openMs)];
  });
  return apart.sort((a, b) => a - b).at(-2);
}

/** Finds the dials of one resolver among what the ones before it have left. */
function takeDurations(
  dials: readonly Dial[],
  streams: readonly (readonly SilentPeer[])[],
  used: Set<SilentPeer>,
  toleranceMs: number,
): boolean {
  const found = assign([dials], streams, used, toleranceMs);
  for (const peer of found ?? []) used.add(peer);
  return found !== undefined;
}

/** Whether dials that are known by their durations alone are many enough, and different enough, to be told from strangers. */
function isTelling(dials: readonly Dial[], { minimumRun, toleranceMs }: MatchOptions): boolean {
  const durations = dials.map((dial) => dial.openMs);
  return dials.length >= minimumRun && Math.max(...durations) - Math.min(...durations) > 3 * toleranceMs;
}

/**
 * Finds for every dial an accepted connection of about the same duration, such that within each stream those of one
 * resolver come in the order of its dials (a Service spreads them over several streams). The closest durations are tried
 * first; undefined when there is no such assignment, or none was found within the budget.
 * @param sequences the dials of each resolver
 */
function assign(
  sequences: readonly (readonly Dial[])[],
  all: readonly (readonly SilentPeer[])[],
  taken: ReadonlySet<SilentPeer>,
  toleranceMs: number,
): SilentPeer[] | undefined {
  const wanted = sequences.flatMap((dials, of) => dials.map((dial) => ({ dial, of })));
  // strangers of other durations cannot matter; health checks, say, are closed at once
  const streams = all.map((stream) =>
    stream.filter((peer) => !taken.has(peer) && wanted.some(({ dial }) => isNear(peer, dial, toleranceMs))),
  );
  const available = streams.reduce((sum, stream) => sum + stream.length, 0);
  if (available < wanted.length || available > mostCandidates) return undefined;
  const next = sequences.map(() => streams.map(() => 0));
  const used = new Set<SilentPeer>();
  const chosen: SilentPeer[] = [];
  let budget = searchBudget;

  const candidatesOf = (dial: Dial, from: readonly number[]) => {
    const candidates: { stream: number; at: number; apart: number }[] = [];
    streams.forEach((stream, index) => {
      for (let at = from[index]!; at < stream.length; at++) {
        const peer = stream[at]!;
        if (used.has(peer) || !isNear(peer, dial, toleranceMs)) continue;
        candidates.push({ stream: index, at, apart: Math.abs(peer.openMs - dial.openMs) });
      }
    });
    return candidates.sort((a, b) => a.apart - b.apart);
  };

  const search = (index: number): boolean => {
    const want = wanted[index];
    if (want === undefined) return true;
    const from = next[want.of]!;
    for (const { stream, at } of candidatesOf(want.dial, from)) {
      budget -= 1;
      if (budget < 0) return false;
      const before = from[stream]!;
      const peer = streams[stream]![at]!;
      from[stream] = at + 1;
      used.add(peer);
      chosen.push(peer);
      if (search(index + 1)) return true;
      chosen.pop();
      used.delete(peer);
      from[stream] = before;
    }
    return false;
  };

  return search(0) ? chosen : undefined;
}
