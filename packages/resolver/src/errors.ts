import { defineErrors } from "@elasti/core";

/** What a resolver answers or reports itself. Each code is the `elasti-reason` of the answer and a heading in docs/troubleshooting.md. */
export const errors = defineErrors({
  ELASTI_UNKNOWN_SERVICE: { status: 404, retryable: false, title: "No such service here" },
  ELASTI_SERVICE_REMOVED: { status: 503, retryable: true, title: "Service is no longer managed here" },
  ELASTI_GATE_FULL: { status: 503, retryable: true, title: "Too many requests wait for this service" },
  ELASTI_HOLD_TIMEOUT: { status: 504, retryable: true, title: "Service did not wake in time" },
  ELASTI_WAKE_FAILED: { status: 503, retryable: true, title: "Service cannot be woken" },
  ELASTI_WAKE_QUOTA: { status: 503, retryable: true, title: "A quota forbids to start the service" },
  ELASTI_WAKE_REFUSED: { status: 503, retryable: true, title: "The pods of the service are refused" },
  ELASTI_WAKE_IMAGE_NOT_FOUND: { status: 503, retryable: true, title: "The image of the service does not exist" },
  ELASTI_WAKE_IMAGE_PULL: { status: 503, retryable: true, title: "The image of the service cannot be pulled" },
  ELASTI_WAKE_CRASH_LOOP: { status: 503, retryable: true, title: "The service ends as often as it is started" },
  ELASTI_WAKE_CONTAINER: { status: 503, retryable: true, title: "The containers of the service cannot be made" },
  ELASTI_WAKE_UNSCHEDULABLE: { status: 503, retryable: true, title: "No node has room for the service" },
  ELASTI_PINNED_ASLEEP: { status: 503, retryable: true, title: "Service is kept asleep for a time" },
  ELASTI_DRAINING: { status: 503, retryable: true, title: "Resolver is shutting down" },
  ELASTI_BAD_REQUEST: { status: 400, retryable: false, title: "Request cannot be passed on safely" },
  ELASTI_HEAD_TIMEOUT: { status: 408, retryable: true, title: "Request head did not arrive in time" },
  ELASTI_HEAD_TOO_LARGE: { status: 431, retryable: false, title: "Request head is too large" },
  ELASTI_FORWARD_FAILED: { status: 502, retryable: true, title: "Request could not be forwarded" },
  ELASTI_BAD_QUERY: { status: 400, retryable: false, title: "Query cannot be used" },
  ELASTI_TRACKING_OFF: { status: 500, retryable: false, title: "HTTP connections are not tracked" },
});
