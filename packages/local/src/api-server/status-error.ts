import type { KubeStatus, Resource } from "@elasti/kube";
import type { FieldError } from "./field-error.ts";

export interface StatusBody extends Omit<KubeStatus, "details"> {
  metadata: { continue?: string };
  details?: NonNullable<KubeStatus["details"]> & { uid?: string };
}

/** A failure as the API server says it: a metav1.Status with its HTTP code. */
export class StatusError extends Error {
  override readonly name = "StatusError";
  readonly code: number;
  readonly body: StatusBody;

  constructor(code: number, reason: string, message: string, details?: StatusBody["details"], continueToken?: string) {
    super(message);
    this.code = code;
    this.body = {
      kind: "Status",
      apiVersion: "v1",
      metadata: continueToken === undefined ? {} : { continue: continueToken },
      status: "Failure",
      message,
      reason,
      ...(details === undefined ? {} : { details }),
      code,
    };
  }
}

/** `deployments.apps`, `pods`. */
export function qualifiedPlural(resource: Resource): string {
  return resource.group === "" ? resource.plural : `${resource.plural}.${resource.group}`;
}

function qualifiedKind(resource: Resource): string {
  return resource.group === "" ? resource.kind : `${resource.kind}.${resource.group}`;
}

function detailsOf(resource: Resource, name: string, kind = resource.plural): NonNullable<StatusBody["details"]> {
  return { name, ...(resource.group === "" ? {} : { group: resource.group }), kind };
}

export function notFound(resource: Resource, name: string): StatusError {
  return new StatusError(
    404,
    "NotFound",
    `${qualifiedPlural(resource)} ${JSON.stringify(name)} not found`,
    detailsOf(resource, name),
  );
}

export function alreadyExists(resource: Resource, name: string): StatusError {
  return new StatusError(
    409,
    "AlreadyExists",
    `${qualifiedPlural(resource)} ${JSON.stringify(name)} already exists`,
    detailsOf(resource, name),
  );
}

export const staleText = "the object has been modified; please apply your changes to the latest version and try again";

export function conflict(resource: Resource, name: string, text = staleText): StatusError {
  return new StatusError(
    409,
    "Conflict",
    `Operation cannot be fulfilled on ${qualifiedPlural(resource)} ${JSON.stringify(name)}: ${text}`,
    detailsOf(resource, name),
  );
}

export function invalidObject(resource: Resource, name: string, problems: readonly FieldError[]): StatusError {
  const texts = [...new Set(problems.map(({ field, message }) => `${field}: ${message}`))];
  const text = texts.length === 1 ? texts[0] : `[${texts.join(", ")}]`;
  return new StatusError(422, "Invalid", `${qualifiedKind(resource)} ${JSON.stringify(name)} is invalid: ${text}`, {
    ...detailsOf(resource, name, resource.kind),
    causes: problems.map(({ reason, field, message }) => ({ reason, message, field })),
  });
}

export function forbiddenRequest(
  resource: Resource,
  name: string,
  text: string,
  causes?: { reason: string; message: string; field: string }[],
): StatusError {
  return new StatusError(
    403,
    "Forbidden",
    `${qualifiedPlural(resource)} ${JSON.stringify(name)} is forbidden: ${text}`,
    {
      ...detailsOf(resource, name),
      ...(causes === undefined ? {} : { causes }),
    },
  );
}

export function badRequest(message: string): StatusError {
  return new StatusError(400, "BadRequest", message);
}

export function unauthorized(): StatusError {
  return new StatusError(401, "Unauthorized", "Unauthorized");
}

export function methodNotAllowed(): StatusError {
  return new StatusError(
    405,
    "MethodNotAllowed",
    "the server does not allow this method on the requested resource",
    {},
  );
}

export function notAcceptable(): StatusError {
  return new StatusError(406, "NotAcceptable", "only the following media types are accepted: application/json");
}

export function unsupportedMediaType(accepted: readonly string[]): StatusError {
  return new StatusError(
    415,
    "UnsupportedMediaType",
    `the body of the request was in an unknown format - accepted media types include: ${accepted.join(", ")}`,
  );
}

export function bodyTooLarge(limitBytes: number): StatusError {
  return new StatusError(413, "RequestEntityTooLarge", `Request entity too large: limit is ${limitBytes}`);
}

/** 410 with reason Expired: the revision asked for is no longer kept. */
export function expired(message: string, continueToken?: string): StatusError {
  return new StatusError(410, "Expired", message, undefined, continueToken);
}

/** 504: the client knows a later revision than this server; asking again later may succeed. */
export function tooLargeResourceVersion(asked: number, current: number): StatusError {
  return new StatusError(504, "Timeout", `Timeout: Too large resource version: ${asked}, current: ${current}`, {
    causes: [{ reason: "ResourceVersionTooLarge", message: "Too large resource version" }],
    retryAfterSeconds: 1,
  });
}

export function internalError(text: string): StatusError {
  return new StatusError(500, "InternalError", `Internal error occurred: ${text}`, { causes: [{ message: text }] });
}
