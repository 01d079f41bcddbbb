import { labelledBy, type Metrics } from "@elasti/core";
import { type Decision, type HistoryEntry, historyOutcomes, holdBacks } from "../contracts.ts";

const evaluationResults = ["ok", "failed", "timeout", "overrun"] as const;
const buckets = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15, 30];

export interface EngineMetrics {
  evaluated(result: (typeof evaluationResults)[number], seconds: number): void;
  recorded(entries: readonly HistoryEntry[]): void;
  heldBack(decision: Decision): void;
  conflict(): void;
  purged(entries: number): void;
}

/** Read at a scrape. */
export interface EngineCounts {
  readonly policies: () => number;
  readonly running: () => boolean;
  readonly databaseUp: () => boolean;
  readonly historyWaiting: () => number;
  readonly historyDropped: () => number;
}

/** What a scrape tells of the policy engine. Labels are few: none names a policy. */
export function engineMetrics(metrics: Metrics, counts: EngineCounts): EngineMetrics {
  metrics.gauge("elasti_scaling_policies", "Enabled policies that this replica evaluates", [], function () {
    this.set(counts.policies());
  });
  metrics.gauge("elasti_scaling_running", "1 while this replica evaluates policies", [], function () {
    this.set(counts.running() ? 1 : 0);
  });
  metrics.gauge("elasti_scaling_database_up", "1 while the database of the policies answers", [], function () {
    this.set(counts.databaseUp() ? 1 : 0);
  });
  metrics.gauge("elasti_scaling_history_waiting", "Entries that wait for the database", [], function () {
    this.set(counts.historyWaiting());
  });
  metrics.gauge("elasti_scaling_history_dropped", "Entries given up since the start", [], function () {
    this.set(counts.historyDropped());
  });
  const evaluations = metrics.histogram(
    "elasti_scaling_evaluation_duration_seconds",
    "Evaluations of policies; overrun: one was due while the one before had not ended",
    ["result"],
    buckets,
    labelledBy("result", evaluationResults),
  );
  const actions = metrics.counter(
    "elasti_scaling_actions_total",
    "Entries of history, by what came of what was decided",
    ["outcome"],
    labelledBy("outcome", historyOutcomes),
  );
  const held = metrics.counter(
    "elasti_scaling_held_back_total",
    "Evaluations that asked for something that was not done, by what held it back",
    ["by"],
    labelledBy("by", holdBacks),
  );
  const conflicts = metrics.counter(
    "elasti_scaling_conflicts_total",
    "Writes that were refused because the target had changed",
  );
  const purged = metrics.counter("elasti_scaling_history_purged_total", "Entries removed at the end of their time");
  return {
    evaluated: (result, seconds) => evaluations.observe({ result }, seconds),
    recorded: (entries) => {
      for (const { outcome } of entries) actions.inc({ outcome });
    },
    heldBack: ({ held_back }) => {
      if (held_back !== null) held.inc({ by: held_back.by });
    },
    conflict: () => conflicts.inc(),
    purged: (entries) => purged.inc(entries),
  };
}
