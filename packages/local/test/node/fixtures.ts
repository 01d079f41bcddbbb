import { readFileSync } from "node:fs";
import { silentLogger, systemClock } from "@elasti/core";
import {
  type Container,
  type Deployment,
  type EndpointSlice,
  type KubeClient,
  type Pod,
  Reflector,
  resources,
  type Service,
} from "@elasti/kube";
import type { LocalCluster } from "../../src/cluster.ts";
import { sampleAppPath } from "../../src/node/sample-app.ts";

export const signal = () => AbortSignal.timeout(10_000);

/** The sample app as a container. */
export function appContainer(env: Record<string, string> = {}): Container {
  return {
    name: "app",
    image: "local/app",
    command: ["node", sampleAppPath],
    ports: [{ name: "http", containerPort: 8080 }],
    env: [
      { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
      ...Object.entries(env).map(([name, value]) => ({ name, value })),
    ],
  };
}

/** A container that runs a shell script. */
export function shellContainer(script: string): Container {
  return { name: "app", image: "local/shell", command: ["/bin/sh", "-c", script] };
}

export function deployment(name: string, replicas: number, container: Container): Deployment {
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: "default" },
    spec: {
      replicas,
      selector: { matchLabels: { app: name } },
      template: { metadata: { labels: { app: name } }, spec: { containers: [container] } },
    },
  };
}

export function pod(name: string, container: Container, spec: Partial<Pod["spec"]> = {}): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "default", labels: { app: name } },
    spec: { containers: [container], ...spec },
  };
}

export function createService(client: KubeClient, name: string, spec: Partial<Service["spec"]> = {}): Promise<Service> {
  return client.create<Service>(resources.services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace: "default" },
    spec: { selector: { app: name }, ports: [{ port: 8080, targetPort: 8080 }], ...spec },
  });
}

/** Resolves with what `look` gives for a pod; rejects after 10 s. */
export function untilPod<V>(
  cluster: LocalCluster,
  name: string,
  look: (pod: Pod | undefined) => V | undefined,
): Promise<V> {
  return cluster.waitFor<Pod, V>(resources.pods, "default", name, look, signal());
}

/** Resolves with what `look` gives for the slices of a Service; rejects after 10 s. */
export async function untilSlices<V>(
  client: KubeClient,
  service: string,
  look: (slices: EndpointSlice[]) => V | undefined,
): Promise<V> {
  const reflector = new Reflector<EndpointSlice>({
    client,
    resource: resources.endpointSlices,
    namespace: "default",
    labelSelector: `kubernetes.io/service-name=${service}`,
    logger: silentLogger,
    clock: systemClock,
  });
  try {
    await reflector.start();
    return await reflector.store.until((store) => look(store.list()), signal());
  } finally {
    await reflector.close();
  }
}

export const containerOf = (object: Pod | undefined) => object?.status?.containerStatuses?.[0];

export const isReady = (object: Pod | undefined): boolean =>
  object?.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";

/** For `waitFor`: true once the condition holds, undefined until then. */
export const when = (holds: boolean | undefined): true | undefined => (holds === true ? true : undefined);

/** Whether a process runs; one that only waits for its parent to take note of its end does not. */
export function isRunning(pid: number): boolean {
  try {
    return !/\) [ZX] /.test(readFileSync(`/proc/${pid}/stat`, "utf8"));
  } catch {
    return false;
  }
}

/** Resolves once a process that is not ours has ended: nothing tells of that but looking. Rejects after 5 s. */
export async function untilEnded(pid: number): Promise<void> {
  const deadline = Date.now() + 5_000;
  while (isRunning(pid)) {
    if (Date.now() > deadline) throw new Error(`process ${pid} still runs`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}
