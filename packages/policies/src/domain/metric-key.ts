import type { Condition, Metric, Policy } from "../schema/policy.ts";
import { canonicalJson } from "./content.ts";

const keys = new WeakMap<object, string>();

/** Names a metric by its content: equal questions have one key. A name of the catalogue cannot be taken for one said in full. */
export function metricKey(metric: Metric): string {
  if (typeof metric === "string") return `name:${metric}`;
  let key = keys.get(metric);
  if (key === undefined) {
    key = canonicalJson(metric);
    keys.set(metric, key);
  }
  return key;
}

/** Every metric that a policy's rules ask for, each once. */
export function metricsOf(policy: Pick<Policy, "scale_up_rules" | "scale_down_rules">): ReadonlyMap<string, Metric> {
  const found = new Map<string, Metric>();
  const visit = (condition: Condition): void => {
    if ("metric" in condition) found.set(metricKey(condition.metric), condition.metric);
    else for (const part of "any" in condition ? condition.any : condition.all) visit(part);
  };
  for (const rule of [...policy.scale_up_rules, ...policy.scale_down_rules]) visit(rule.when);
  return found;
}

/** A metric in a sentence. */
export function metricText(metric: Metric): string {
  if (typeof metric === "string") return metric;
  switch (metric.source) {
    case "prometheus":
      return short(metric.query);
    case "sql":
      return `sql (${short(metric.query)})`;
    case "resource":
      return metric.statistic === "average_value" ? `${metric.resource} per pod` : `${metric.resource} utilization`;
    case "traffic":
      return `traffic ${metric.signal}`;
  }
}

function short(query: string): string {
  const line = query.trim().replace(/\s+/g, " ");
  return line.length > 80 ? `${line.slice(0, 77)}...` : line;
}
