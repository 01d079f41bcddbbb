/** `error`: requests fail, or will. `warning`: something is not as it should be, or Elasti cannot do its work. `info`: could not be looked at. */
export type Severity = "error" | "warning" | "info";

/** One thing that the doctor found. */
export interface Finding {
  readonly severity: Severity;
  /** One word; where Elasti itself has such a reason it is that one, a heading in docs/troubleshooting.md. */
  readonly reason: string;
  /** `Service shop/web` */
  readonly object: string;
  /** What it means. */
  readonly message: string;
  /** How to mend it. */
  readonly mend: string;
}

/** Exit code: 2 with an error, 1 with a warning, else 0. */
export function exitCodeOf(findings: readonly Finding[]): 0 | 1 | 2 {
  if (findings.some(({ severity }) => severity === "error")) return 2;
  return findings.some(({ severity }) => severity === "warning") ? 1 : 0;
}

const severities: readonly Severity[] = ["error", "warning", "info"];

/** The worst first, then by object. */
export function sorted(findings: readonly Finding[]): Finding[] {
  const rank = ({ severity }: Finding): number => severities.indexOf(severity);
  return findings.toSorted((a, b) => rank(a) - rank(b) || (a.object < b.object ? -1 : a.object > b.object ? 1 : 0));
}

/** For people. */
export function textOf(findings: readonly Finding[], looked: string): string {
  const lines = findings.flatMap(({ severity, reason, object, message, mend }) => [
    `${severity.toUpperCase().padEnd(7)} ${object}: ${reason}`,
    `        ${message}`,
    ...(mend === "" ? [] : [`        -> ${mend}`]),
  ]);
  const count = (wanted: Severity) => findings.filter(({ severity }) => severity === wanted).length;
  const sum = `${count("error")} errors, ${count("warning")} warnings, ${count("info")} not looked at; ${looked}`;
  return `${[...lines, sum].join("\n")}\n`;
}
