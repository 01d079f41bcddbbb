import { DEFAULT_FILTER_UNMATCHED, type Health, type SampleOptions, type Scaler, type Verdict } from "./scaler.ts";

/** A trigger's scaler and its name for messages, e.g. `triggers[0] (prometheus)`. */
export interface NamedScaler {
  readonly name: string;
  readonly scaler: Scaler;
}

/**
 * One verdict of several: Active when one is, Idle when all are, otherwise Unknown with the reasons. The sample is as old as
 * the oldest one that it rests on.
 */
export function combineVerdicts(verdicts: readonly { readonly name: string; readonly verdict: Verdict }[]): Verdict {
  const sampledAtMs = Math.min(...verdicts.map(({ verdict }) => verdict.sampledAtMs));
  const only = verdicts.length === 1 ? verdicts[0]?.verdict : undefined;
  if (only !== undefined) return only;
  const active = verdicts.find(({ verdict }) => verdict.kind === "Active");
  if (active !== undefined) return { ...active.verdict, message: `${active.name}: ${active.verdict.message}` };
  const unknown = verdicts.filter(({ verdict }) => verdict.kind === "Unknown");
  const [first] = unknown;
  if (first !== undefined) {
    const message = unknown.map(({ name, verdict }) => `${name}: ${verdict.reason}, ${verdict.message}`).join("; ");
    return { kind: "Unknown", reason: first.verdict.reason, message, sampledAtMs };
  }
  if (verdicts.length === 0) {
    return { kind: "Unknown", reason: "NoTrigger", message: "there is no trigger", sampledAtMs: 0 };
  }
  return { kind: "Idle", reason: "AllIdle", message: `all ${verdicts.length} triggers are idle`, sampledAtMs };
}

/** The first that is not healthy; what the healthy ones have to say otherwise. */
export function combineHealth(all: readonly { readonly name: string; readonly health: Health }[]): Health {
  const only = all.length === 1 ? all[0]?.health : undefined;
  if (only !== undefined) return only;
  const bad = all.filter(({ health }) => health.kind !== "Healthy");
  const [first] = bad.length > 0 ? bad : all;
  if (first === undefined) return { kind: "Unhealthy", reason: "NoTrigger", message: "there is no trigger" };
  const message = (bad.length > 0 ? bad : all).map(({ name, health }) => `${name}: ${health.message}`).join("; ");
  return { kind: first.health.kind, reason: first.health.reason, message };
}

/** All triggers of a service as one. */
export class CombinedScaler implements Scaler {
  readonly #children: readonly NamedScaler[];

  constructor(children: readonly NamedScaler[]) {
    this.#children = children;
  }

  /** Idle only where every source can be believed: otherwise Unknown with the reason of its health. */
  async shouldScaleToZero(signal: AbortSignal, options: SampleOptions = {}): Promise<Verdict> {
    const verdict = await this.#verdict((scaler) => scaler.shouldScaleToZero(signal, options));
    if (verdict.kind !== "Idle") return verdict;
    const { kind, reason, message } = await this.isHealthy(signal, options);
    if (kind !== "Healthy") return { kind: "Unknown", reason, message, sampledAtMs: verdict.sampledAtMs };
    // believed only because nothing says otherwise: the user is to know
    return reason === DEFAULT_FILTER_UNMATCHED ? { ...verdict, message: `${verdict.message}; ${message}` } : verdict;
  }

  shouldScaleFromZero(signal: AbortSignal, options: SampleOptions = {}): Promise<Verdict> {
    return this.#verdict((scaler) => scaler.shouldScaleFromZero(signal, options));
  }

  async isHealthy(signal: AbortSignal, options: SampleOptions = {}): Promise<Health> {
    return combineHealth(
      await Promise.all(
        this.#children.map(async ({ name, scaler }) => ({ name, health: await scaler.isHealthy(signal, options) })),
      ),
    );
  }

  async close(): Promise<void> {
    await Promise.all(this.#children.map(({ scaler }) => scaler.close()));
  }

  async #verdict(ask: (scaler: Scaler) => Promise<Verdict>): Promise<Verdict> {
    return combineVerdicts(
      await Promise.all(this.#children.map(async ({ name, scaler }) => ({ name, verdict: await ask(scaler) }))),
    );
  }
}
