import { errorText } from "@elasti/core";
import type { KubeClient } from "@elasti/kube";
import { hasPolicyBounds, restoreFormerBounds } from "@elasti/operator";
import { nameOf, type Snapshot } from "./leftovers.ts";

/** Autoscalers that are written at once. */
const concurrency = 8;

/**
 * Puts back what policies have moved of autoscalers. Done last: what a sleep has told KEDA may have a policy's pin among the
 * values that it puts back.
 * @returns why not, by the name of the object as a leftover has it
 */
export async function putBackBounds(
  client: KubeClient,
  snapshot: Snapshot,
  signal: AbortSignal,
): Promise<Map<string, string>> {
  const failures = new Map<string, string>();
  const next = [...snapshot.scaledObjects, ...(snapshot.hpas ?? [])].filter(hasPolicyBounds).values();
  const work = async (): Promise<void> => {
    for (const object of next) {
      if (signal.aborted) return;
      try {
        await restoreFormerBounds(client, object);
      } catch (error) {
        failures.set(nameOf(object), errorText(error));
      }
    }
  };
  await Promise.all(Array.from({ length: concurrency }, work));
  return failures;
}
