/** One thing that must hold before this replica is of use. */
export interface ReadinessCheck {
  readonly name: string;
  /** Undefined when it holds, otherwise why not. Called at every /readyz; must be cheap. */
  check(): string | undefined;
}

export interface HealthReport {
  readonly ready: boolean;
  readonly checks: readonly { readonly name: string; readonly ok: boolean; readonly reason?: string }[];
}

/** What /readyz answers. */
export function health(checks: readonly ReadinessCheck[], closing: boolean): HealthReport {
  const results = checks.map(({ name, check }) => {
    const reason = check();
    return reason === undefined ? { name, ok: true } : { name, ok: false, reason };
  });
  if (closing) results.push({ name: "running", ok: false, reason: "the operator is stopping" });
  return { ready: results.every(({ ok }) => ok), checks: results };
}
