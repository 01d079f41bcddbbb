import { isConflict, isNotFound, type KubeClient } from "@elasti/kube";
import {
  type AutoscalerObject,
  boundsKindOf,
  boundsMovedBy,
  boundsStateOf,
  isTouchedBesidePolicy,
  restoredBounds,
  writeBounds,
} from "@elasti/scaling";

/** Writes of one autoscaler: its controllers write status now and then. */
const maxAttempts = 5;

/** Whether the bounds, or the pin, of a policy stand on an autoscaler. */
export const hasPolicyBounds = ({ metadata }: AutoscalerObject): boolean =>
  boundsMovedBy(metadata.annotations) !== undefined;

/** Whether what a sleep has told an autoscaler stands on it. */
export const isToldOfSleep = ({ metadata }: AutoscalerObject): boolean => isTouchedBesidePolicy(metadata.annotations);

/**
 * Gives an autoscaler back the bounds, and the pin, that it had before any policy; what somebody has changed since is theirs. May be
 * done again, and is nothing where none of a policy's stand or the autoscaler is gone. A pause of Elasti goes first: it may have the
 * pin among what it puts back.
 * @param seen as it was read; where it has changed since it is read again
 * @throws what the API server says
 */
export async function restoreFormerBounds(
  client: Pick<KubeClient, "get" | "patch">,
  seen: AutoscalerObject,
): Promise<void> {
  const { namespace, name } = seen.metadata;
  const { resource } = boundsKindOf(seen);
  let object = seen;
  try {
    for (let attempt = 1; ; attempt += 1) {
      const change = restoredBounds(boundsStateOf(object));
      if (change === undefined) return;
      try {
        await writeBounds(client, object, change);
        return;
      } catch (error) {
        if (!isConflict(error) || attempt === maxAttempts) throw error;
      }
      object = await client.get<AutoscalerObject>(resource, namespace, name);
    }
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}
