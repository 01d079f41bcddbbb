import { keyOf } from "@elasti/api";
import type { Clock } from "@elasti/core";
import type { TrafficReader, TrafficReading } from "@elasti/policies";
import type { SessionHub } from "../elastiserver/session-hub.ts";

/** A count of requests at a moment, monotonic. */
interface Count {
  readonly atMs: number;
  readonly requests: number;
}

/** A rate is taken over at least so long, and at most so long. */
const leastMs = 5_000;
const mostMs = 120_000;
const maxServices = 20_000;

/** What the resolvers report of services, with rates between two readings. */
export class TrafficRates implements TrafficReader {
  readonly #hub: Pick<SessionHub, "traffic">;
  readonly #required: () => readonly string[];
  readonly #clock: Clock;
  /** The last count of each service, and the one before. */
  readonly #counts = new Map<string, readonly [Count, Count | undefined]>();

  /** @param required names of the resolvers without whose word nothing is known */
  constructor(hub: Pick<SessionHub, "traffic">, required: () => readonly string[], clock: Clock) {
    this.#hub = hub;
    this.#required = required;
    this.#clock = clock;
  }

  read(namespace: string, service: string): TrafficReading | string {
    const { requests, inFlight, held, reporters } = this.#hub.traffic(namespace, service);
    const silent = this.#required().filter((id) => !reporters.includes(id));
    if (silent.length > 0) return `no report from ${silent.join(", ")}`;
    if (reporters.length === 0) return "no resolver is connected";
    return { requests_per_second: this.#rate(keyOf(namespace, service), requests), in_flight: inFlight, held };
  }

  #rate(key: string, requests: number): number | undefined {
    const now: Count = { atMs: this.#clock.monotonic(), requests };
    const [last, before] = this.#counts.get(key) ?? [undefined, undefined];
    const base = last !== undefined && now.atMs - last.atMs >= leastMs ? last : before;
    if (last === undefined || base === last) {
      this.#counts.delete(key);
      this.#counts.set(key, [now, last]);
      if (this.#counts.size > maxServices) this.#counts.delete(this.#counts.keys().next().value!);
    }
    if (base === undefined || now.atMs - base.atMs > mostMs || requests < base.requests) return undefined;
    return ((requests - base.requests) * 1_000) / (now.atMs - base.atMs);
  }
}
