import type { NewPolicy } from "@elasti/policies";
import { stringify } from "yaml";
import type { AnsweredPolicy } from "./client.ts";

/** A policy as a file says it: what only its server knows of it is left out, and what is null. Equal policies are equal text. */
export function policyYaml(policy: NewPolicy | AnsweredPolicy): string {
  return stringify(policyFile(policy), { lineWidth: 0, aliasDuplicateObjects: false });
}

export function policyFile(policy: NewPolicy | AnsweredPolicy): NewPolicy {
  const { id: _, version: __, created_at: ___, updated_at: ____, ...body }: Partial<AnsweredPolicy> = policy;
  const { scale_up_rules, scale_down_rules, schedules } = body;
  const lists = {
    ...(scale_up_rules === undefined ? {} : { scale_up_rules: scale_up_rules.map(withoutId) }),
    ...(scale_down_rules === undefined ? {} : { scale_down_rules: scale_down_rules.map(withoutId) }),
    ...(schedules === undefined ? {} : { schedules: schedules.map(withoutId) }),
  };
  return sorted({ ...body, ...lists }) as NewPolicy;
}

function withoutId<T extends { id?: string }>({ id: _, ...rest }: T): Omit<T, "id"> {
  return rest;
}

/** What people look for first comes first; the rest by name. */
const order = [
  "name",
  "description",
  "target_type",
  "target_ref",
  "enabled",
  "min_replicas",
  "max_replicas",
  "metric",
  "operator",
  "threshold",
  "when",
];
const rank = (key: string): number => (order.includes(key) ? order.indexOf(key) : order.length);

/** Databases and servers keep keys in other orders. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== "object" || value === null) return value;
  const entries = Object.entries(value).filter(([, inner]) => inner !== null && inner !== undefined);
  entries.sort(([a], [b]) => rank(a) - rank(b) || (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([key, inner]) => [key, sorted(inner)]));
}
