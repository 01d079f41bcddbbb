import type { ConditionResult, Decision } from "../contracts.ts";
import type { Policy, PolicyRule, ScaleBy } from "../schema/policy.ts";
import { type ConditionContext, evaluateRule } from "./conditions.ts";

/** What rules ask for. */
export interface RuleAsk {
  readonly rule: PolicyRule;
  readonly direction: "up" | "down";
  /** Before any limit. */
  readonly wants: number;
  /** For people, with values. */
  readonly text: string;
}
export interface Asks {
  readonly rules: Decision["rules"];
  /** The one that wins, and what the others wanted. */
  readonly ask?: RuleAsk;
  readonly conflict?: string;
  /** Conditions of rules that are not known, for people: first those that could have asked for more. */
  readonly unknown: readonly string[];
  /** A rule that could have asked for more is not known: then nothing is taken away. */
  readonly unknownUp: boolean;
}

/** Evaluates every rule. The most capacity wins, whatever the order of the rules. */
export function askRules(
  policy: Policy,
  bases: { readonly up: number; readonly down: number },
  context: ConditionContext,
): Asks {
  const rules: Decision["rules"][number][] = [];
  const asks: RuleAsk[] = [];
  const unknownOf = { up: [] as string[], down: [] as string[] };
  for (const direction of ["up", "down"] as const) {
    const base = bases[direction];
    for (const rule of direction === "up" ? policy.scale_up_rules : policy.scale_down_rules) {
      const condition = evaluateRule(rule, context);
      const fired = condition.held;
      const wants = fired ? stepped(base, rule.scale_by) : null;
      rules.push({ rule: rule.id, direction, fired, wants, condition });
      if (wants !== null) asks.push({ rule, direction, wants, text: `${ruleName(rule)} (${valued(condition)})` });
      else if (condition.unknown !== undefined) unknownOf[direction].push(`${ruleName(rule)}: ${condition.unknown}`);
    }
  }
  asks.sort(compareAsks);
  const [ask, ...others] = asks;
  const conflict = others
    .filter((other) => ask !== undefined && other.wants !== ask.wants)
    .map((other) => `${ruleName(other.rule)} wants ${other.wants}`);
  const unknown = [...unknownOf.up.sort(), ...unknownOf.down.sort()];
  return {
    rules,
    ...(ask === undefined ? {} : { ask }),
    ...(conflict.length === 0 ? {} : { conflict: `${[...new Set(conflict)].join(", ")}: the most capacity wins` }),
    unknown,
    unknownUp: unknownOf.up.length > 0,
  };
}

/** Replicas after a step; a share is rounded away from what is there, so that it always moves. */
export function stepped(from: number, scaleBy: ScaleBy): number {
  if (typeof scaleBy === "number") return Math.max(0, from + scaleBy);
  const percent = Number.parseInt(scaleBy, 10);
  const step = Math.max(1, Math.ceil((from * Math.abs(percent)) / 100));
  return Math.max(0, from + (percent < 0 ? -step : step));
}

/** A total order in which the place of a rule has no part; ups before downs, as a rule that fires up means that more is needed. */
function compareAsks(a: RuleAsk, b: RuleAsk): number {
  if (a.direction !== b.direction) return a.direction === "up" ? -1 : 1;
  if (a.wants !== b.wants) return b.wants - a.wants;
  const [one, other] = [orderOf(a), orderOf(b)];
  return one < other ? -1 : one > other ? 1 : 0;
}

const orderOf = ({ rule, text }: RuleAsk): string => `${text}\n${rule.id}`;

export const ruleName = (rule: PolicyRule): string => (rule.name === undefined ? "a rule" : `"${rule.name}"`);

/** As people write it: 60.1313774, where floating point has 60.131377400000005. */
const shown = (value: number | null | undefined): string =>
  typeof value === "number" ? String(Number(value.toPrecision(12))) : "unknown";

/** A condition with what was measured: `queue > 100 for 5m, is 250`. */
function valued(condition: ConditionResult): string {
  if (condition.parts === undefined) return `${condition.text}, is ${shown(condition.value)}`;
  const parts = condition.parts.filter((part) => part.held).map(valued);
  return parts.length > 3 ? `${parts.slice(0, 3).join("; ")} and ${parts.length - 3} more` : parts.join("; ");
}
