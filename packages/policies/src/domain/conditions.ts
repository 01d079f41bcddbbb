import { formatDuration } from "@elasti/core";
import type { ConditionResult, MetricSample, PolicyState } from "../contracts.ts";
import type { Condition, Leaf, Operator, PolicyRule } from "../schema/policy.ts";
import { contentHash } from "./content.ts";
import { metricKey, metricText } from "./metric-key.ts";

export type Holds = PolicyState["holds"];

/** A condition that was not seen for so many intervals has a gap, and its hold begins anew. */
export const GAP_INTERVALS = 3;

/** What an evaluation of conditions knows, and the holds that it leaves. */
export interface ConditionContext {
  readonly nowMs: number;
  /** Between two evaluations. */
  readonly intervalMs: number;
  /** By `metricKey`. */
  readonly samples: ReadonlyMap<string, MetricSample>;
  readonly holds: Holds;
  /** Filled in: what is met now. */
  readonly kept: Record<string, { readonly since: string; readonly seen: string }>;
}

/** Yes, no, or not known: what is not known is neither. */
type Truth = boolean | undefined;

interface Facts {
  readonly key: string;
  readonly text: string;
}
/** Rules come out of a cache and are evaluated twice a minute; hashing them each time would be most of the work. */
const leafFacts = new WeakMap<Leaf, Facts>();
const groupFacts = new WeakMap<object, Facts>();

const signs: Readonly<Record<Operator, string>> = { gt: ">", lt: "<", gte: ">=", lte: "<=", eq: "==" };

/**
 * Names what a condition compares, so that a change of the policy around it keeps its hold: the time for which it must hold
 * is no part of it, nor is its place, nor the order within a group.
 */
export function conditionKey(condition: Condition): string {
  return factsOf(condition).key;
}

export function conditionText(condition: Condition): string {
  return factsOf(condition).text;
}

function factsOf(condition: Condition): Facts {
  if ("metric" in condition) {
    let facts = leafFacts.get(condition);
    if (facts === undefined) {
      const { metric, operator, threshold } = condition;
      facts = {
        key: contentHash(`${metricKey(metric)} ${operator} ${threshold}`),
        text: `${metricText(metric)} ${signs[operator]} ${threshold}${forText(condition.duration_seconds)}`,
      };
      leafFacts.set(condition, facts);
    }
    return facts;
  }
  let facts = groupFacts.get(condition);
  if (facts === undefined) {
    const [word, parts] = "any" in condition ? ["any", condition.any] : ["all", condition.all];
    const keys = parts.map((part) => `${conditionKey(part)}/${"metric" in part ? (part.duration_seconds ?? 0) : 0}`);
    facts = {
      key: contentHash(`${word} ${keys.sort().join(" ")}`),
      text: `${word} of (${parts.map(conditionText).join("; ")})`,
    };
    groupFacts.set(condition, facts);
  }
  return facts;
}

const forText = (seconds = 0): string => (seconds > 0 ? ` for ${formatDuration(seconds * 1_000)}` : "");

/** Whether a rule's condition is met and has held as long as it must; `unknown` is set where that is not known. */
export function evaluateRule(rule: PolicyRule, context: ConditionContext): ConditionResult {
  const { result, truth } = evaluate(rule.when, context);
  // a time of the rule stands on top of those of its parts; a single comparison shares its hold with equal ones
  if (rule.duration_seconds === 0 && !("metric" in rule.when)) return { ...result, held: truth === true };
  const ownTime = "metric" in rule.when ? (rule.when.duration_seconds ?? 0) : 0;
  const met = ownTime > 0 ? truth : "metric" in rule.when ? truthOf(result) : truth;
  const key = ownTime > 0 ? `${result.key}+${ownTime}` : result.key;
  return {
    ...hold({ ...result, key }, met, rule.duration_seconds, context),
    text: result.text + forText(rule.duration_seconds),
  };
}

/** Three-valued: of a result that stands for its comparison alone. */
const truthOf = (result: ConditionResult): Truth => (result.unknown === undefined ? result.met : undefined);

function evaluate(
  condition: Condition,
  context: ConditionContext,
): { readonly result: ConditionResult; readonly truth: Truth } {
  if ("metric" in condition) {
    const compared = compare(condition, context);
    const result = hold(compared, truthOf(compared), condition.duration_seconds ?? 0, context);
    return { result, truth: result.unknown === undefined ? result.held : undefined };
  }
  const isAny = "any" in condition;
  const parts = (isAny ? condition.any : condition.all).map((part) => evaluate(part, context));
  const truths = parts.map((part) => part.truth);
  let truth: Truth;
  if (truths.includes(isAny)) truth = isAny;
  else truth = truths.includes(undefined) ? undefined : !isAny;
  const unknown = truth === undefined ? parts.find((part) => part.truth === undefined)?.result.unknown : undefined;
  const { key, text } = factsOf(condition);
  const result: ConditionResult = {
    key,
    text,
    met: truth === true,
    held: truth === true,
    ...(unknown === undefined ? {} : { unknown }),
    parts: parts.map((part) => part.result),
  };
  return { result, truth };
}

function compare(leaf: Leaf, context: ConditionContext): ConditionResult {
  const { key, text } = factsOf(leaf);
  const sample = context.samples.get(metricKey(leaf.metric));
  if (sample === undefined || sample.kind === "unknown" || !Number.isFinite(sample.value)) {
    const unknown = sample === undefined ? "was not read" : unknownText(sample);
    return { key, text, value: null, unknown: `${metricText(leaf.metric)}: ${unknown}`, met: false, held: false };
  }
  const met = compares(sample.value, leaf.operator, leaf.threshold);
  return { key, text, value: sample.value, met, held: false };
}

/** The reason is a heading of docs/troubleshooting.md. */
const unknownText = (sample: MetricSample): string =>
  sample.kind === "unknown" ? `${sample.reason}: ${sample.message}` : `is ${sample.value}`;

function compares(value: number, operator: Operator, threshold: number): boolean {
  switch (operator) {
    case "gt":
      return value > threshold;
    case "lt":
      return value < threshold;
    case "gte":
      return value >= threshold;
    case "lte":
      return value <= threshold;
    case "eq":
      return value === threshold;
  }
}

/**
 * Goes on with a hold, or begins it anew: after a gap in which nobody looked, and after data that was unknown, nothing is
 * known of how it was meanwhile.
 */
function hold(result: ConditionResult, truth: Truth, seconds: number, context: ConditionContext): ConditionResult {
  const { nowMs } = context;
  if (truth !== true) return { ...result, held: false };
  const now = new Date(nowMs).toISOString();
  const former = context.kept[result.key] ?? context.holds[result.key];
  let since = now;
  if (former !== undefined && Date.parse(former.since) <= nowMs) {
    const unseenMs = Math.abs(nowMs - Date.parse(former.seen));
    if (unseenMs <= GAP_INTERVALS * context.intervalMs) since = former.since;
  }
  context.kept[result.key] = { since, seen: now };
  const heldMs = nowMs - Date.parse(since);
  return { ...result, held: heldMs >= seconds * 1_000, held_seconds: Math.floor(heldMs / 1_000) };
}
