import type { FieldProblem } from "../schema/problems.ts";

/** What a policy may refer to. */
export interface PolicyContext {
  /** Configured target types by name; `needsRef`: it says no object by itself, target_ref has to. */
  readonly targetTypes: Readonly<Record<string, { readonly needsRef: boolean }>>;
  /** Names of the catalogue of metrics. */
  readonly catalogue: readonly string[];
  /** Of metrics without a server_address. Left out: taken to be there. */
  readonly hasPrometheus?: boolean;
  /** ELASTI_SCALING_DEFAULT_COOLDOWN, in seconds. */
  readonly defaultCooldownSeconds?: number;
  newId?(): string;
}

/** Beyond so many nobody reads on. */
const MAX_PROBLEMS = 500;

/** A place to put what is wrong, and to ask whether a part is right so far. */
export class Problems {
  readonly #found: FieldProblem[] = [];
  /** Fields with which something is wrong, and all that they are within. */
  readonly #wrong = new Set<string>();

  constructor(found: readonly FieldProblem[]) {
    for (const one of found) this.#put(one);
  }

  get all(): readonly FieldProblem[] {
    return this.#found;
  }

  /** The first thing that is wrong with a field, or within it, is enough to know. */
  add(field: string, message: string): void {
    if (this.fine(field) && this.#found.length < MAX_PROBLEMS) this.#put({ field, message });
  }

  /** Nothing is wrong with a field or with anything within it. */
  fine(field: string): boolean {
    return !this.#wrong.has(field);
  }

  /** The fields of an object with which nothing is wrong; none of what is no object. */
  fineFields<T extends object>(value: T, field: string): Partial<T> {
    if (!isRecord(value)) return {};
    const entries = Object.entries(value).filter(([key]) => this.fine(field === "" ? key : `${field}.${key}`));
    return Object.fromEntries(entries) as Partial<T>;
  }

  #put(one: FieldProblem): void {
    this.#found.push(one);
    this.#wrong.add(one.field);
    for (const { index } of one.field.matchAll(/[.[]/g)) this.#wrong.add(one.field.slice(0, index));
  }
}

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
