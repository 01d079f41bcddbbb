import { defineErrors } from "./errors.ts";

const errors = defineErrors({
  ELASTI_BAD_DURATION: { status: 400, retryable: false, title: "Not a duration" },
});

const unitMs: Readonly<Record<string, number>> = { ms: 1, s: 1_000, m: 60_000, h: 3_600_000, d: 86_400_000 };
const part = /(\d+(?:\.\d+)?)(ms|s|m|h|d)/y;

/** What `parseDuration` accepts, as JSON Schema says it. */
export const durationPattern = "^(0|([0-9]+(\\.[0-9]+)?(ms|s|m|h|d))+)$";

/** Milliseconds of a duration such as `30s`, `1h30m`, `250ms` or `0`. Throws ELASTI_BAD_DURATION for anything else. */
export function parseDuration(text: string): number {
  if (text === "0") return 0;
  let total = 0;
  part.lastIndex = 0;
  while (part.lastIndex < text.length || text === "") {
    const match = part.exec(text);
    if (match === null) {
      throw errors.ELASTI_BAD_DURATION(
        `"${text}" is not a duration: expected a number with a unit, such as 30s, 5m or 1h30m`,
      );
    }
    total += Number(match[1]) * unitMs[match[2]!]!;
  }
  return total;
}

/** A duration for people: `250ms`, `1.2s`, `5m`, `1h30m`. */
export function formatDuration(ms: number): string {
  if (ms < 1_000) return `${Math.round(ms)}ms`;
  if (ms < 60_000) return `${Number((ms / 1_000).toFixed(1))}s`;
  const parts: string[] = [];
  let rest = Math.round(ms / 1_000);
  for (const [unit, seconds] of [
    ["d", 86_400],
    ["h", 3_600],
    ["m", 60],
    ["s", 1],
  ] as const) {
    const count = Math.floor(rest / seconds);
    if (count > 0) parts.push(`${count}${unit}`);
    rest -= count * seconds;
  }
  return parts.join("");
}
