import { headers } from "@elasti/api";
import { ElastiError, errorCode, errorText, PROBLEM_CONTENT_TYPE, type Problem, problemOf } from "@elasti/core";
import { policyErrors } from "../errors.ts";
import { MAX_BODY_BYTES } from "./json-body.ts";

/** The answer to a request that failed. */
export interface ProblemReply {
  readonly status: number;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Problem;
}

/** @param instance path of the request */
export function problemReply(error: unknown, instance: string): ProblemReply {
  const body = problemOf(error, instance);
  const extra: Record<string, string> = { "content-type": PROBLEM_CONTENT_TYPE };
  if (body.reason !== undefined) extra[headers.reason] = body.reason;
  if (body.status === 401) extra["www-authenticate"] = "Bearer";
  if (!(error instanceof ElastiError)) return { status: body.status, headers: extra, body };
  const { allow, retryAfterMs } = error.details;
  if (typeof allow === "string") extra.allow = allow;
  if (error.retryable && body.status >= 429) {
    extra["retry-after"] = String(typeof retryAfterMs === "number" ? Math.max(1, Math.ceil(retryAfterMs / 1_000)) : 1);
  }
  return { status: body.status, headers: extra, body };
}

/** The error of our table for what fastify or the cluster refuses; anything else as it is. */
export function errorOfRefusal(error: unknown): unknown {
  if (error instanceof ElastiError) return ofCluster(error);
  const code = errorCode(error);
  if (code === "FST_ERR_CTP_BODY_TOO_LARGE") {
    return policyErrors.ELASTI_POLICY_TOO_LARGE(`at most ${MAX_BODY_BYTES} bytes are read`);
  }
  if (code === "FST_ERR_CTP_INVALID_MEDIA_TYPE") {
    return policyErrors.ELASTI_POLICY_UNSUPPORTED_TYPE("expected content-type: application/json");
  }
  const status = statusOf(error);
  if (status !== undefined && status >= 400 && status < 500) {
    return policyErrors.ELASTI_POLICY_REQUEST_INVALID(errorText(error), { cause: error });
  }
  return error;
}

/** What the API server tells the operator, a 401 or a 404 too, is nothing that the caller did. */
function ofCluster(error: ElastiError): ElastiError {
  if (!error.code.startsWith("ELASTI_KUBE_")) return error;
  return policyErrors.ELASTI_POLICY_CLUSTER(`${error.code}: ${error.message}`, { cause: error });
}

function statusOf(error: unknown): number | undefined {
  if (typeof error !== "object" || error === null || !("statusCode" in error)) return undefined;
  return typeof error.statusCode === "number" ? error.statusCode : undefined;
}
