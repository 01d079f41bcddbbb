import { defineErrors, ElastiError } from "@elasti/core";
import type { KubeStatus } from "./types.ts";

/** Everything that this package throws. `status` is what an Elasti answer shows when such an error reaches a client. */
export const kubeErrors = defineErrors({
  ELASTI_KUBE_NOT_FOUND: { status: 404, retryable: false, title: "Object not found" },
  ELASTI_KUBE_CONFLICT: { status: 409, retryable: true, title: "Object was changed meanwhile" },
  ELASTI_KUBE_ALREADY_EXISTS: { status: 409, retryable: false, title: "Object exists already" },
  ELASTI_KUBE_GONE: { status: 410, retryable: true, title: "Resource version is too old" },
  ELASTI_KUBE_INVALID: { status: 422, retryable: false, title: "Object was refused as invalid" },
  ELASTI_KUBE_BAD_REQUEST: { status: 500, retryable: false, title: "Request was refused by the API server" },
  ELASTI_KUBE_FORBIDDEN: { status: 403, retryable: true, title: "Not allowed by the API server" },
  ELASTI_KUBE_UNAUTHORIZED: { status: 401, retryable: true, title: "Credentials were not accepted" },
  ELASTI_KUBE_TOO_MANY_REQUESTS: { status: 429, retryable: true, title: "API server asks to slow down" },
  ELASTI_KUBE_UNAVAILABLE: { status: 503, retryable: true, title: "API server is not available" },
  ELASTI_KUBE_TIMEOUT: { status: 504, retryable: true, title: "API server did not answer in time" },
  ELASTI_KUBE_BAD_RESPONSE: { status: 502, retryable: true, title: "API server answered nonsense" },
  ELASTI_KUBE_CLOSED: { status: 503, retryable: false, title: "Already closed" },
  ELASTI_KUBE_BAD_KUBECONFIG: { status: 500, retryable: false, title: "Cluster credentials cannot be used" },
  ELASTI_KUBE_NO_KIND: { status: 422, retryable: true, title: "Kind is not known to the API server" },
  ELASTI_KUBE_NO_SCALE: { status: 422, retryable: true, title: "Kind has no scale subresource" },
});

export type KubeErrorCode = keyof typeof kubeErrors;

/** What was asked, for messages such as `patch deployments/scale default/web`. */
export interface RequestSubject {
  readonly verb: string;
  readonly path: string;
  readonly resource?: { readonly plural: string; readonly group: string } | undefined;
  readonly subresource?: string | undefined;
  readonly namespace?: string | undefined;
  readonly name?: string | undefined;
}

/** `patch deployments.apps/scale default/web` */
export function describeRequest(subject: RequestSubject): string {
  const { resource, subresource, namespace, name } = subject;
  if (resource === undefined) return `${subject.verb} ${subject.path}`;
  const kind = `${resource.plural}${resource.group === "" ? "" : `.${resource.group}`}`;
  const place = [namespace, name].filter((part) => part !== undefined).join("/");
  return `${subject.verb} ${kind}${subresource === undefined ? "" : `/${subresource}`}${place === "" ? "" : ` ${place}`}`;
}

function codeOf(status: number, reason: string | undefined): KubeErrorCode {
  if (status === 409) return reason === "AlreadyExists" ? "ELASTI_KUBE_ALREADY_EXISTS" : "ELASTI_KUBE_CONFLICT";
  if (status === 404) return "ELASTI_KUBE_NOT_FOUND";
  if (status === 410) return "ELASTI_KUBE_GONE";
  if (status === 422) return "ELASTI_KUBE_INVALID";
  if (status === 403) return "ELASTI_KUBE_FORBIDDEN";
  if (status === 401) return "ELASTI_KUBE_UNAUTHORIZED";
  if (status === 429) return "ELASTI_KUBE_TOO_MANY_REQUESTS";
  if (status >= 500) return "ELASTI_KUBE_UNAVAILABLE";
  if (status >= 400) return "ELASTI_KUBE_BAD_REQUEST";
  return "ELASTI_KUBE_BAD_RESPONSE";
}

/** Whether `value` is a metav1.Status. */
export function isStatus(value: unknown): value is KubeStatus {
  return typeof value === "object" && value !== null && "kind" in value && value.kind === "Status";
}

/**
 * The error of a failed answer. `body` is its parsed body, a metav1.Status or not.
 * @param retryAfterSeconds of the `Retry-After` header
 */
export function errorOfAnswer(
  subject: RequestSubject,
  status: number,
  body: unknown,
  retryAfterSeconds?: number,
): ElastiError {
  const given = isStatus(body) ? body : undefined;
  const code = codeOf(status, given?.reason);
  const said =
    given?.message ?? (typeof body === "string" && body !== "" ? body.slice(0, 200).trim() : `HTTP ${status}`);
  const details: Record<string, unknown> = { status, ...(given?.reason === undefined ? {} : { reason: given.reason }) };
  const causes = given?.details?.causes;
  if (causes !== undefined && causes.length > 0) {
    details.errors = causes.map((cause) => ({
      field: cause.field ?? "",
      message: cause.message ?? cause.reason ?? "",
    }));
  }
  const retryAfter = given?.details?.retryAfterSeconds ?? retryAfterSeconds;
  if (retryAfter !== undefined) details.retryAfterMs = retryAfter * 1_000;
  // a 5xx may stand for a write that was stored all the same (etcd timeout, a balancer that lost its upstream)
  if (status >= 500) details.sent = true;
  if (code === "ELASTI_KUBE_FORBIDDEN" && !refusedByAdmission(said)) {
    const { verb, resource, subresource } = subject;
    details.verb = verb;
    details.resource = `${resource?.plural ?? subject.path}${subresource === undefined ? "" : `/${subresource}`}`;
    details.apiGroup = resource?.group ?? "";
  }
  const who =
    code === "ELASTI_KUBE_FORBIDDEN" ? `not allowed to ${describeRequest(subject)}` : describeRequest(subject);
  return kubeErrors[code](`${who}: ${said}`, { details });
}

/** Admission answers 403 too; a right that is missing is told in words of authorization: `User "x" cannot patch resource ...`. */
const refusedByAdmission = (message: string): boolean =>
  /exceeded quota|admission|because it is being terminated|violates PodSecurity/i.test(message);

function hasCode(error: unknown, code: KubeErrorCode): error is ElastiError {
  return error instanceof ElastiError && error.code === code;
}

export const isNotFound = (error: unknown): boolean => hasCode(error, "ELASTI_KUBE_NOT_FOUND");
/** The resourceVersion that was the precondition is not the current one. */
export const isConflict = (error: unknown): boolean => hasCode(error, "ELASTI_KUBE_CONFLICT");
export const isAlreadyExists = (error: unknown): boolean => hasCode(error, "ELASTI_KUBE_ALREADY_EXISTS");
export const isGone = (error: unknown): boolean => hasCode(error, "ELASTI_KUBE_GONE");
export const isForbidden = (error: unknown): boolean => hasCode(error, "ELASTI_KUBE_FORBIDDEN");
export const isTimeout = (error: unknown): boolean => hasCode(error, "ELASTI_KUBE_TIMEOUT");

/** Whether a write that failed so may have been stored all the same: it left this process and no answer says otherwise. */
export function isOutcomeUnknown(error: unknown): boolean {
  return error instanceof ElastiError && error.details.sent === true;
}

/** The HTTP status of the server's answer, or undefined where there was none. */
export function answeredStatus(error: unknown): number | undefined {
  if (!(error instanceof ElastiError)) return undefined;
  const { status } = error.details;
  return typeof status === "number" ? status : undefined;
}

/** How long the server asked to wait, in ms, or undefined. */
export function retryAfterMs(error: unknown): number | undefined {
  if (!(error instanceof ElastiError)) return undefined;
  const value = error.details.retryAfterMs;
  return typeof value === "number" ? value : undefined;
}
