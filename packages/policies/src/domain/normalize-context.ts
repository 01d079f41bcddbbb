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

/** A place to put what is wrong, and to ask whether a part is right so far. */
export class Problems {
  readonly #found: FieldProblem[];

  constructor(found: readonly FieldProblem[]) {
    this.#found = [...found];
  }

  get all(): readonly FieldProblem[] {
    return this.#found;
  }

  /** The first thing that is wrong with a field, or within it, is enough to know. */
  add(field: string, message: string): void {
    if (this.fine(field)) this.#found.push({ field, message });
  }

  /** Nothing is wrong with a field or with anything within it. */
  fine(field: string): boolean {
    return !this.#found.some((one) => isWithin(one.field, field));
  }

  /** The fields of an object with which nothing is wrong; none of what is no object. */
  fineFields<T extends object>(value: T, field: string): Partial<T> {
    if (!isRecord(value)) return {};
    const entries = Object.entries(value).filter(([key]) => this.fine(field === "" ? key : `${field}.${key}`));
    return Object.fromEntries(entries) as Partial<T>;
  }
}

const isWithin = (one: string, field: string): boolean =>
  one === field || one.startsWith(`${field}.`) || one.startsWith(`${field}[`);

export const isRecord = (value: unknown): value is Readonly<Record<string, unknown>> =>
  typeof value === "object" && value !== null && !Array.isArray(value);
