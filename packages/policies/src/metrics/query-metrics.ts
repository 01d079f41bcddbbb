import type { Metrics } from "@elasti/core";
import { queryBuckets, queryResults, type RegisterQueryMetrics } from "@elasti/scaling";

/** Those of the client that asks for policies. What triggers ask is counted apart: an alert goes by it. */
export const policyQueryMetrics =
  (metrics: Metrics): RegisterQueryMetrics =>
  (known) => {
    metrics.gauge("elasti_scaling_queries_known", "Different queries of policies under way or kept", [], function () {
      this.set(known());
    });
    return {
      results: metrics.counter(
        "elasti_scaling_queries_total",
        "Queries of policies sent to Prometheus servers, by result",
        ["result"],
        queryResults,
      ),
      seconds: metrics.histogram("elasti_scaling_query_duration_seconds", "Time of these queries", [], queryBuckets),
    };
  };
