import type { Clock } from "@elasti/core";
import type { TrafficSource } from "@elasti/scaling";
import type { SessionHub } from "./session-hub.ts";

/**
 * What the resolvers have reported, as the traffic trigger asks for it.
 * @param required names of the resolvers without whose word nothing is known
 */
export function trafficSource(hub: SessionHub, required: () => readonly string[], clock: Clock): TrafficSource {
  return {
    traffic: ({ namespace, name }) => {
      const { reporters, inFlight, held, lastRequestAtMs, observedSinceMs } = hub.traffic(namespace, name);
      return {
        required: required(),
        // resolvers report what changes, so of one that is connected the numbers are those of now
        reports: reporters.map((resolver) => ({
          resolver,
          heardAtMs: clock.now(),
          observedSinceMs: observedSinceMs ?? clock.now(),
          inFlight,
          held,
          lastRequestAtMs,
        })),
      };
    },
  };
}
