/** What one row of a package's error table says. */
export interface ErrorSpec {
  /** HTTP status that stands for this error when it reaches a client. */
  readonly status: number;
  /** Whether the same call may succeed later without anything being changed. */
  readonly retryable: boolean;
  /** Short title, the same for every instance (the `title` of a problem document). */
  readonly title: string;
}

/** A bundle that is loaded by another has a class of its own: both are errors of Elasti to `instanceof`. */
const brand: unique symbol = Symbol.for("elasti.error") as never;

/** An error of Elasti: `code` names it in logs, answers and docs; `status` and `retryable` come from the table of its package. */
export class ElastiError extends Error {
  override readonly name = "ElastiError";
  get [brand](): true {
    return true;
  }
  readonly code: string;
  readonly status: number;
  readonly retryable: boolean;
  readonly title: string;
  /** Further facts for the answer or the log, e.g. `{ field, expected }`. Never a secret. */
  readonly details: Readonly<Record<string, unknown>>;

  static override [Symbol.hasInstance](value: unknown): boolean {
    return typeof value === "object" && value !== null && brand in value;
  }

  constructor(
    code: string,
    spec: ErrorSpec,
    message: string,
    options: { cause?: unknown; details?: Record<string, unknown> } = {},
  ) {
    super(message, options.cause === undefined ? undefined : { cause: options.cause });
    this.code = code;
    this.status = spec.status;
    this.retryable = spec.retryable;
    this.title = spec.title;
    this.details = options.details ?? {};
  }
}

export type ErrorFactory = (
  message: string,
  options?: { cause?: unknown; details?: Record<string, unknown> },
) => ElastiError;

/**
 * Makes the error table of a package: `defineErrors({ ELASTI_GATE_FULL: { status: 503, ... } })` gives one factory per
 * code. The code is the heading under which docs/troubleshooting.md explains it.
 */
export function defineErrors<T extends Record<`ELASTI_${string}`, ErrorSpec>>(
  table: T,
): { readonly [K in keyof T]: ErrorFactory } {
  const factories: Record<string, ErrorFactory> = {};
  for (const [code, spec] of Object.entries<ErrorSpec>(table)) {
    factories[code] = (message, options) => new ElastiError(code, spec, message, options);
  }
  return factories as { readonly [K in keyof T]: ErrorFactory };
}

/** The text of anything thrown, for a log line or a condition message. */
export function errorText(error: unknown): string {
  if (!(error instanceof Error)) return String(error);
  // undici and net wrap several attempts in an AggregateError with an empty message
  if (error instanceof AggregateError && error.message === "") return error.errors.map(errorText).join("; ");
  return error.message;
}

/** The `code` of a system, undici or Elasti error, or undefined. */
export function errorCode(error: unknown): string | undefined {
  if (typeof error !== "object" || error === null || !("code" in error)) return undefined;
  return typeof error.code === "string" ? error.code : undefined;
}
