import { keyOf, type TrafficReport } from "@elasti/api";
import { RecentCount } from "./recent-count.ts";

/** What one resolver last said about one service. */
interface Counted {
  total: number;
  lastRequestAtMs: number | undefined;
  inFlight: number;
  held: number;
  /** The session that said so; numbers of an ended session are only a base for the next. */
  session: number;
}

interface ServiceEntry {
  requests: number;
  lastRequestAtMs: number | undefined;
  answeredEpoch: number;
  /** Requests by when they were reported. */
  readonly recent: RecentCount;
  readonly byResolver: Map<string, Counted>;
}

/** A later request than the one known, by more than what two transmissions of one moment may differ. */
const laterByMs = 1_000;

/** What all resolvers together have seen of each service. Totals only grow, whatever restarts. */
export class TrafficLedger {
  readonly #services = new Map<string, ServiceEntry>();
  readonly #maxServices: number;

  constructor(maxServices: number) {
    this.#maxServices = maxServices;
  }

  get size(): number {
    return this.#services.size;
  }

  /**
   * Takes a report over.
   * @param nowMs wall-clock time of its arrival
   * @param isNews whether what it adds has just happened; a session begins by telling what happened before it
   * @returns false when there is no room for another service; then nothing may be concluded from this resolver
   */
  report(resolver: string, session: number, report: TrafficReport, nowMs: number, isNews: boolean): boolean {
    const key = keyOf(report.namespace, report.service);
    let entry = this.#services.get(key);
    if (entry === undefined) {
      if (this.#services.size >= this.#maxServices) return false;
      entry = {
        requests: 0,
        lastRequestAtMs: undefined,
        answeredEpoch: 0,
        recent: new RecentCount(),
        byResolver: new Map(),
      };
      this.#services.set(key, entry);
    }
    const before = entry.byResolver.get(resolver);
    const lastRequestAtMs = report.idleMs < 0 ? undefined : nowMs - report.idleMs;
    const grown = growth(before, report.requests, lastRequestAtMs, session);
    entry.requests += grown;
    if (isNews && grown > 0) entry.recent.add(grown, nowMs);
    entry.lastRequestAtMs = latest(entry.lastRequestAtMs, lastRequestAtMs);
    entry.answeredEpoch = Math.max(entry.answeredEpoch, report.answeredEpoch);
    entry.byResolver.set(resolver, {
      total: report.requests,
      lastRequestAtMs,
      inFlight: report.inFlight,
      held: report.held,
      session,
    });
    return true;
  }

  /** @param sessions serial of the session of each resolver that is connected now; others' inFlight and held do not count */
  read(
    key: string,
    sessions: ReadonlyMap<string, number>,
  ): { requests: number; inFlight: number; held: number; lastRequestAtMs: number | undefined; answeredEpoch: number } {
    const entry = this.#services.get(key);
    let inFlight = 0;
    let held = 0;
    for (const [resolver, counted] of entry?.byResolver ?? []) {
      if (sessions.get(resolver) !== counted.session) continue;
      inFlight += counted.inFlight;
      held += counted.held;
    }
    return {
      requests: entry?.requests ?? 0,
      inFlight,
      held,
      lastRequestAtMs: entry?.lastRequestAtMs,
      answeredEpoch: entry?.answeredEpoch ?? 0,
    };
  }

  /** Requests per second of late; undefined where they have not been counted for long enough since `sinceMs`. */
  perSecond(key: string, sinceMs: number, nowMs: number): number | undefined {
    return (this.#services.get(key)?.recent ?? new RecentCount()).perSecond(sinceMs, nowMs);
  }

  /** Drops what a resolver that will not come back under its name has said; what it added to totals stays. */
  forgetResolver(resolver: string): void {
    for (const entry of this.#services.values()) entry.byResolver.delete(resolver);
  }

  forgetService(key: string): void {
    this.#services.delete(key);
  }
}

function latest(a: number | undefined, b: number | undefined): number | undefined {
  return a === undefined ? b : b === undefined ? a : Math.max(a, b);
}

/**
 * Requests that a report adds. A total below the former one, or an equal one with a later last request, comes from a new
 * process under the old name; all of its requests are new. A new process that has already passed the old total adds too
 * little, but never nothing.
 */
function growth(
  before: Counted | undefined,
  total: number,
  lastRequestAtMs: number | undefined,
  session: number,
): number {
  if (before === undefined || total < before.total) return total;
  const restarted =
    total === before.total &&
    session !== before.session &&
    lastRequestAtMs !== undefined &&
    lastRequestAtMs > (before.lastRequestAtMs ?? Number.NEGATIVE_INFINITY) + laterByMs;
  return restarted ? total : total - before.total;
}
