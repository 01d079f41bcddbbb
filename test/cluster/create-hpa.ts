import { type HorizontalPodAutoscaler, type KubeClient, resources } from "@elasti/kube";

/** A HorizontalPodAutoscaler of the Deployment of its name. */
export async function createHpa(
  client: KubeClient,
  name: string,
  bounds: { readonly minReplicas?: number; readonly maxReplicas: number },
  namespace = "default",
): Promise<void> {
  await client.create<HorizontalPodAutoscaler>(resources.horizontalPodAutoscalers, {
    apiVersion: "autoscaling/v2",
    kind: "HorizontalPodAutoscaler",
    metadata: { name, namespace },
    spec: { scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name }, ...bounds },
  });
}
