import { formatDuration, parseDuration } from "@elasti/core";
import type { Condition, Leaf, Metric, PolicyRule, Rule } from "../schema/policy.ts";
import { shown } from "../schema/problems.ts";
import { isRecord, type PolicyContext, type Problems } from "./normalize-context.ts";
import { sqlProblem } from "./one-select.ts";

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
  const given = problems.fineFields(rule, field);
  if (!isRecord(rule)) return undefined;
  if (given.scale_by !== undefined) checkScaleBy(given.scale_by, `${field}.scale_by`, direction, problems);
  const duration = durationOf(given, field, problems);
  const when =
    rule.when === undefined ? shortForm(given, field, context, problems) : longForm(rule, field, context, problems);
  if (when === undefined || duration === undefined || !problems.fine(field)) return undefined;
  const name = rule.name === undefined ? {} : { name: rule.name };
  const kept = { id: rule.id ?? "", ...name, scale_by: rule.scale_by };
  if (!("metric" in when) || when.duration_seconds === undefined) return { ...kept, when, duration_seconds: duration };
  // of a single comparison there is one time to hold
  const { duration_seconds: own, ...leaf } = when;
  return { ...kept, when: leaf, duration_seconds: duration + own };
}

const comparison = ["metric", "operator", "threshold"] as const;

function shortForm(
  given: Partial<Rule>,
  field: string,
  context: PolicyContext,
  problems: Problems,
): Condition | undefined {
  for (const key of comparison) {
    if (given[key] === undefined) problems.add(`${field}.${key}`, "is required where there is no when");
  }
  const { metric, operator, threshold } = given;
  const normal = metric === undefined ? undefined : normalizeMetric(metric, `${field}.metric`, context, problems);
  if (normal === undefined || operator === undefined || threshold === undefined) return undefined;
  return { metric: normal, operator, threshold };
}

function longForm(rule: Rule, field: string, context: PolicyContext, problems: Problems): Condition | undefined {
  for (const key of comparison) {
    const message = "cannot stand beside when: expected either when, or metric, operator and threshold";
    if (rule[key] !== undefined) problems.add(`${field}.${key}`, message);
  }
  const count = { comparisons: 0 };
  const when = normalizeCondition(rule.when, `${field}.when`, 1, count, context, problems);
  if (count.comparisons > MAX_COMPARISONS) {
    problems.add(`${field}.when`, `has ${count.comparisons} comparisons: expected at most ${MAX_COMPARISONS}`);
  }
  return when;
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

/** `condition` is looked at as it came: what the schema refuses of it may be anything. */
function normalizeCondition(
  condition: unknown,
  field: string,
  depth: number,
  count: { comparisons: number },
  context: PolicyContext,
  problems: Problems,
): Condition | undefined {
  if (!isRecord(condition)) return undefined;
  const key = Array.isArray(condition.any) ? "any" : "all";
  const given = condition[key];
  if (!Array.isArray(given)) {
    count.comparisons += 1;
    return normalizeLeaf(condition as unknown as Leaf, field, context, problems);
  }
  if (depth > MAX_CONDITION_DEPTH) {
    problems.add(field, `is nested too deeply: expected at most ${MAX_CONDITION_DEPTH} groups within one another`);
    return undefined;
  }
  const parts = given
    .map((part, index) => normalizeCondition(part, `${field}.${key}[${index}]`, depth + 1, count, context, problems))
    .filter((part) => part !== undefined);
  return key === "any" ? { any: parts } : { all: parts };
}

function normalizeLeaf(leaf: Leaf, field: string, context: PolicyContext, problems: Problems): Condition | undefined {
  const given = problems.fineFields(leaf, field);
  const seconds = durationOf(given, field, problems);
  const { operator, threshold } = given;
  const metric =
    given.metric === undefined ? undefined : normalizeMetric(given.metric, `${field}.metric`, context, problems);
  if (metric === undefined || operator === undefined || threshold === undefined || seconds === undefined)
    return undefined;
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
  if (metric.source === "sql") {
    const problem = sqlProblem(metric.query);
    if (problem !== undefined) problems.add(`${field}.query`, `${shown(metric.query)} cannot be used: it ${problem}`);
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
