import type { NewPolicy } from "@elasti/policies";

/** What the benchmark gives the engine to do: pure. */

export interface Load {
  readonly policies: number;
  readonly intervalMs: number;
}

/** Policies come in so many parts of equal size that share no query, so that one part alone is the same load, only smaller. */
export const PARTS = 10;
/** Replicas that a target begins with. */
export const REPLICAS = 3;
const QUERIES_PER_POLICY = 3;
const SHARE = 0.6;
/** A series is high for so many of 100 intervals, and low for as many. */
const PERIOD = 100;
const LASTS = 3;
const zones = ["UTC", "Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Sydney"] as const;

const queriesOfPart = ({ policies }: Load): number =>
  Math.max(QUERIES_PER_POLICY, Math.ceil((SHARE * policies) / PARTS));

/** Different queries of all policies together, each of a series of its own. */
export const distinctQueries = (load: Load): number => PARTS * queriesOfPart(load);

export const policyName = (index: number): string => `bench-${String(index).padStart(6, "0")}`;
export const namespaceOf = (index: number): string => `bench-${index % 10}`;
export const seriesOf = (query: number): string => `bench_load{queue="${query}"}`;

/** The series that a policy asks for: each is asked for by several, first by some and later by others. */
export function queriesOf(load: Load, index: number): readonly number[] {
  const size = load.policies / PARTS;
  const [part, place] = [Math.floor(index / size), index % size];
  const many = queriesOfPart(load);
  const stride = Math.max(1, Math.floor(many / QUERIES_PER_POLICY) - (many % QUERIES_PER_POLICY === 0 ? 0 : 1));
  return Array.from({ length: QUERIES_PER_POLICY }, (_, nth) => part * many + ((place + nth * stride) % many));
}

/** Two rules up, one of them a group, one rule down, each with a hold time, inside a window of office hours. */
export function policyOf(load: Load, index: number): NewPolicy {
  const [first = 0, second = 0, third = 0] = queriesOf(load, index);
  const metric = (query: number) => ({ source: "prometheus", query: `sum(${seriesOf(query)})` }) as const;
  const seconds = Math.max(1, Math.round(load.intervalMs / 1_000));
  return {
    name: policyName(index),
    target_type: "workload",
    target_ref: { namespace: namespaceOf(index), name: policyName(index) },
    cooldown_seconds: 10 * seconds,
    scale_up_rules: [
      { metric: metric(first), operator: "gt", threshold: 80, duration_seconds: seconds, scale_by: 2 },
      {
        when: {
          all: [
            { metric: metric(second), operator: "gt", threshold: 80, duration_seconds: seconds },
            { metric: metric(first), operator: "gt", threshold: 40 },
          ],
        },
        scale_by: "50%",
      },
    ],
    scale_down_rules: [
      { metric: metric(third), operator: "lt", threshold: 10, duration_seconds: seconds, scale_by: -1 },
    ],
    schedules: [
      {
        name: "office hours",
        start: `${index % 60} 8 * * 1-5`,
        end: `${index % 60} 18 * * 1-5`,
        timezone: zones[index % zones.length]!,
        min_replicas: 2,
        max_replicas: 20,
      },
    ],
  };
}

/** What a series says: 50 most of the time, now and then 95 and now and then 5, each at a time of its own. */
export function valueAt(load: Load, query: number, nowMs: number): number {
  const phase = (Math.floor(nowMs / load.intervalMs) + 37 * query) % PERIOD;
  if (phase < LASTS) return 95;
  return phase >= PERIOD / 2 && phase < PERIOD / 2 + LASTS ? 5 : 50;
}
