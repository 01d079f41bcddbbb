import { formatDuration, parseDuration } from "@elasti/core";
import type { Condition, Leaf, Metric, PolicyRule, Rule } from "../schema/policy.ts";
import { shown } from "../schema/problems.ts";
import type { PolicyContext, Problems } from "./normalize-context.ts";

/** Groups within groups. */
export const MAX_CONDITION_DEPTH = 5;
/** Comparisons of one rule, in all its groups. */
export const MAX_COMPARISONS = 50;
const MAX_DURATION_SECONDS = 604_800;

/** A rule as it is kept, its id as given or empty; undefined where something is wrong, which is then in `problems`. */
export function normalizeRule(
  rule: Rule,
  field: string,
  direction: "up" | "down",
  context: PolicyContext,
  problems: Problems,
): PolicyRule | undefined {
  checkScaleBy(rule.scale_by, `${field}.scale_by`, direction, problems);
  const duration = durationOf(rule, field, problems);
  let when: Condition | undefined;
  if (rule.when !== undefined) {
    for (const key of ["metric", "operator", "threshold"] as const) {
      if (rule[key] !== undefined) {
        problems.add(
          `${field}.${key}`,
          "cannot stand beside when: expected either when, or metric, operator and threshold",
        );
      }
    }
    const count = { left: MAX_COMPARISONS };
    when = normalizeCondition(rule.when, `${field}.when`, 1, count, context, problems);
    if (count.left < 0) {
      problems.add(
        `${field}.when`,
        `has ${MAX_COMPARISONS - count.left} comparisons: expected at most ${MAX_COMPARISONS}`,
      );
    }
  } else {
    for (const key of ["metric", "operator", "threshold"] as const) {
      if (rule[key] === undefined) problems.add(`${field}.${key}`, "is required where there is no when");
    }
    const { metric, operator, threshold } = rule;
    if (metric !== undefined && operator !== undefined && threshold !== undefined) {
      when = { metric: normalizeMetric(metric, `${field}.metric`, context, problems), operator, threshold };
    }
  }
  if (when === undefined || duration === undefined || !problems.fine(field)) return undefined;
  // of a single comparison there is one time to hold
  let total = duration;
  if ("metric" in when && when.duration_seconds !== undefined) {
    const { duration_seconds: own, ...leaf } = when;
    total += own;
    when = leaf;
  }
  const name = rule.name === undefined ? {} : { name: rule.name };
  return { id: rule.id ?? "", ...name, when, duration_seconds: total, scale_by: rule.scale_by };
}

function checkScaleBy(scaleBy: Rule["scale_by"], field: string, direction: "up" | "down", problems: Problems): void {
  const amount = typeof scaleBy === "number" ? scaleBy : Number.parseInt(scaleBy, 10);
  if (direction === "up" ? amount > 0 : amount < 0) {
    if (typeof scaleBy === "string" && amount < -100) {
      problems.add(field, `${shown(scaleBy)} takes away more than there is: expected "-100%" at most`);
    }
    return;
  }
  const example = direction === "up" ? 'above 0, such as 2 or "50%"' : 'below 0, such as -1 or "-25%"';
  problems.add(field, `${shown(scaleBy)} does not scale ${direction}: expected a number or share ${example}`);
}

/** Seconds of `duration` or `duration_seconds`, 0 for neither. */
function durationOf(
  given: { readonly duration?: string; readonly duration_seconds?: number },
  field: string,
  problems: Problems,
): number | undefined {
  const { duration, duration_seconds: seconds } = given;
  if (duration === undefined) return seconds ?? 0;
  if (seconds !== undefined) {
    problems.add(`${field}.duration`, "cannot stand beside duration_seconds: expected one of both");
    return undefined;
  }
  try {
    const parsed = parseDuration(duration) / 1_000;
    if (parsed <= MAX_DURATION_SECONDS) return Math.ceil(parsed);
  } catch {
    // said below, as for what is too long
  }
  const most = formatDuration(MAX_DURATION_SECONDS * 1_000);
  problems.add(
    `${field}.duration`,
    `${shown(duration)} is no such duration: expected 0 to ${most}, such as "5m" or "1h30m"`,
  );
  return undefined;
}

function normalizeCondition(
  condition: Condition,
  field: string,
  depth: number,
  count: { left: number },
  context: PolicyContext,
  problems: Problems,
): Condition | undefined {
  if ("metric" in condition) {
    count.left -= 1;
    return normalizeLeaf(condition, field, context, problems);
  }
  if (depth > MAX_CONDITION_DEPTH) {
    problems.add(field, `is nested too deeply: expected at most ${MAX_CONDITION_DEPTH} groups within one another`);
    return undefined;
  }
  const key = "any" in condition ? "any" : "all";
  const given = "any" in condition ? condition.any : condition.all;
  const parts: Condition[] = [];
  for (const [index, part] of given.entries()) {
    const made = normalizeCondition(part, `${field}.${key}[${index}]`, depth + 1, count, context, problems);
    if (made !== undefined) parts.push(made);
  }
  return key === "any" ? { any: parts } : { all: parts };
}

function normalizeLeaf(leaf: Leaf, field: string, context: PolicyContext, problems: Problems): Condition | undefined {
  const seconds = durationOf(leaf, field, problems);
  const metric = normalizeMetric(leaf.metric, `${field}.metric`, context, problems);
  if (seconds === undefined) return undefined;
  const { operator, threshold } = leaf;
  return { metric, operator, threshold, ...(seconds > 0 ? { duration_seconds: seconds } : {}) };
}

function normalizeMetric(metric: Metric, field: string, context: PolicyContext, problems: Problems): Metric {
  if (typeof metric === "string") {
    if (!context.catalogue.includes(metric)) {
      const names = [...context.catalogue].sort();
      const known = names.length === 0 ? "none is configured" : `expected one of ${listed(names)}`;
      problems.add(field, `${shown(metric)} is not in the catalogue of metrics: ${known}, or a metric said in full`);
    }
    return metric;
  }
  if (metric.source === "prometheus") {
    const { server_address: address } = metric;
    if (address === undefined && context.hasPrometheus === false) {
      problems.add(`${field}.server_address`, "is required: ELASTI_SCALING_PROMETHEUS_URL is not set");
    }
    if (address !== undefined && !isHttpUrl(address)) {
      problems.add(`${field}.server_address`, `${shown(address)} is no address: expected http:// or https://`);
    }
  }
  if (metric.source === "resource" && metric.statistic === undefined) return { ...metric, statistic: "utilization" };
  return metric;
}

const listed = (names: readonly string[]): string =>
  names.length <= 30 ? names.join(", ") : `${names.slice(0, 30).join(", ")} and ${names.length - 30} more`;

function isHttpUrl(text: string): boolean {
  const url = URL.parse(text);
  return url !== null && (url.protocol === "http:" || url.protocol === "https:");
}
