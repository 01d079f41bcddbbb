import { headers } from "@elasti/api";
import { ElastiError, errorCode, PROBLEM_CONTENT_TYPE, type Problem, problemOf } from "@elasti/core";
import type { FastifyError } from "fastify";
import { operatorErrors } from "../errors.ts";

/** An answer that is a problem document. */
export interface ProblemAnswer {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Problem;
}

/** Seconds to wait before a retry where an error does not say. */
const defaultRetrySeconds = 1;

/** The answer of any failure. Retryable ones say when to come back. */
export function problemAnswer(error: unknown, instance: string): ProblemAnswer {
  const body = problemOf(error, instance);
  const extra: Record<string, string> = { "content-type": PROBLEM_CONTENT_TYPE };
  if (body.reason !== undefined) extra[headers.reason] = body.reason;
  const retryable = error instanceof ElastiError ? error.retryable : true;
  if (retryable && body.status >= 429) extra["retry-after"] = String(retrySeconds(error));
  if (body.status === 401) extra["www-authenticate"] = "Bearer";
  if (body.status === 405) extra.allow = "POST";
  if (body.status === 426) {
    extra.upgrade = "elasti-session";
    extra.connection = "Upgrade";
  }
  return { status: body.status, headers: extra, body };
}

function retrySeconds(error: unknown): number {
  const wait = error instanceof ElastiError ? error.details.retryAfterMs : undefined;
  return typeof wait === "number" && wait > 0 ? Math.ceil(wait / 1_000) : defaultRetrySeconds;
}

/**
 * What a failed wake is to the resolver. A 4xx of the API server (the operator may not scale, the target is gone) must not
 * look like a fault of the notification: it becomes ELASTI_WAKE_FAILED, with the code and text of its cause.
 */
export function wakeFailure(error: unknown): ElastiError {
  if (error instanceof ElastiError) {
    const own = Object.hasOwn(operatorErrors, error.code);
    if (own || error.status >= 500) return error;
    return operatorErrors.ELASTI_WAKE_FAILED(`${error.code}: ${error.message}`, {
      cause: error,
      details: error.details,
    });
  }
  return operatorErrors.ELASTI_WAKE_FAILED("the wake failed inside the operator; its log says why", { cause: error });
}

/** The error of our table for what fastify refuses by itself. */
export function errorOfRefusal(error: FastifyError | ElastiError, maxBodyBytes: number): unknown {
  if (error instanceof ElastiError) return error;
  if (error.validation !== undefined) {
    const errors = error.validation.flatMap(fieldErrors);
    const detail = errors.map(({ field, message }) => `${field} ${message}`).join("; ");
    return operatorErrors.ELASTI_BAD_NOTIFICATION(detail, { details: { errors } });
  }
  const code = errorCode(error);
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") {
    return operatorErrors.ELASTI_NOTIFICATION_TOO_LARGE(`at most ${maxBodyBytes} bytes are read`);
  }
  if (error.statusCode !== undefined && error.statusCode >= 400 && error.statusCode < 500) {
    return operatorErrors.ELASTI_BAD_NOTIFICATION(error.message);
  }
  return error;
}

/** What each field of a notification must be, for people. */
const expected: Readonly<Record<string, string>> = {
  count: "a whole number, 0 or more",
  svc: "a Service name, 1 to 63 characters",
  namespace: "a namespace, 1 to 63 characters",
  epoch: "a whole number, 0 or more",
};

type Violation = NonNullable<FastifyError["validation"]>[number];

function fieldErrors(violation: Violation): { field: string; message: string }[] {
  const missing = violation.params.requiredProperties;
  if (Array.isArray(missing)) {
    return missing.map((name) => ({
      field: String(name),
      message: `is missing: expected ${expectedOf(String(name))}`,
    }));
  }
  const field = violation.instancePath.slice(1).replaceAll("/", ".");
  if (field === "") return [{ field: "body", message: "must be an object with count, svc and namespace" }];
  return [{ field, message: `${violation.message ?? "cannot be used"}: expected ${expectedOf(field)}` }];
}

const expectedOf = (field: string): string => expected[field] ?? "another value";
