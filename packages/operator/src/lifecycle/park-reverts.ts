import { type ElastiService, type ParkRevert, type Phase, wantedRoutingMode } from "@elasti/api";

/** Parks that may be taken off by others before there is a long pause. */
export const parkAttempts = 2;
/** After that many reverts, how long no park is tried; then one is. */
export const parkPauseMs = 3_600_000;
/** In mode Always, where no sleep ends that could begin anew: how long after the first revert the second park is tried. */
export const parkAgainMs = 60_000;
/** Reverts of before tell nothing about who manages the Service today. */
const keptMs = 24 * 3_600_000;

/** Why the park is not tried now. */
export interface ParkBar {
  readonly revert: ParkRevert;
  /** When it may be tried again; undefined: with the next sleep. */
  readonly untilMs: number | undefined;
}

/** The reverts to keep once `revert` has come: those that are younger than a day, at most as many as decide something. */
export function withRevert(reverts: readonly ParkRevert[] | undefined, revert: ParkRevert): ParkRevert[] {
  const nowMs = Date.parse(revert.time);
  return [...(reverts ?? []).filter(({ time }) => nowMs - Date.parse(time) < keptMs), revert].slice(-parkAttempts);
}

const midSleep: readonly (Phase | undefined)[] = ["Draining", "Sealed", "Asleep", "Waking"];

/**
 * Whether the park key is not to be added to this Service now, because somebody takes it off:
 * - the sleep in which that happened goes on without it
 * - after the second time nobody tries for an hour, and then once
 * An edit of the ElastiService, or a Service that was made anew, begins anew.
 * @param serviceUid of the Service that there is now
 */
export function parkBar(
  { metadata, spec, status }: ElastiService,
  serviceUid: string | undefined,
  nowMs: number,
): ParkBar | undefined {
  const reverts = (status?.parkReverts ?? []).filter(
    ({ generation, service }) => generation === metadata.generation && service === serviceUid,
  );
  const revert = reverts.at(-1);
  if (revert === undefined) return undefined;
  const at = Date.parse(revert.time);
  const asleep = midSleep.includes(status?.phase);
  const endMs = at + parkPauseMs;
  // a sleep keeps the mode that it was begun in
  const askedMs = asleep && status?.phaseTime !== undefined ? Math.min(nowMs, Date.parse(status.phaseTime)) : nowMs;
  const stays = asleep && status?.routingMode === "EndpointSlice";
  if (reverts.length >= parkAttempts && (askedMs < endMs || stays))
    return { revert, untilMs: nowMs < endMs ? endMs : undefined };
  if (asleep && status?.drainEpoch === revert.drainEpoch) return { revert, untilMs: undefined };
  const always = wantedRoutingMode(spec) === "Always";
  return always && nowMs < at + parkAgainMs ? { revert, untilMs: at + parkAgainMs } : undefined;
}
