import type { Static } from "typebox";
import type { MetricSample, MetricTarget } from "../contracts.ts";
import { unknownSample, valueSample } from "../metric-sample.ts";
import type { TrafficMetricSchema } from "../schema/policy.ts";

/** What all resolvers together see of one service now. */
export interface TrafficReading {
  /** Of late; undefined where it has not been watched for long enough. */
  readonly requests_per_second: number | undefined;
  readonly in_flight: number;
  readonly held: number;
  /** Why requests reach the pods past the resolvers: then only what is held is known. */
  readonly bypass?: string;
}

export interface TrafficReader {
  /** @returns a text that says why where it is not known: no resolver reports, or one of them is silent */
  read(namespace: string, service: string): TrafficReading | string;
}

/** What the resolvers count of the services behind a target, all of them together. */
export class TrafficSource {
  readonly #reader: TrafficReader;

  constructor(reader: TrafficReader) {
    this.#reader = reader;
  }

  read(metric: Static<typeof TrafficMetricSchema>, target: MetricTarget, nowMs: number): MetricSample {
    const { namespace, name, services = [] } = target;
    if (services.length === 0) {
      return unknownSample("TrafficNotKnown", `no ElastiService names ${namespace}/${name}`, nowMs);
    }
    let sum = 0;
    for (const service of services) {
      const reading = this.#reader.read(namespace, service);
      if (typeof reading === "string") return unknownSample("TrafficNotKnown", reading, nowMs);
      if (reading.bypass !== undefined && metric.signal !== "held") {
        return unknownSample("TrafficNotKnown", reading.bypass, nowMs);
      }
      const value = reading[metric.signal];
      if (value === undefined) {
        const message = `${namespace}/${service} has not been watched for long enough`;
        return unknownSample("TrafficNotKnown", message, nowMs);
      }
      sum += value;
    }
    return valueSample(sum, nowMs);
  }
}
