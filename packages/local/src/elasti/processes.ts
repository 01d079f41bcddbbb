import { type KubeClient, type Lease, type Pod, resources } from "@elasti/kube";
import { type Component, OPERATOR, RESOLVER } from "./manifests.ts";

/** One running replica of Elasti. */
export interface ElastiProcess {
  readonly component: Component;
  readonly pod: string;
  readonly node: string;
  readonly address: string;
  readonly pid: number;
}

/** The replicas that run now, operators first. */
export async function runningProcesses(client: KubeClient, namespace: string): Promise<ElastiProcess[]> {
  const { items } = await client.list<Pod>(resources.pods, { namespace });
  return items.flatMap(processOf).sort((a, b) => (a.component + a.pod < b.component + b.pod ? -1 : 1));
}

function processOf(pod: Pod): ElastiProcess[] {
  const component = pod.metadata.labels?.app;
  const pid = pidOf(pod);
  if (pid === undefined || (component !== OPERATOR && component !== RESOLVER)) return [];
  const { podIP: address = "" } = pod.status ?? {};
  return [{ component, pod: pod.metadata.name, node: pod.spec.nodeName ?? "", address, pid }];
}

/** The process of a pod's container: local nodes write `process://<pid>` as its containerID. */
export function pidOf(pod: Pod): number | undefined {
  const [status] = (pod.status?.containerStatuses ?? []) as unknown as readonly { containerID?: string }[];
  const found = /^process:\/\/(\d+)$/.exec(status?.containerID ?? "");
  return found === null ? undefined : Number(found[1]);
}

/** Pod name of the operator that holds the Lease; undefined for a Lease that nobody holds. */
export function holderOf(lease: Lease | undefined): string | undefined {
  // the identity is the pod's name and, after an underscore, which no pod name has, the run
  const [pod] = (lease?.spec.holderIdentity ?? "").split("_");
  return pod || undefined;
}
