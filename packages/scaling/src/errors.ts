import { defineErrors, ElastiError, errorCode, errorText } from "@elasti/core";

/** Everything that this package throws. `status` is what an answer shows when such an error reaches a client. */
export const scalingErrors = defineErrors({
  ELASTI_SCALE_TARGET_MISSING: { status: 503, retryable: true, title: "Scale target does not exist" },
  ELASTI_SCALE_NO_SUBRESOURCE: { status: 503, retryable: true, title: "Scale target cannot be scaled" },
  ELASTI_SCALE_FORBIDDEN: { status: 503, retryable: true, title: "Not allowed to scale the target" },
  ELASTI_SCALE_QUOTA: { status: 503, retryable: true, title: "A quota forbids to scale the target" },
  ELASTI_SCALE_REFUSED: { status: 503, retryable: false, title: "Scaling was refused as invalid" },
  ELASTI_SCALE_CONTENDED: { status: 503, retryable: true, title: "Others change the target all the time" },
  ELASTI_SCALE_UNAVAILABLE: { status: 503, retryable: true, title: "API server could not scale the target" },
  ELASTI_SCALE_CLOSED: { status: 503, retryable: true, title: "Shutting down" },
  ELASTI_TRIGGER_INVALID: { status: 400, retryable: false, title: "Trigger cannot be used" },
  ELASTI_OVERRIDE_INVALID: { status: 400, retryable: false, title: "Override cannot be used" },
  ELASTI_PERIOD_INVALID: { status: 400, retryable: false, title: "Enabled period cannot be used" },
});

export type ScalingErrorCode = keyof typeof scalingErrors;

/** Codes of @elasti/kube's error table that mean something else than "try again later". */
function codeFor(code: string | undefined, text: string): ScalingErrorCode {
  switch (code) {
    case "ELASTI_KUBE_NOT_FOUND":
      // the API server's words for a path that it does not serve, as opposed to an object that is not there
      return /could not find the requested resource|page not found/.test(text)
        ? "ELASTI_SCALE_NO_SUBRESOURCE"
        : "ELASTI_SCALE_TARGET_MISSING";
    case "ELASTI_KUBE_NO_KIND":
    case "ELASTI_KUBE_NO_SCALE":
      return "ELASTI_SCALE_NO_SUBRESOURCE";
    case "ELASTI_KUBE_FORBIDDEN":
      return /exceeded quota/i.test(text) ? "ELASTI_SCALE_QUOTA" : "ELASTI_SCALE_FORBIDDEN";
    case "ELASTI_KUBE_UNAUTHORIZED":
      return "ELASTI_SCALE_FORBIDDEN";
    case "ELASTI_KUBE_INVALID":
    case "ELASTI_KUBE_BAD_REQUEST":
      return "ELASTI_SCALE_REFUSED";
    case "ELASTI_KUBE_CONFLICT":
      return "ELASTI_SCALE_CONTENDED";
    case "ELASTI_KUBE_CLOSED":
      return "ELASTI_SCALE_CLOSED";
    default:
      return "ELASTI_SCALE_UNAVAILABLE";
  }
}

/** The error of this package's table for a failed call on a target's scale; `details.retryAfterMs` is kept. */
export function scaleErrorOf(error: unknown, target: string): ElastiError {
  if (error instanceof ElastiError && error.code in scalingErrors) return error;
  const text = errorText(error);
  const retryAfterMs = error instanceof ElastiError ? error.details.retryAfterMs : undefined;
  return scalingErrors[codeFor(errorCode(error), text)](`${target}: ${text}`, {
    cause: error,
    details: { target, ...(retryAfterMs === undefined ? {} : { retryAfterMs }) },
  });
}

/** Answers of the API server that say that nothing was stored. */
const refusals: ReadonlySet<string> = new Set([
  "ELASTI_KUBE_NOT_FOUND",
  "ELASTI_KUBE_INVALID",
  "ELASTI_KUBE_BAD_REQUEST",
  "ELASTI_KUBE_FORBIDDEN",
  "ELASTI_KUBE_UNAUTHORIZED",
  "ELASTI_KUBE_TOO_MANY_REQUESTS",
  "ELASTI_KUBE_NO_KIND",
  "ELASTI_KUBE_NO_SCALE",
]);

/** Whether a write that failed so was certainly not stored: it was refused, or never left this process. */
export function isCertainlyNotWritten(error: unknown): boolean {
  if (!(error instanceof ElastiError)) return false;
  return refusals.has(error.code) || error.details.sent === false;
}
