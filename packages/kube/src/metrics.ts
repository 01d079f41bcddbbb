import type { Counter, Gauge, Metrics } from "@elasti/core";

export interface KubeMetrics {
  readonly requests: Counter<"verb" | "resource" | "code">;
  readonly relists: Counter<"resource" | "reason">;
  readonly watches: Counter<"resource">;
  readonly objects: Gauge<"resource">;
  readonly eventsDropped: Counter<"reason">;
}

const known = new WeakMap<Metrics, KubeMetrics>();

/** The metrics of this package in a process's registry: made once, shared by every client and reflector. */
export function kubeMetrics(metrics: Metrics): KubeMetrics {
  let found = known.get(metrics);
  if (found === undefined) {
    found = {
      requests: metrics.counter("elasti_kube_requests_total", "Requests to the API server by answer.", [
        "verb",
        "resource",
        "code",
      ]),
      relists: metrics.counter("elasti_kube_relists_total", "Lists made by reflectors, by what led to them.", [
        "resource",
        "reason",
      ]),
      watches: metrics.counter("elasti_kube_watches_total", "Watches opened by reflectors.", ["resource"]),
      objects: metrics.gauge("elasti_kube_objects", "Objects held by reflectors.", ["resource"]),
      eventsDropped: metrics.counter("elasti_kube_events_dropped_total", "Events that were not written.", ["reason"]),
    };
    known.set(metrics, found);
  }
  return found;
}
