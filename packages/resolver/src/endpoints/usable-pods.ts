import type { Phase, ProbeStatus } from "@elasti/api";
import type { PodView } from "./pod-view.ts";

/** How long a tainted pod must have stayed ready after the service left Asleep before it is trusted again. */
export const taintLapseMs = 2_000;
/** Tainted pods remembered per service; the oldest are forgotten first. */
const maxTainted = 1_000;

/**
 * What is known of one service besides its slices. A *tainted* pod is one that was there when the target went to zero: it is
 * about to die, and may still look ready because the slices lag behind. `since`: from when on it has counted as ready after
 * Asleep; undefined while it does not.
 */
export interface PodRules {
  readonly phase: Phase;
  readonly epoch: number;
  readonly podsGone: boolean;
  readonly tainted: ReadonlyMap<string, number | undefined>;
}

export const initialRules: PodRules = { phase: "Serving", epoch: -1, podsGone: false, tainted: new Map() };

/** Where pods that come into view are dying ones. */
const dying = (rules: PodRules): boolean => rules.phase === "Asleep" && !rules.podsGone;

/** Phase changes that lie at least between one and the next time that the service is awake after a sleep. */
const stepsThroughAsleep: Readonly<Record<Phase, number>> = {
  Serving: 4,
  Waking: 4,
  Degraded: 4,
  Draining: 3,
  Sealed: 2,
  Asleep: 1,
};
const awake: ReadonlySet<Phase> = new Set<Phase>(["Serving", "Waking", "Degraded"]);

/** Takes a newer phase; older ones change nothing. @param now ms, any clock that only goes forward */
export function withPhase(
  rules: PodRules,
  views: readonly PodView[],
  next: { phase: Phase; epoch: number; podsGone: boolean },
  now: number,
): PodRules {
  if (next.epoch < rules.epoch || (next.epoch === rules.epoch && next.podsGone === rules.podsGone)) return rules;
  const { phase, epoch, podsGone } = next;
  if (phase === "Asleep" && podsGone) return { phase, epoch, podsGone, tainted: new Map() };
  let { tainted } = rules;
  // a watch that was broken may show only what came after the sleep
  const slept = rules.epoch >= 0 && awake.has(phase) && epoch - rules.epoch >= stepsThroughAsleep[rules.phase];
  // woken as it fell asleep: a zero that landed may have doomed the pods, and Asleep was never to be seen
  const overtaken = phase === "Waking" && !podsGone && epoch > rules.epoch;
  if ((slept || overtaken) && rules.phase !== "Asleep") {
    tainted = new Map([...tainted, ...views.map((view) => [view.uid, undefined] as const)]);
  }
  return withPods({ phase, epoch, podsGone, tainted }, views, now);
}

/** Takes the pods as they are in the slices now. */
export function withPods(rules: PodRules, views: readonly PodView[], now: number): PodRules {
  const tainted = new Map(rules.tainted);
  const isDying = dying(rules);
  if (isDying) for (const { uid } of views) tainted.set(uid, undefined);
  if (tainted.size === 0) return rules.tainted.size === 0 ? rules : { ...rules, tainted };
  const byUid = new Map(views.map((view) => [view.uid, view]));
  for (const [uid, since] of tainted) {
    const view = byUid.get(uid);
    const counts = !isDying && view?.ready === true && !view.terminating;
    // one that is out of view stays known: it may only have moved to another slice
    tainted.set(uid, counts ? (since ?? now) : undefined);
  }
  for (const uid of tainted.keys()) {
    if (tainted.size <= maxTainted) break;
    tainted.delete(uid);
  }
  return { ...rules, tainted };
}

/** What the resolver found out about pods by itself. */
export interface ProbeResults {
  readonly wait: ProbeStatus["wait"];
  /** Pods that answered their probe since they were last not ready. */
  readonly passed: ReadonlySet<string>;
  /** Pods that refused a connection and have not been probed since. */
  readonly failed: ReadonlySet<string>;
  /** Somebody waits. */
  readonly demand: boolean;
}

/** Whether pods can be used at all in this phase. */
export function mayUsePods(rules: PodRules): boolean {
  return rules.phase !== "Sealed" && !dying(rules);
}

/** Whether nothing but a probe stands between a pod and its use. */
export function isCandidate(rules: PodRules, view: PodView, now: number): boolean {
  return mayUsePods(rules) && !view.terminating && !isTainted(rules, view.uid, now);
}

export function isTainted(rules: PodRules, uid: string, now: number): boolean {
  if (!rules.tainted.has(uid)) return false;
  const since = rules.tainted.get(uid);
  return since === undefined || now - since < taintLapseMs;
}

/** The pods that may be sent to now. */
export function usablePods(
  rules: PodRules,
  views: readonly PodView[],
  results: ProbeResults,
  now: number,
): readonly PodView[] {
  return views.filter((view) => {
    if (!isCandidate(rules, view, now) || results.failed.has(view.uid)) return false;
    if (results.passed.has(view.uid)) return view.ready || results.wait !== "Ready";
    // Without a readiness probe, Ready says only that the container runs: those who wait would all be refused
    return view.ready && (results.wait !== "Connect" || !results.demand);
  });
}

/** When the next taint lapses, or undefined. */
export function nextLapse(rules: PodRules, now: number): number | undefined {
  let next: number | undefined;
  for (const since of rules.tainted.values()) {
    if (since === undefined) continue;
    const at = since + taintLapseMs;
    if (at > now && (next === undefined || at < next)) next = at;
  }
  return next;
}
