/** One thing that is to hold of this replica. */
export interface ReadinessCheck {
  readonly name: string;
  /** Told, and the replica is of use without it. */
  readonly optional?: boolean;
  /** Undefined when it holds, otherwise why not. Called at every /readyz; must be cheap. */
  check(): string | undefined;
}

export interface HealthReport {
  readonly ready: boolean;
  /** One that is not ok while the replica is ready is optional. */
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly reason?: string }[];
}

/** What /readyz answers. */
export function health(checks: readonly ReadinessCheck[], closing: boolean): HealthReport {
  const results = checks.map(({ name, check, optional = false }) => {
    const reason = check();
    return { report: reason === undefined ? { name, ok: true } : { name, ok: false, reason }, optional };
  });
  if (closing)
    results.push({ report: { name: "running", ok: false, reason: "the operator is stopping" }, optional: false });
  return {
    ready: results.every(({ report, optional }) => report.ok || optional),
    checks: results.map(({ report }) => report),
  };
}
