import { canonicalJson } from "../domain/content.ts";
import type { PolicyDraft } from "../schema/policy.ts";

interface Part {
  readonly id: string;
  readonly name?: string;
}

/**
 * Gives parts of a changed policy the ids that they had: a part that names one keeps it, one that says the same as a former
 * part has that one's, whatever it is called. Their holds, marks and history go on.
 */
export function keepIds(draft: PolicyDraft, before: PolicyDraft): PolicyDraft {
  return {
    ...draft,
    scale_up_rules: kept(draft.scale_up_rules, before.scale_up_rules),
    scale_down_rules: kept(draft.scale_down_rules, before.scale_down_rules),
    schedules: kept(draft.schedules, before.schedules),
  };
}

function kept<T extends Part>(parts: readonly T[], former: readonly T[]): readonly T[] {
  const named = new Set(parts.map(({ id }) => id.toLowerCase()));
  /** Former parts that nobody names, by what they say, in their order. */
  const free = new Map<string, string[]>();
  for (const part of former) {
    if (named.has(part.id)) continue;
    const content = contentOf(part);
    free.set(content, [...(free.get(content) ?? []), part.id]);
  }
  const known = new Set(former.map(({ id }) => id));
  return parts.map((part) => {
    if (known.has(part.id.toLowerCase())) return part;
    const id = free.get(contentOf(part))?.shift();
    return id === undefined ? part : { ...part, id };
  });
}

/** What a part says, but for its id and name. */
const contentOf = ({ id: _id, name: _name, ...content }: Part): string => canonicalJson(content);
