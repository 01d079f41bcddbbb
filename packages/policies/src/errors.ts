import { defineErrors } from "@elasti/core";

/** Everything that this package throws, with the status that an answer shows. */
export const policyErrors = defineErrors({
  ELASTI_POLICY_INVALID: { status: 400, retryable: false, title: "Policy cannot be used" },
  ELASTI_POLICY_REQUEST_INVALID: { status: 400, retryable: false, title: "Request cannot be used" },
  ELASTI_POLICY_UNAUTHENTICATED: { status: 401, retryable: false, title: "Who asks is not known" },
  ELASTI_POLICY_FORBIDDEN: { status: 403, retryable: false, title: "Not allowed" },
  ELASTI_POLICY_NOT_FOUND: { status: 404, retryable: false, title: "No such policy" },
  ELASTI_POLICY_NO_SUCH_PATH: { status: 404, retryable: false, title: "No such path" },
  ELASTI_POLICY_NO_OVERRIDE: { status: 404, retryable: false, title: "No such override" },
  ELASTI_POLICY_TARGET_NOT_FOUND: { status: 404, retryable: false, title: "No such target" },
  ELASTI_POLICY_METHOD_NOT_ALLOWED: { status: 405, retryable: false, title: "Method is not allowed" },
  ELASTI_POLICY_NO_ELASTISERVICE: { status: 409, retryable: false, title: "No ElastiService looks after the target" },
  ELASTI_POLICY_EXISTS: { status: 409, retryable: false, title: "A policy has this name" },
  ELASTI_POLICY_CHANGED: { status: 412, retryable: false, title: "The policy has been changed meanwhile" },
  ELASTI_POLICY_TOO_LARGE: { status: 413, retryable: false, title: "Request is too large" },
  ELASTI_POLICY_UNSUPPORTED_TYPE: { status: 415, retryable: false, title: "Content type is not understood" },
  ELASTI_POLICY_SETTINGS: { status: 500, retryable: false, title: "Settings of the policy engine cannot be used" },
  ELASTI_POLICY_SUPERSEDED: { status: 409, retryable: false, title: "Another replica evaluates the policies now" },
  ELASTI_POLICY_ACCESS_UNKNOWN: { status: 503, retryable: true, title: "Rights cannot be looked at now" },
  ELASTI_POLICY_BUSY: { status: 503, retryable: true, title: "Too much at once" },
  ELASTI_POLICY_CLUSTER: { status: 503, retryable: true, title: "The cluster did not do it" },
  ELASTI_POLICY_NOT_GRANTED: { status: 503, retryable: false, title: "The operator may not do it" },
  ELASTI_POLICY_NOT_LEADING: { status: 503, retryable: true, title: "Another replica has to do it" },
  ELASTI_POLICY_TIMEOUT: { status: 504, retryable: true, title: "It took too long" },
  ELASTI_POLICY_DATABASE: { status: 503, retryable: true, title: "The database of the policies cannot be used" },
  ELASTI_POLICY_DATABASE_VERSION: {
    status: 503,
    retryable: false,
    title: "The database of the policies belongs to a newer Elasti",
  },
});
