import type { Waking } from "@elasti/api";
import type { ElastiError, ErrorFactory } from "@elasti/core";
import type { WakeFailure } from "./contracts.ts";
import { errors } from "./errors.ts";

/** What a client is answered, by the reason that the operator publishes in status.waking. */
const errorByReason: Readonly<Record<string, ErrorFactory>> = {
  QuotaExceeded: errors.ELASTI_WAKE_QUOTA,
  PodRefused: errors.ELASTI_WAKE_REFUSED,
  ImageNotFound: errors.ELASTI_WAKE_IMAGE_NOT_FOUND,
  ImagePullFailed: errors.ELASTI_WAKE_IMAGE_PULL,
  CrashLoop: errors.ELASTI_WAKE_CRASH_LOOP,
  ContainerNotCreated: errors.ELASTI_WAKE_CONTAINER,
  Unschedulable: errors.ELASTI_WAKE_UNSCHEDULABLE,
  PinnedAsleep: errors.ELASTI_PINNED_ASLEEP,
};

/** It is refused by order, and not because anything failed: whether or not a pod is there yet or still. */
export const isPinned = ({ reason, certain }: Waking): boolean => certain && reason === "PinnedAsleep";

/** It stands until its end, whether or not the operator is there to take it back. @param nowMs wall clock */
export const isOver = ({ until }: Waking, nowMs: number): boolean => until !== undefined && nowMs >= Date.parse(until);

/** The answer while a wake cannot succeed. A reason that a newer operator knows is passed on as it is. */
export function wakeError({ reason, message }: Waking): ElastiError {
  const known = Object.hasOwn(errorByReason, reason) ? errorByReason[reason] : undefined;
  return known?.(message) ?? errors.ELASTI_WAKE_FAILED(`${reason}: ${message}`);
}

/** What a wake waits for, as the last known reason of who waited in vain. @param nowMs wall clock */
export function lastKnown({ reason, message, since, certain }: Waking, nowMs: number): WakeFailure {
  const seconds = Math.max(0, Math.round((nowMs - Date.parse(since)) / 1_000));
  return { reason, detail: `${message} (for ${seconds} s)`, certain };
}
