import type { PolicyTarget } from "../schema/policy.ts";

/** Queries of the catalogue: `${namespace}` and `${name}` stand for those of the target. */

const placeholder = /\$\{([^}]*)\}/g;
const names = ["namespace", "name"] as const;
type Name = (typeof names)[number];

interface Part {
  /** Text before the placeholder. */
  readonly before: string;
  readonly name: string;
  /** The quote that it stands in; undefined outside of any. */
  readonly quote: string | undefined;
  /** Whether that quote is a regular expression of PromQL. */
  readonly regex: boolean;
}

/** A text at its placeholders, and what comes after the last one. */
function partsOf(template: string, escapes: boolean): { parts: Part[]; rest: string } {
  const parts: Part[] = [];
  let from = 0;
  let scanned = 0;
  let quote: string | undefined;
  let regex = false;
  for (const match of template.matchAll(placeholder)) {
    for (; scanned < match.index; scanned++) {
      const character = template[scanned]!;
      if (quote === undefined) {
        if (!`"'\``.includes(character)) continue;
        quote = character;
        regex = /[=!]~\s*$/.test(template.slice(0, scanned));
      } else if (escapes && character === "\\" && quote !== "`") scanned += 1;
      else if (character === quote) quote = undefined;
    }
    scanned = match.index + match[0].length;
    parts.push({ before: template.slice(from, match.index), name: match[1]!, quote, regex });
    from = scanned;
  }
  return { parts, rest: template.slice(from) };
}

const isName = (name: string): name is Name => (names as readonly string[]).includes(name);
const unknownName = (name: string): string => `knows no \${${name}}: expected \${namespace} or \${name}`;

/** What is wrong with a template of PromQL. */
export function promqlTemplateProblems(template: string): readonly string[] {
  return partsOf(template, true).parts.flatMap(({ name, quote }) => {
    if (!isName(name)) return [unknownName(name)];
    return quote === '"' || quote === "'" ? [] : [`has \${${name}} outside of a quoted text: write "\${${name}}"`];
  });
}

/** Puts a target into a template of PromQL. Inside of =~ and !~ it stands for itself, not for a pattern. */
export function fillPromql(template: string, target: PolicyTarget): string {
  const { parts, rest } = partsOf(template, true);
  const filled = parts.map(({ before, name, regex }) => {
    const value = isName(name) ? target[name] : "";
    return before + escaped(regex ? value.replace(/[\\^$.*+?()[\]{}|]/g, "\\$&") : value);
  });
  return filled.join("") + rest;
}

const escaped = (value: string): string =>
  value.replace(/[\\"'\n]/g, (character) => (character === "\n" ? "\\n" : `\\${character}`));

/** What is wrong with a template of SQL. */
export function sqlTemplateProblems(template: string): readonly string[] {
  return partsOf(template, false).parts.flatMap(({ name, quote }) => {
    if (!isName(name)) return [unknownName(name)];
    return quote === undefined ? [] : [`has \${${name}} in quotes: it is passed as a value, write it without`];
  });
}

/** A template of SQL as a query with parameters: nothing of the target becomes part of its text. */
export function fillSql(template: string, target: PolicyTarget): { query: string; parameters: readonly string[] } {
  const parameters: string[] = [];
  const { parts, rest } = partsOf(template, false);
  const filled = parts.map(({ before, name }) => {
    const value = isName(name) ? target[name] : "";
    const known = parameters.indexOf(value);
    if (known < 0) parameters.push(value);
    return `${before}$${known < 0 ? parameters.length : known + 1}`;
  });
  return { query: filled.join("") + rest, parameters };
}
