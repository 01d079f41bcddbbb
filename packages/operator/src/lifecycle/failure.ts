import { ElastiError, errorText } from "@elasti/core";

/** What a pass failed with, as a condition and a log line say it. */
export interface Failure {
  /** A heading in docs/troubleshooting.md. */
  readonly reason: "PermissionMissing" | "CrdOutdated" | "ReconcileFailed";
  readonly message: string;
  /** Of a call that the API server forbids: what to grant. */
  readonly missing?: Readonly<Record<"verb" | "resource" | "apiGroup", string>>;
}

/** The first error of a chain of causes that fits. */
function causeOf(error: unknown, fits: (error: ElastiError) => boolean): ElastiError | undefined {
  for (let at = error, depth = 0; at instanceof Error && depth < 8; at = at.cause, depth++)
    if (at instanceof ElastiError && fits(at)) return at;
  return undefined;
}

const refusals: ReadonlySet<string> = new Set([
  "ELASTI_KUBE_FORBIDDEN",
  "ELASTI_KUBE_INVALID",
  "ELASTI_KUBE_BAD_REQUEST",
]);

/** Whether authorization or admission refused a write: it was certainly not stored, and would be refused again. */
export const isRefused = (error: unknown): boolean => causeOf(error, ({ code }) => refusals.has(code)) !== undefined;

export function failureOf(error: unknown): Failure {
  const message = errorText(error);
  const forbidden = causeOf(error, ({ code }) => code === "ELASTI_KUBE_FORBIDDEN");
  const { verb, resource, apiGroup } = forbidden?.details ?? {};
  // admission answers 403 too (quotas, namespaces that end): only what authorization refuses names a right
  if (typeof verb === "string" && typeof resource === "string" && typeof apiGroup === "string") {
    const missing = { verb, resource, apiGroup };
    const grant = `grant ${verb} on ${resource} in API group "${apiGroup}" to the operator`;
    return { reason: "PermissionMissing", message: `${grant}: ${message}`, missing };
  }
  if (causeOf(error, ({ code }) => code === "ELASTI_CRD_OUTDATED") !== undefined)
    return { reason: "CrdOutdated", message };
  return { reason: "ReconcileFailed", message };
}
