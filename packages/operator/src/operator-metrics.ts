import { type ElastiService, phases } from "@elasti/api";
import { type Clock, labelledBy, type Metrics } from "@elasti/core";
import type { Verdict } from "@elasti/scaling";
import type { PassResult } from "./controller/reconciler.ts";

const undoneCauses = ["activity", "routing", "seal", "other"] as const;
const outcomes = ["ok", "conflict", "failed"] as const;
const verdictKinds = ["Active", "Idle", "Unknown"] as const satisfies readonly Verdict["kind"][];
/** The changes of every healthy cycle, and those of a sleep that is undone. */
const usualChanges = [
  { from: "Serving", to: "Draining" },
  { from: "Draining", to: "Sealed" },
  { from: "Draining", to: "Serving" },
  { from: "Sealed", to: "Asleep" },
  { from: "Sealed", to: "Serving" },
  { from: "Sealed", to: "Waking" },
  { from: "Asleep", to: "Waking" },
  { from: "Waking", to: "Serving" },
];

/** What a scrape of the operator tells beside the metrics of its parts. Labels are few: none names a service. */
export interface OperatorMetrics {
  phaseChanged(from: string | undefined, to: string): void;
  verdict(verdict: Verdict): void;
  /** A sleep that was begun and not completed. @param cause activity, or what could not be had */
  sleepUndone(cause: (typeof undoneCauses)[number]): void;
  reconciled(seconds: number, outcome: (typeof outcomes)[number]): void;
}

const reconcileBuckets = [0.001, 0.005, 0.025, 0.1, 0.5, 1, 5, 15];

/** Read at a scrape. */
export interface OperatorCounts {
  readonly byPhase: () => ReadonlyMap<string, number>;
  readonly leading: () => boolean;
  /** ElastiServices that wait for a pass. */
  readonly waiting: () => number;
  /** ElastiServices of which the last pass failed. */
  readonly failing: () => number;
}

export function operatorMetrics(metrics: Metrics, counts: OperatorCounts): OperatorMetrics {
  metrics.gauge("elasti_services", "ElastiServices by phase", ["phase"], function () {
    const byPhase = counts.byPhase();
    for (const phase of [...phases, "None"]) this.set({ phase }, byPhase.get(phase) ?? 0);
  });
  metrics.gauge("elasti_leader", "1 while this replica leads", [], function () {
    this.set(counts.leading() ? 1 : 0);
  });
  metrics.gauge("elasti_reconcile_queue_length", "ElastiServices that wait for a reconcile", [], function () {
    this.set(counts.waiting());
  });
  metrics.gauge("elasti_reconcile_failing", "ElastiServices of which the last pass failed", [], function () {
    this.set(counts.failing());
  });
  const changes = metrics.counter(
    "elasti_phase_changes_total",
    "Changes of phase written by this replica",
    ["from", "to"],
    usualChanges,
  );
  const verdicts = metrics.counter(
    "elasti_verdicts_total",
    "Rounds of asking triggers, by what came of them",
    ["verdict"],
    labelledBy("verdict", verdictKinds),
  );
  const undone = metrics.counter(
    "elasti_sleeps_undone_total",
    "Sleeps begun and not completed",
    ["cause"],
    labelledBy("cause", undoneCauses),
  );
  const reconciles = metrics.histogram(
    "elasti_reconcile_duration_seconds",
    "Passes over one ElastiService",
    ["outcome"],
    reconcileBuckets,
    labelledBy("outcome", outcomes),
  );
  return {
    phaseChanged: (from, to) => changes.inc({ from: from ?? "None", to }),
    verdict: ({ kind }) => verdicts.inc({ verdict: kind }),
    sleepUndone: (cause) => undone.inc({ cause }),
    reconciled: (seconds, outcome) => reconciles.observe({ outcome }, seconds),
  };
}

/** A pass with its time and outcome noted. */
export function timed(
  reconciler: { reconcile(key: string): Promise<PassResult> },
  observed: OperatorMetrics,
  clock: Clock,
) {
  return async (key: string) => {
    const began = clock.monotonic();
    try {
      const { conflict, ...result } = await reconciler.reconcile(key);
      observed.reconciled((clock.monotonic() - began) / 1_000, conflict === true ? "conflict" : "ok");
      return result;
    } catch (error) {
      observed.reconciled((clock.monotonic() - began) / 1_000, "failed");
      throw error;
    }
  };
}

/** How many ElastiServices are in each phase. */
export function countPhases(all: readonly ElastiService[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const { status } of all) counts.set(status?.phase ?? "None", (counts.get(status?.phase ?? "None") ?? 0) + 1);
  return counts;
}
