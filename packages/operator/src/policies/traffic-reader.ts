import type { TrafficReader } from "@elasti/policies";
import type { SessionHub } from "../elastiserver/session-hub.ts";

export interface TrafficReaderOptions {
  readonly hub: Pick<SessionHub, "traffic" | "requestsPerSecond">;
  /** Resolvers without whose word nothing is known. */
  readonly required: () => readonly string[];
  /** Why requests of a service reach its pods past the resolvers; undefined: all of them pass. */
  readonly bypass: (namespace: string, service: string) => string | undefined;
}

/** What the resolvers have reported, as the metrics of policies ask for it. */
export function trafficReader({ hub, required, bypass }: TrafficReaderOptions): TrafficReader {
  return {
    read(namespace, service) {
      const { reporters, inFlight, held } = hub.traffic(namespace, service);
      if (reporters.length === 0) return "no resolver reports";
      const silent = required().find((resolver) => !reporters.includes(resolver));
      if (silent !== undefined) return `resolver ${silent} does not report`;
      const reason = bypass(namespace, service);
      return {
        requests_per_second: hub.requestsPerSecond(namespace, service),
        in_flight: inFlight,
        held,
        ...(reason === undefined ? {} : { bypass: reason }),
      };
    },
  };
}
