import type { Cooldown, Verdict } from "@elasti/scaling";
import type { Ruling } from "./ruling.ts";

/** What decides whether a target may sleep now. Times in ms of wall clock. */
export interface SleepQuestion {
  readonly nowMs: number;
  readonly cooldown: Cooldown;
  readonly verdict: Verdict | undefined;
  /** A verdict older than this says nothing about now. */
  readonly verdictMaxAgeMs: number;
  /** Whether sleeping is allowed at this hour, or why that cannot be said. */
  readonly period: { readonly inside: boolean; readonly problem?: string };
  readonly inFlight: number;
  readonly held: number;
  /** Resolvers that may carry requests and do not report. */
  readonly silentResolvers: readonly string[];
  /** After a sleep that could not be completed, not before this time. */
  readonly notBeforeMs: number;
  /** Traffic decides, and part of it passes no resolver: why. */
  readonly blind: { readonly reason: string; readonly message: string } | undefined;
  /** Others raise it from zero: left alone until this time. */
  readonly contestedUntilMs: number | undefined;
  /** Why an autoscaler of the target does not let it sleep. */
  readonly autoscaler: { readonly reason: string; readonly message: string } | undefined;
  /** Of an override and of policies. */
  readonly ruling: Pick<Ruling, "sleep" | "stay" | "idle">;
}

export type SleepAnswer =
  | { readonly may: true; readonly message: string }
  /** `inMs`: when time alone may change the answer. `unknown`: because something is not known. */
  | {
      readonly may: false;
      readonly reason: string;
      readonly message: string;
      readonly inMs?: number;
      readonly unknown?: boolean;
    };

const no = (reason: string, message: string, inMs?: number): Extract<SleepAnswer, { may: false }> =>
  inMs === undefined ? { may: false, reason, message } : { may: false, reason, message, inMs };

/** Whether one ElastiService alone would let its target sleep. Anything not known for certain is a no. */
export function maySleep(q: SleepQuestion): SleepAnswer {
  if (q.autoscaler !== undefined) return no(q.autoscaler.reason, q.autoscaler.message);
  if (q.contestedUntilMs !== undefined) {
    const message = "others raised the target from zero twice within ten minutes; it is left awake for an hour";
    return no("Contested", message, q.contestedUntilMs - q.nowMs);
  }
  const { sleep, stay, idle } = q.ruling;
  if (stay !== undefined) return no(stay.reason, stay.message);
  if (sleep !== undefined) return orderedToSleep(q, sleep);
  if (q.blind !== undefined) return no(q.blind.reason, q.blind.message);
  if (q.verdict === undefined) return no("NotAskedYet", "the triggers have not been asked yet");
  if (q.verdict.kind !== "Idle") {
    return { ...no(q.verdict.reason, q.verdict.message), unknown: q.verdict.kind === "Unknown" };
  }
  if (q.nowMs - q.verdict.sampledAtMs > q.verdictMaxAgeMs)
    return no("VerdictTooOld", "the last answer of the triggers is too old");
  if (q.period.problem !== undefined) return no("EnabledPeriodInvalid", q.period.problem);
  if (!q.period.inside) return no("OutsideEnabledPeriod", "outside enabledPeriod the target stays up");
  if (q.inFlight > 0) return no("InFlight", `${q.inFlight} requests are in flight`);
  if (q.held > 0) return no("Held", `${q.held} requests are held`);
  const silent = silence(q);
  if (silent !== undefined) return silent;
  // a policy that says idle stands in for the cooldown, and for nothing else
  if (!q.cooldown.over && idle === undefined)
    return no("Cooldown", "within cooldownPeriod of the last activity", q.cooldown.remainingMs);
  return failedBefore(q) ?? { may: true, message: q.cooldown.over ? q.verdict.message : (idle ?? "") };
}

/** An override asks for it: triggers, cooldown and period have no say. Of requests, one that pins it answers for itself. */
function orderedToSleep(q: SleepQuestion, sleep: NonNullable<Ruling["sleep"]>): SleepAnswer {
  if (sleep === "asleep" && q.inFlight > 0) return no("InFlight", `${q.inFlight} requests are in flight`);
  if (sleep === "asleep" && q.held > 0) return no("Held", `${q.held} requests are held`);
  return silence(q) ?? failedBefore(q) ?? { may: true, message: "an override asks for it" };
}

function silence({ silentResolvers }: SleepQuestion): SleepAnswer | undefined {
  if (silentResolvers.length === 0) return undefined;
  return no("ResolverSilent", `no report from ${silentResolvers.join(", ")}`);
}

function failedBefore(q: SleepQuestion): SleepAnswer | undefined {
  if (q.nowMs >= q.notBeforeMs) return undefined;
  return no("SleepFailed", "the last attempt to sleep did not succeed", q.notBeforeMs - q.nowMs);
}
