import { errorText, type Logger } from "@elasti/core";
import { type KubeClient, resources } from "@elasti/kube";
import { type SeenEvent, timeOfEvent } from "./pod-watches.ts";

/** By these a node autoscaler says of a pod that a node is being made for it: Kubernetes' Cluster Autoscaler, Karpenter. */
const comingReasons: ReadonlySet<string> = new Set(["TriggeredScaleUp", "Nominated"]);

/**
 * When an autoscaler last said that it makes a node for a pod, wall clock in ms; undefined when none did. Asked once when
 * patience with an unschedulable pod is over. Who may not read Events is answered with undefined.
 */
export async function nodeComingAt(
  client: KubeClient,
  logger: Logger,
  pod: { readonly namespace: string; readonly name: string; readonly uid: string },
): Promise<number | undefined> {
  try {
    const { items } = await client.list<SeenEvent>(resources.events, {
      namespace: pod.namespace,
      fieldSelector: `involvedObject.uid=${pod.uid}`,
      limit: 500,
    });
    const times = items.filter(({ reason }) => comingReasons.has(reason ?? "")).map(timeOfEvent);
    return times.length === 0 ? undefined : Math.max(...times);
  } catch (error) {
    logger.warn({ namespace: pod.namespace, pod: pod.name, error: errorText(error) }, "events could not be listed");
    return undefined;
  }
}
