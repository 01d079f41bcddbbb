import type { Intent } from "./arbiter.ts";
import { scalingErrors } from "./errors.ts";

export const overrideKinds = ["pin", "pause", "at-least", "awake", "asleep"] as const;
export type OverrideKind = (typeof overrideKinds)[number];

/**
 * What a person wants of a target until a moment, kept as JSON in an annotation of the target object, so that it outlives any
 * database.
 * - `pin`: exactly `replicas`; 0: asleep, and requests are refused
 * - `at-least`: `replicas` or more
 * - `awake`: does not sleep
 * - `asleep`: sleeps whatever triggers, cooldown and windows say; requests wake it
 * - `pause`: nothing is done by itself; requests wake it
 */
export type Override = OverrideFields &
  (
    | { readonly kind: "pin" | "at-least"; readonly replicas: number }
    | { readonly kind: Exclude<OverrideKind, "pin" | "at-least"> }
  );

interface OverrideFields {
  /** RFC 3339. */
  readonly until: string;
  /** `until` as wall clock in ms. */
  readonly untilMs: number;
  /** Who wants it. */
  readonly by: string;
  readonly reason?: string;
  /** Names it where it was made by a program. */
  readonly id?: string;
}

export interface OverrideProblem {
  /** `replicas`; empty for the whole. */
  readonly field: string;
  readonly message: string;
}

/** Where an annotation stands at a moment. What is invalid or expired changes nothing. */
export type OverrideState =
  | { readonly state: "none" }
  | { readonly state: "invalid"; readonly problems: readonly OverrideProblem[] }
  | { readonly state: "active" | "expired"; readonly override: Override };

/** An override has to end. */
export const MAX_OVERRIDE_MS = 366 * 86_400_000;
export const MAX_OVERRIDE_REPLICAS = 10_000;
const MAX_RECORD = 4_096;
const MAX_TEXT = { by: 253, reason: 1_000, id: 253 } as const;

const fields: ReadonlySet<string> = new Set(["kind", "replicas", "until", "by", "reason", "id"]);
const rfc3339 = /^\d{4}-(\d\d)-(\d\d)T\d\d:\d\d:\d\d(\.\d+)?(Z|[+-]\d\d:\d\d)$/i;

/** What the record in an annotation comes to. Pure, and never throws. @param record undefined: there is none */
export function overrideAt(record: string | undefined, nowMs: number): OverrideState {
  if (record === undefined) return { state: "none" };
  const problems: OverrideProblem[] = [];
  const override = read(record, nowMs, problems);
  if (override === undefined || problems.length > 0) return { state: "invalid", problems };
  return { state: nowMs < override.untilMs ? "active" : "expired", override };
}

/**
 * A record that is to be in force from now on.
 * @throws ELASTI_OVERRIDE_INVALID with `details.errors: {field, message}[]`, all problems at once
 */
export function parseOverride(record: string, nowMs: number): Override {
  const found = overrideAt(record, nowMs);
  if (found.state === "active") return found.override;
  const over = { field: "until", message: "is in the past" };
  const problems = found.state === "invalid" ? found.problems : [over];
  throw scalingErrors.ELASTI_OVERRIDE_INVALID(problemsText(problems), { details: { errors: problems } });
}

/** As it is kept in the annotation. */
export function formatOverride({ untilMs: _, ...record }: Override): string {
  return JSON.stringify(record);
}

export const problemsText = (problems: readonly OverrideProblem[]): string =>
  problems.map(({ field, message }) => (field === "" ? message : `${field} ${message}`)).join("; ");

/** For people: `at-least 3 until 2026-12-24T18:00:00Z by ada: a launch`. */
export function overrideText(override: Override): string {
  const { kind, until, by, reason } = override;
  const what = "replicas" in override ? `${kind} ${override.replicas}` : kind;
  return `${what} until ${until} by ${by}${reason === undefined ? "" : `: ${reason}`}`;
}

/** What it says to the arbiter. */
export function overrideIntent(override: Override): Intent {
  const said = { actor: "override", by: `${override.id ?? override.by}@${override.until}` } as const;
  switch (override.kind) {
    case "pin":
    case "at-least":
      return { ...said, ask: override.kind, replicas: override.replicas };
    case "awake":
      return { ...said, ask: "at-least", replicas: 1 };
    default:
      return { ...said, ask: override.kind };
  }
}

type Fields = Readonly<Record<string, unknown>>;

function read(record: string, nowMs: number, problems: OverrideProblem[]): Override | undefined {
  const bad = (field: string, message: string): undefined => {
    problems.push({ field, message });
    return undefined;
  };
  if (record.length > MAX_RECORD) return bad("", `is longer than ${MAX_RECORD} characters`);
  const given = objectOf(record);
  if (given === undefined)
    return bad("", 'is not a JSON object, such as {"kind":"awake","until":"2026-12-24T18:00:00Z","by":"ada"}');
  for (const field of Object.keys(given)) {
    if (!fields.has(field)) bad(field.slice(0, 64), `is no field of an override: expected ${[...fields].join(", ")}`);
  }
  const kind = overrideKinds.find((one) => one === given.kind);
  if (kind === undefined) bad("kind", `${shown(given.kind)}: expected one of ${overrideKinds.join(", ")}`);
  const untilMs = momentOf(given.until, nowMs, bad);
  const text = (field: keyof typeof MAX_TEXT): string | undefined => {
    const value = given[field];
    if (value === undefined) return undefined;
    if (typeof value === "string" && value.trim() !== "" && value.length <= MAX_TEXT[field]) return value;
    return bad(field, `${shown(value)}: expected a text of 1 to ${MAX_TEXT[field]} characters`);
  };
  const [by, reason, id] = [text("by"), text("reason"), text("id")];
  if (given.by === undefined) bad("by", "is missing: who wants it");
  const replicas = kind === undefined ? undefined : replicasOf(kind, given.replicas, bad);
  if (kind === undefined || untilMs === undefined || by === undefined) return undefined;
  const common = {
    until: given.until as string,
    untilMs,
    by,
    ...(reason === undefined ? {} : { reason }),
    ...(id === undefined ? {} : { id }),
  };
  if (kind !== "pin" && kind !== "at-least") return { kind, ...common };
  return replicas === undefined ? undefined : { kind, replicas, ...common };
}

function objectOf(record: string): Fields | undefined {
  try {
    const value: unknown = JSON.parse(record);
    return typeof value === "object" && value !== null && !Array.isArray(value) ? (value as Fields) : undefined;
  } catch {
    return undefined;
  }
}

type Bad = (field: string, message: string) => undefined;

function momentOf(until: unknown, nowMs: number, bad: Bad): number | undefined {
  if (until === undefined) return bad("until", "is missing: an override has to end");
  const parts = typeof until === "string" ? rfc3339.exec(until) : null;
  const atMs = parts === null ? Number.NaN : Date.parse(until as string);
  // Date.parse takes the 31st of a month with 30 days for the 1st of the next
  const sameDay = parts !== null && Number(parts[2]) <= daysOf(until as string, Number(parts[1]));
  if (Number.isNaN(atMs) || !sameDay) {
    return bad("until", `${shown(until)}: expected a moment such as "2026-12-24T18:00:00Z"`);
  }
  if (atMs - nowMs > MAX_OVERRIDE_MS) return bad("until", `${shown(until)} is more than 366 days away`);
  return atMs;
}

const daysOf = (until: string, month: number): number =>
  new Date(Date.UTC(Number(until.slice(0, 4)), month, 0)).getUTCDate();

function replicasOf(kind: OverrideKind, replicas: unknown, bad: Bad): number | undefined {
  const counted = kind === "pin" || kind === "at-least";
  if (!counted) return replicas === undefined ? undefined : bad("replicas", `says nothing with kind ${kind}`);
  const least = kind === "pin" ? 0 : 1;
  const isCount =
    Number.isInteger(replicas) && (replicas as number) >= least && (replicas as number) <= MAX_OVERRIDE_REPLICAS;
  if (isCount) return replicas as number;
  return bad(
    "replicas",
    `${shown(replicas)}: kind ${kind} expects a whole number from ${least} to ${MAX_OVERRIDE_REPLICAS}`,
  );
}

/** A value as it was given, cut short. */
const shown = (value: unknown): string =>
  value === undefined ? "is missing" : (JSON.stringify(value) ?? "").slice(0, 80);
