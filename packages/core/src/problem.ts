import { ElastiError, errorText } from "./errors.ts";

/** A problem document (RFC 9457), the body of every failure that Elasti answers itself. */
export interface Problem {
  readonly type: string;
  readonly title: string;
  readonly status: number;
  readonly detail?: string;
  readonly instance?: string;
  /** Machine-readable reason; the same as the `elasti-reason` header and a heading in docs/troubleshooting.md. */
  readonly reason?: string;
  /** One entry per wrong field. */
  readonly errors?: readonly { readonly field: string; readonly message: string }[];
}

export const PROBLEM_CONTENT_TYPE = "application/problem+json";

/** The problem document of an error. An error that is not ours becomes a 500 without its text, which may hold secrets. */
export function problemOf(error: unknown, instance?: string): Problem {
  if (error instanceof ElastiError) {
    const { errors } = error.details;
    return {
      type: `urn:elasti:error:${error.code}`,
      title: error.title,
      status: error.status,
      detail: errorText(error),
      reason: error.code,
      ...(instance === undefined ? {} : { instance }),
      ...(Array.isArray(errors) ? { errors } : {}),
    };
  }
  return {
    type: "about:blank",
    title: "Internal Server Error",
    status: 500,
    ...(instance === undefined ? {} : { instance }),
  };
}
