import { defineErrors } from "@elasti/core";

/** Everything that this package throws or answers. Each code is a heading in docs/troubleshooting.md. */
export const operatorErrors = defineErrors({
  ELASTI_BAD_SETTINGS: { status: 500, retryable: false, title: "Settings contradict each other" },
  ELASTI_NO_TOKEN: { status: 401, retryable: false, title: "No bearer token was sent" },
  ELASTI_BAD_TOKEN: { status: 401, retryable: false, title: "The bearer token was not accepted" },
  ELASTI_ACCOUNT_NOT_ALLOWED: { status: 403, retryable: false, title: "This account may not notify the operator" },
  ELASTI_TOKEN_REVIEW_UNAVAILABLE: { status: 503, retryable: true, title: "Tokens cannot be reviewed at the moment" },
  ELASTI_BAD_NOTIFICATION: { status: 400, retryable: false, title: "The notification cannot be read" },
  ELASTI_NOTIFICATION_TOO_LARGE: { status: 413, retryable: false, title: "The notification is too large" },
  ELASTI_METHOD_NOT_ALLOWED: { status: 405, retryable: false, title: "The method is not allowed here" },
  ELASTI_NO_SUCH_PATH: { status: 404, retryable: false, title: "Nothing is here" },
  ELASTI_UNKNOWN_SERVICE: { status: 404, retryable: false, title: "No ElastiService names this service" },
  ELASTI_SERVER_BUSY: { status: 503, retryable: true, title: "Too many notifications at once" },
  ELASTI_SERVER_CLOSING: { status: 503, retryable: true, title: "The operator is stopping" },
  ELASTI_WAKE_FAILED: { status: 503, retryable: true, title: "The target could not be woken" },
  ELASTI_PINNED_ASLEEP: { status: 503, retryable: true, title: "An override keeps the target asleep" },
  ELASTI_UPGRADE_REQUIRED: { status: 426, retryable: false, title: "A session needs Upgrade: elasti-session" },
  ELASTI_TOO_MANY_SESSIONS: { status: 503, retryable: true, title: "Too many sessions" },
  ELASTI_PORTS_EXHAUSTED: { status: 503, retryable: true, title: "No resolver port is free" },
  ELASTI_PRIVATE_SERVICE_TAKEN: { status: 409, retryable: true, title: "The name of the private Service is taken" },
  ELASTI_CRD_OUTDATED: { status: 500, retryable: true, title: "The CustomResourceDefinition is of an older version" },
  ELASTI_PORT_TABLE_CONTENDED: { status: 503, retryable: true, title: "The port table keeps changing" },
});
