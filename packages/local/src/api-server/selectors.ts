import type { ApiObject } from "./json.ts";
import { badRequest } from "./status-error.ts";

type Labels = Readonly<Record<string, string>>;
export type LabelSelector = (labels: Labels) => boolean;
export type FieldSelector = (fields: Labels) => boolean;

const everything = () => true;
const labelKey = /^([a-z0-9A-Z]([-a-z0-9A-Z.]*[a-z0-9A-Z])?\/)?[a-zA-Z0-9]([-\w.]*[a-zA-Z0-9])?$/;
const setRequirement = /^(\S+)\s+(in|notin)\s*\(([^)]*)\)$/;
const equalRequirement = /^([^=!<>\s]+)\s*(==|=|!=)\s*([^=!<>\s]*)$/;

function unparsable(selector: string): Error {
  return badRequest(`unable to parse requirement: found '${selector}', expected a label selector`);
}

/** Parts between commas that stand outside of parentheses. */
function splitRequirements(selector: string): string[] {
  return selector.split(/,(?![^(]*\))/).map((part) => part.trim());
}

function requirement(text: string): LabelSelector {
  const set = setRequirement.exec(text);
  if (set !== null && labelKey.test(set[1]!)) {
    const key = set[1]!;
    const values = new Set(set[3]!.split(",").map((value) => value.trim()));
    // as in Kubernetes, `notin` and `!=` also match objects without the label
    return set[2] === "in"
      ? (labels) => labels[key] !== undefined && values.has(labels[key])
      : (labels) => labels[key] === undefined || !values.has(labels[key]);
  }
  const equal = equalRequirement.exec(text);
  if (equal !== null && labelKey.test(equal[1]!)) {
    const [, key = "", operator, value = ""] = equal;
    return operator === "!=" ? (labels) => labels[key] !== value : (labels) => labels[key] === value;
  }
  if (text.startsWith("!") && labelKey.test(text.slice(1).trim())) {
    const key = text.slice(1).trim();
    return (labels) => labels[key] === undefined;
  }
  if (labelKey.test(text)) return (labels) => labels[text] !== undefined;
  throw unparsable(text);
}

/** Throws 400 for a selector that does not parse. */
export function parseLabelSelector(selector: string | null | undefined): LabelSelector {
  if (selector === null || selector === undefined || selector.trim() === "") return everything;
  const parts = splitRequirements(selector).map(requirement);
  return (labels) => parts.every((part) => part(labels));
}

/**
 * Field selectors know `=`, `==` and `!=`. `supported` are the fields that the kind can select by.
 * Throws 400 for others, as the real server does.
 */
export function parseFieldSelector(selector: string | null | undefined, supported: ReadonlySet<string>): FieldSelector {
  if (selector === null || selector === undefined || selector.trim() === "") return everything;
  const parts = selector.split(",").map((text): FieldSelector => {
    const match = /^([^=!]+)(==|=|!=)(.*)$/.exec(text);
    if (match === null) throw badRequest(`invalid selector: '${selector}'; can't understand '${text}'`);
    const [, field = "", operator, value = ""] = match;
    if (!supported.has(field)) throw badRequest(`field label not supported: ${field}`);
    return operator === "!="
      ? (fields) => (fields[field] ?? "") !== value
      : (fields) => (fields[field] ?? "") === value;
  });
  return (fields) => parts.every((part) => part(fields));
}

export function labelsOf(object: ApiObject): Labels {
  return object.metadata.labels ?? {};
}
