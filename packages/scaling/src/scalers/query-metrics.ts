import { type Counter, type Histogram, labelledBy, type Metrics } from "@elasti/core";
import { queryFailures } from "./prometheus-answer.ts";

/** What a query client tells of its work. */
export interface QueryMetrics {
  readonly results: Counter<"result">;
  readonly seconds: Histogram;
}

/** Registers them for one client. @param known different queries that it has under way or keeps */
export type RegisterQueryMetrics = (known: () => number) => QueryMetrics;

/** Every result that a query can have, so that counters are 0 from the start. */
export const queryResults = labelledBy("result", ["value", "empty", ...queryFailures]);
/** Of the time of a query, in seconds. */
export const queryBuckets = [0.005, 0.025, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];

/** Those of the client that asks for triggers. */
export const triggerQueryMetrics =
  (metrics: Metrics): RegisterQueryMetrics =>
  (known) => {
    metrics.gauge("elasti_trigger_queries_known", "Different queries under way or kept", [], function () {
      this.set(known());
    });
    return {
      results: metrics.counter(
        "elasti_trigger_queries_total",
        "Queries sent to Prometheus servers, by result",
        ["result"],
        queryResults,
      ),
      seconds: metrics.histogram("elasti_trigger_query_duration_seconds", "Time of these queries", [], queryBuckets),
    };
  };
