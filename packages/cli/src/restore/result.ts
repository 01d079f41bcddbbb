import { type Leftover, type LeftoverKind, words } from "./leftovers.ts";

/** One thing that was put back, or was not. */
export interface RestoredItem {
  readonly object: string;
  readonly kind: LeftoverKind;
  readonly outcome: "todo" | "done" | "left";
  readonly text: string;
}

export interface RestoreResult {
  readonly dryRun: boolean;
  readonly items: readonly RestoredItem[];
  /** Targets, by the `namespace/name` of their ElastiServices, that were asleep and have no ready pod. */
  readonly notReady: readonly { readonly elastiService: string; readonly reason: string }[];
  /** What else is worth knowing. */
  readonly notes: readonly string[];
  readonly exitCode: 0 | 1 | 2;
}

export interface Outcome {
  readonly before: readonly Leftover[];
  /** Undefined in a dry run. */
  readonly after: readonly Leftover[] | undefined;
  readonly notReady: RestoreResult["notReady"];
  readonly notes: readonly string[];
  /** The last failure known of it. */
  readonly failureOf: (item: Leftover) => string | undefined;
}

/** What came of a restore. */
export function resultOf({ before, after, notReady, notes, failureOf }: Outcome): RestoreResult {
  if (after === undefined) {
    const items = before.map(({ object, kind }) => ({
      object,
      kind,
      outcome: "todo" as const,
      text: words[kind].todo,
    }));
    return { dryRun: true, items, notReady: [], notes, exitCode: 0 };
  }
  const left = new Map(after.map((item) => [idOf(item), item]));
  const items = [...new Map([...before, ...after].map((item) => [idOf(item), item])).values()].map(
    (item): RestoredItem => {
      const { object, kind } = item;
      if (!left.has(idOf(item))) return { object, kind, outcome: "done", text: words[kind].done };
      const why = failureOf(item);
      return { object, kind, outcome: "left", text: `${words[kind].left}${why === undefined ? "" : `: ${why}`}` };
    },
  );
  // a target that could not be woken stands in nobody's way
  const kept = items.some(({ outcome, kind }) => outcome === "left" && kind !== "target");
  const asleep = notReady.length > 0 || items.some(({ outcome }) => outcome === "left");
  return { dryRun: false, items, notReady, notes, exitCode: kept ? 2 : asleep ? 1 : 0 };
}

const idOf = ({ kind, object }: Leftover): string => `${kind} ${object}`;

/** The result for people: a line per object, and one that sums up. */
export function textOf(result: RestoreResult): string {
  const { items, notReady, notes, dryRun } = result;
  const lines = items.map(({ object, text, outcome }) => `${outcome === "left" ? "LEFT  " : ""}${object}: ${text}`);
  for (const { elastiService, reason } of notReady)
    lines.push(`NOT READY  ElastiService ${elastiService}: its target was woken, and ${reason}`);
  lines.push(...notes);
  const count = (outcome: RestoredItem["outcome"]) => items.filter((item) => item.outcome === outcome).length;
  if (items.length === 0) lines.push("nothing of Elasti is to be put back");
  else if (dryRun) lines.push(`${count("todo")} to put back; nothing was changed`);
  else lines.push(`${count("done")} put back, ${count("left")} left, ${notReady.length} targets not ready`);
  return `${lines.join("\n")}\n`;
}
