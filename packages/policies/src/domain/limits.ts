import { formatDuration } from "@elasti/core";
import type { Decision, PolicyState } from "../contracts.ts";
import type { Policy } from "../schema/policy.ts";

/** The longest period of a step limit, and the longest stabilization window. */
const MAX_PERIOD_MS = 1_800_000;
const MAX_WINDOW_MS = 3_600_000;
const MAX_CHANGES = 200;
const MAX_RECOMMENDATIONS = 600;

export type HeldBack = NonNullable<Decision["held_back"]>;
export interface Limited {
  readonly replicas: number;
  readonly heldBack?: HeldBack;
}

const iso = (ms: number): string => new Date(ms).toISOString();

/** What rules want, slowed down: by cooldown, stabilization and steps, in this order; the first that stops it says so. */
export function slowDown(policy: Policy, state: PolicyState, from: number, wanted: number, nowMs: number): Limited {
  if (wanted === from) return { replicas: from };
  const cooling = cooldown(policy, state, from, wanted, nowMs);
  if (cooling !== undefined) return { replicas: from, heldBack: cooling };
  const stable = stabilize(policy, state, from, wanted, nowMs);
  if (stable.replicas === from) return stable;
  const stepped = limitStep(policy, state, from, stable.replicas, nowMs);
  return stepped.heldBack === undefined ? { ...stable, replicas: stepped.replicas } : stepped;
}

function cooldown(
  policy: Policy,
  state: PolicyState,
  from: number,
  wanted: number,
  nowMs: number,
): HeldBack | undefined {
  const up = wanted > from;
  const behavior = up ? policy.behavior.scale_up : policy.behavior.scale_down;
  const last = up ? state.last_scale_up_at : state.last_scale_down_at;
  const seconds = behavior?.cooldown_seconds ?? policy.cooldown_seconds;
  if (last === null) return undefined;
  const untilMs = Date.parse(last) + seconds * 1_000;
  // a time that lies ahead comes from a clock that was wrong: it cannot hold back longer than a cooldown
  if (untilMs <= nowMs || Date.parse(last) > nowMs) return undefined;
  const message = `${from} -> ${wanted}: the last scale-${up ? "up" : "down"} was ${formatDuration(nowMs - Date.parse(last))} ago, cooldown is ${formatDuration(seconds * 1_000)}`;
  return { by: "cooldown", message, until: iso(untilMs) };
}

/** The least drastic of what was wanted within the window of the direction. */
function stabilize(policy: Policy, state: PolicyState, from: number, wanted: number, nowMs: number): Limited {
  const up = wanted > from;
  const behavior = up ? policy.behavior.scale_up : policy.behavior.scale_down;
  const windowMs = (behavior?.stabilization_window_seconds ?? 0) * 1_000;
  if (windowMs === 0) return { replicas: wanted };
  let replicas = wanted;
  let lastMs = 0;
  for (const one of state.recommendations) {
    const atMs = Date.parse(one.at);
    if (atMs <= nowMs - windowMs || atMs > nowMs) continue;
    const lessDrastic = up ? one.replicas < wanted : one.replicas > wanted;
    if (!lessDrastic) continue;
    lastMs = Math.max(lastMs, atMs);
    replicas = up ? Math.min(replicas, one.replicas) : Math.max(replicas, one.replicas);
  }
  replicas = up ? Math.max(replicas, from) : Math.min(replicas, from);
  if (replicas === wanted) return { replicas };
  const message = `${from} -> ${wanted}: ${replicas} was wanted within the last ${formatDuration(windowMs)}`;
  return { replicas, heldBack: { by: "stabilization", message, until: iso(lastMs + windowMs) } };
}

/** As in the behaviour of a HorizontalPodAutoscaler: counted from where the period began; of two limits the wider holds. */
function limitStep(policy: Policy, state: PolicyState, from: number, wanted: number, nowMs: number): Limited {
  const up = wanted > from;
  const behavior = up ? policy.behavior.scale_up : policy.behavior.scale_down;
  const { max_replicas_per_period: count, max_percent_per_period: percent } = behavior ?? {};
  if (count === undefined && percent === undefined) return { replicas: wanted };
  const periodMs = (behavior?.period_seconds ?? 60) * 1_000;
  const recent = state.changes.filter(({ at }) => Date.parse(at) > nowMs - periodMs && Date.parse(at) <= nowMs);
  const began = Math.max(
    0,
    recent.reduce((sum, change) => sum - (change.to - change.from), from),
  );
  const limits = [
    ...(count === undefined ? [] : [up ? began + count : began - count]),
    ...(percent === undefined
      ? []
      : [up ? Math.ceil((began * (100 + percent)) / 100) : Math.floor((began * (100 - percent)) / 100)]),
  ];
  // a percentage of nothing would be nothing for ever
  const widest = up ? Math.max(...limits, 1) : Math.max(0, Math.min(...limits));
  const replicas = up ? Math.max(from, Math.min(wanted, widest)) : Math.min(from, Math.max(wanted, widest));
  if (replicas === wanted) return { replicas };
  const first = recent[0];
  const until = first === undefined ? {} : { until: iso(Date.parse(first.at) + periodMs) };
  const message = `${from} -> ${wanted}: at most ${widest} within ${formatDuration(periodMs)}`;
  return { replicas, heldBack: { by: "step", message, ...until } };
}

/** What is kept of what was wanted: only where a window asks for it; runs of one count as one. */
export function recommend(
  policy: Policy,
  former: PolicyState["recommendations"],
  replicas: number,
  nowMs: number,
): PolicyState["recommendations"] {
  const { scale_up: up, scale_down: down } = policy.behavior;
  const seconds = Math.max(up?.stabilization_window_seconds ?? 0, down?.stabilization_window_seconds ?? 0);
  if (seconds === 0) return [];
  const oldest = nowMs - Math.min(MAX_WINDOW_MS, seconds * 1_000);
  const kept = former.filter(({ at }) => Date.parse(at) > oldest && Date.parse(at) <= nowMs);
  if (kept.at(-1)?.replicas === replicas) kept.pop();
  return [...kept, { at: iso(nowMs), replicas }].slice(-MAX_RECOMMENDATIONS);
}

export function recordChange(
  former: PolicyState["changes"],
  from: number,
  to: number,
  nowMs: number,
): PolicyState["changes"] {
  const kept = former.filter(({ at }) => Date.parse(at) > nowMs - MAX_PERIOD_MS);
  return [...kept, { at: iso(nowMs), from, to }].slice(-MAX_CHANGES);
}
