import type { Setting } from "@elasti/core";

/** The settings of one program, by any key. */
export type SettingsTable = Readonly<Record<string, Setting<unknown>>>;

/** One program and its settings. */
export interface ProgramSettings {
  readonly title: string;
  /** A sentence for the page. */
  readonly about: string;
  /** Where the table stands in the source. */
  readonly source: string;
  readonly settings: SettingsTable;
}

/** The page of all settings: one section per program, one row per environment name. */
export function configurationPage(programs: readonly ProgramSettings[]): string {
  return `# Settings

Both programs are configured by environment variables alone. They are read once, at start; everything that is wrong is
reported together, each with its name and what was expected, and the process ends with exit code 1. A variable that is
empty counts as not set. Durations are written as \`500ms\`, \`30s\`, \`5m\` or \`1h30m\`. What concerns one service stands in its
[ElastiService](elastiservice.md). Made by \`npm run generate\` from ${programs.map(({ source }) => source).join(" and ")}.

${programs.map(section).join("\n\n")}
`;
}

function section({ title, about, settings }: ProgramSettings): string {
  const rows = Object.values(settings)
    .toSorted((a, b) => rank(a) - rank(b) || (a.env < b.env ? -1 : 1))
    .map(row);
  return [`## ${title}`, "", about, "", "| name | default | value | meaning |", "|---|---|---|---|", ...rows].join(
    "\n",
  );
}

/** Those that must be given come first. */
const rank = ({ fallback }: Setting<unknown>): number => (fallback === undefined ? 0 : 1);

function row({ env, fallback, expected, description, secret }: Setting<unknown>): string {
  const shown = fallback === undefined ? "required" : fallback === "" ? "empty" : `\`${fallback}\``;
  const kept = secret === true ? " A secret: it is never printed." : "";
  return `| \`${env}\` | ${shown} | ${cell(expected)} | ${cell(description)}${kept} |`;
}

/** Text that stays within its cell. */
const cell = (text: string): string => text.replaceAll("|", "\\|").replaceAll("<", "&lt;");
