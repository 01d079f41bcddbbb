import type { HistoryEntry } from "../contracts.ts";

export interface SavingsInput {
  /** Of one target, oldest first, with the last one before `sinceMs`: what is asleep when the range begins. */
  readonly entries: readonly HistoryEntry[];
  readonly sinceMs: number;
  readonly untilMs: number;
  /** What is asleep still counts until now, not until the end of a range that lies ahead. */
  readonly nowMs: number;
  readonly pricePerReplicaHour: number | null;
  /** Taken to be saved where an entry does not say how many replicas there were before. */
  readonly usualReplicas: number;
}
export interface DaySavings {
  /** Of UTC, such as 2026-05-05. */
  readonly date: string;
  readonly hours_slept: number;
  readonly replica_hours_saved: number;
  /** Null without a price. */
  readonly money_saved: number | null;
}
export interface Savings {
  readonly hours_slept: number;
  readonly replica_hours_saved: number;
  readonly money_saved: number | null;
  readonly sleeps: number;
  readonly asleep_since: string | null;
  /** Days on which it slept. */
  readonly days: readonly DaySavings[];
}

const HOUR_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Times asleep within a range, from the sleeps and wakes in a target's history, and what they saved. */
export function savingsOf(input: SavingsInput): Savings {
  const { sinceMs, pricePerReplicaHour: price } = input;
  const endMs = Math.min(input.untilMs, input.nowMs);
  const days = new Map<number, { ms: number; replicaMs: number }>();
  let sleeps = 0;
  let asleep: { readonly fromMs: number; readonly replicas: number } | undefined;
  const add = (untilMs: number): void => {
    if (asleep === undefined) return;
    let from = Math.max(asleep.fromMs, sinceMs);
    const until = Math.min(untilMs, endMs);
    if (from < until) sleeps += 1;
    while (from < until) {
      const day = Math.floor(from / DAY_MS);
      const to = Math.min(until, (day + 1) * DAY_MS);
      const entry = days.get(day) ?? { ms: 0, replicaMs: 0 };
      days.set(day, { ms: entry.ms + to - from, replicaMs: entry.replicaMs + (to - from) * asleep.replicas });
      from = to;
    }
  };
  for (const entry of input.entries) {
    if (entry.kind !== "action" || entry.outcome !== "executed") continue;
    const atMs = Date.parse(entry.executed_at);
    if (atMs > endMs) break;
    if (fallsAsleep(entry)) {
      // said twice it is still one sleep, and the first knew how many there were
      asleep ??= { fromMs: atMs, replicas: entry.previous_replicas || input.usualReplicas };
    } else if (asleep !== undefined && wakesUp(entry)) {
      add(atMs);
      asleep = undefined;
    }
  }
  add(endMs);
  const money = (replicaMs: number): number | null => (price === null ? null : round((replicaMs / HOUR_MS) * price));
  const all = [...days.values()].reduce(
    (sum, day) => ({ ms: sum.ms + day.ms, replicaMs: sum.replicaMs + day.replicaMs }),
    {
      ms: 0,
      replicaMs: 0,
    },
  );
  return {
    hours_slept: round(all.ms / HOUR_MS),
    replica_hours_saved: round(all.replicaMs / HOUR_MS),
    money_saved: money(all.replicaMs),
    sleeps,
    asleep_since: asleep === undefined ? null : new Date(asleep.fromMs).toISOString(),
    days: [...days].map(([day, { ms, replicaMs }]) => ({
      date: new Date(day * DAY_MS).toISOString().slice(0, 10),
      hours_slept: round(ms / HOUR_MS),
      replica_hours_saved: round(replicaMs / HOUR_MS),
      money_saved: money(replicaMs),
    })),
  };
}

const fallsAsleep = (entry: HistoryEntry): boolean => entry.action === "sleep" || entry.new_replicas === 0;
const wakesUp = (entry: HistoryEntry): boolean => entry.action === "wake" || (entry.new_replicas ?? 0) > 0;
const round = (value: number): number => Math.round(value * 1e6) / 1e6;
