import { type KubeClient, type KubeObject, resources } from "@elasti/kube";
import { kubeTime } from "./pod-status.ts";

/** Makes the Node object of a local node, Ready from the start. */
export async function registerNode(client: KubeClient, name: string, address: string, now: number): Promise<void> {
  const time = kubeTime(now);
  const node: KubeObject & { spec: unknown; status: unknown } = {
    apiVersion: "v1",
    kind: "Node",
    metadata: { name, labels: { "kubernetes.io/hostname": name, "kubernetes.io/os": "linux" } },
    spec: {},
    status: {
      addresses: [
        { type: "InternalIP", address },
        { type: "Hostname", address: name },
      ],
      conditions: [
        {
          type: "Ready",
          status: "True",
          reason: "KubeletReady",
          message: "the local node runs pods as processes",
          lastHeartbeatTime: time,
          lastTransitionTime: time,
        },
      ],
    },
  };
  await client.create(resources.nodes, node);
}
