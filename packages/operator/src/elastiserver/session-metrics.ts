import type { Metrics } from "@elasti/core";

/** Metrics of the sessions. @param count sessions at the moment of a scrape */
export function sessionMetrics(metrics: Metrics, count: () => number) {
  metrics.gauge("elasti_sessions", "Resolvers that have a session with this replica", [], function () {
    this.set(count());
  });
  return {
    ends: metrics.counter("elasti_session_ends_total", "Sessions that ended, by reason", ["reason"]),
    proofs: metrics.counter("elasti_proofs_total", "Routing proofs, by outcome", ["outcome"]),
    proofSeconds: metrics.histogram(
      "elasti_proof_seconds",
      "Time that a routing proof took, all rounds together",
      [],
      [0.25, 0.5, 1, 2.5, 5, 10, 30],
    ),
    seals: metrics.counter("elasti_seals_total", "Requests to seal a service, by outcome", ["outcome"]),
  };
}
