import { randomUUID } from "node:crypto";
import {
  MAX_RULES,
  MAX_SCHEDULES,
  type NewPolicy,
  NewPolicySchema,
  type Policy,
  type PolicyChange,
  PolicyChangeSchema,
  type PolicyDraft,
} from "../schema/policy.ts";
import { type FieldProblem, schemaProblems, shown } from "../schema/problems.ts";
import { policyBody } from "./body.ts";
import { affordableReplicas } from "./cost.ts";
import { isRecord, type PolicyContext, Problems } from "./normalize-context.ts";
import { normalizeRule } from "./normalize-rule.ts";
import { normalizeSchedule } from "./normalize-schedule.ts";
import { keepIds } from "./rule-ids.ts";

export type Normalized =
  | { readonly draft: PolicyDraft; readonly errors?: undefined }
  | { readonly errors: readonly FieldProblem[]; readonly draft?: undefined };

/**
 * Makes a policy of a body: checks all of it, and fills in every default. Every wrong field is reported at once.
 * @param former the policy that this replaces: its id is kept, and those of rules and schedules that stay the same
 */
export function normalizePolicy(input: unknown, context: PolicyContext, former?: Policy): Normalized {
  const problems = new Problems(schemaProblems(NewPolicySchema, input));
  if (!isRecord(input)) return { errors: problems.all };
  // of what the schema refuses nothing below looks at more than the parts that are fine
  const body = input as unknown as NewPolicy;
  const given = problems.fineFields(body, "");

  const scaleToZero = given.scale_to_zero ?? false;
  const min = given.min_replicas ?? 1;
  const max = given.max_replicas ?? 10;
  checkBounds(body, min, max, problems);
  checkCost(body, min, problems);
  checkTarget(body, context, problems);

  const newId = context.newId ?? randomUUID;
  const rules = (key: "scale_up_rules" | "scale_down_rules") => {
    const direction = key === "scale_up_rules" ? "up" : "down";
    const made = list(body[key]).map((rule, index) =>
      normalizeRule(rule, `${key}[${index}]`, direction, context, problems),
    );
    return keepIds(
      made.filter((rule) => rule !== undefined),
      former?.[key] ?? [],
      newId,
    );
  };
  const limits = { min, max, scaleToZero, costLimit: costLimit(body, problems) };
  const schedules = list(body.schedules).map((schedule, index) =>
    normalizeSchedule(schedule, `schedules[${index}]`, limits, problems),
  );
  const upRules = rules("scale_up_rules");
  const downRules = rules("scale_down_rules");
  if (problems.all.length > 0) return { errors: problems.all };
  return {
    draft: {
      id: former?.id ?? newId(),
      name: body.name,
      description: body.description ?? "",
      target_type: body.target_type,
      target_id: body.target_id ?? null,
      target_ref: body.target_ref ?? null,
      min_replicas: min,
      max_replicas: max,
      cooldown_seconds: body.cooldown_seconds ?? context.defaultCooldownSeconds ?? 300,
      max_hourly_cost: body.max_hourly_cost ?? null,
      price_per_replica_hour: body.price_per_replica_hour ?? null,
      scale_to_zero: scaleToZero,
      enabled: body.enabled ?? true,
      shadow: body.shadow ?? false,
      behavior: body.behavior ?? {},
      scale_up_rules: upRules,
      scale_down_rules: downRules,
      schedules: keepIds(
        schedules.filter((one) => one !== undefined),
        former?.schedules ?? [],
        newId,
      ),
    },
  };
}

/**
 * A policy with a change made to it, to be normalized with `policy` as its former: what is given replaces what was, arrays as a
 * whole, null where null is allowed. What is wrong with the change by itself shows there too, under the same fields.
 */
export function applyChange(policy: Policy, change: PolicyChange): NewPolicy {
  const given = Object.fromEntries(Object.entries(change).filter(([, value]) => value !== undefined));
  return { ...policyBody(policy), ...given };
}

/** What is wrong with a change that is no object at all; its fields are checked once it is applied. */
export function changeProblems(change: unknown): FieldProblem[] {
  return isRecord(change) ? [] : schemaProblems(PolicyChangeSchema, change);
}

/** The entries that are objects; of too many none is looked at, and the schema has said so. */
const list = <T>(value: readonly T[] | undefined): readonly T[] =>
  Array.isArray(value) && value.length <= Math.max(MAX_RULES, MAX_SCHEDULES) ? value : [];

function checkBounds(body: NewPolicy, min: number, max: number, problems: Problems): void {
  if (!problems.fine("min_replicas") || !problems.fine("max_replicas") || min <= max) return;
  const says = (key: "min_replicas" | "max_replicas", value: number) =>
    `${key} (${value}${body[key] === undefined ? ", the default" : ""})`;
  if (body.min_replicas === undefined) {
    problems.add("max_replicas", `${max} is below ${says("min_replicas", min)}`);
  } else {
    problems.add("min_replicas", `${min} is above ${says("max_replicas", max)}: expected at most that`);
  }
}

/** The most replicas that the money buys; undefined without a ceiling. */
function costLimit(body: NewPolicy, problems: Problems): number | undefined {
  if (!problems.fine("max_hourly_cost") || !problems.fine("price_per_replica_hour")) return undefined;
  return affordableReplicas(body.max_hourly_cost ?? null, body.price_per_replica_hour ?? null);
}

function checkCost(body: NewPolicy, min: number, problems: Problems): void {
  if (!problems.fine("max_hourly_cost") || !problems.fine("price_per_replica_hour")) return;
  const { max_hourly_cost: ceiling, price_per_replica_hour: price } = body;
  if (ceiling === undefined || ceiling === null) return;
  if (price === undefined || price === null) {
    problems.add("price_per_replica_hour", "is required beside max_hourly_cost: without a price no cost is known");
  } else if (ceiling < price) {
    const message = `${ceiling} does not pay for one replica (price_per_replica_hour ${price})`;
    problems.add("max_hourly_cost", `${message}: expected at least that`);
  } else if (problems.fine("min_replicas") && min > (affordableReplicas(ceiling, price) ?? min)) {
    problems.add("max_hourly_cost", `${ceiling} does not pay for min_replicas (${min} at ${price} an hour each)`);
  }
}

function checkTarget(body: NewPolicy, context: PolicyContext, problems: Problems): void {
  if (!problems.fine("target_type")) return;
  const type = Object.hasOwn(context.targetTypes, body.target_type) ? context.targetTypes[body.target_type] : undefined;
  if (type === undefined) {
    const known = Object.keys(context.targetTypes).sort().join(", ");
    problems.add("target_type", `${shown(body.target_type)} is no configured target type: expected one of ${known}`);
    return;
  }
  if (type.needsRef && problems.fine("target_ref") && (body.target_ref ?? null) === null) {
    problems.add("target_ref", `is required for target type ${body.target_type}: expected namespace and name`);
  }
}
