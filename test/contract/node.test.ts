import assert from "node:assert/strict";
import { type Endpoint, type EndpointSlice, type KubeObject, type Pod, resources } from "@elasti/kube";
import { sampleAppPath } from "@elasti/local";
import { service } from "./objects.ts";
import { type Contract, isReal, on } from "./server.ts";

/** The sample app in a pod; on a node of ours its image is there, and never pulled. */
function app(namespace: string, name: string, env: Record<string, string>): KubeObject {
  const place = (field: string) => ({ valueFrom: { fieldRef: { fieldPath: field } } });
  const container = {
    name: "app",
    image: "elasti.test/node:1",
    imagePullPolicy: "Never",
    ...(isReal ? {} : { command: [process.execPath, sampleAppPath] }),
    env: [
      { name: "POD_IP", ...place("status.podIP") },
      { name: "POD_NAME", ...place("metadata.name") },
      ...Object.entries(env).map(([key, value]) => ({ name: key, value })),
    ],
    ports: [{ name: "http", containerPort: 8080 }],
    readinessProbe: { httpGet: { path: "/healthz", port: 8080 }, periodSeconds: 1 },
  };
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace, labels: { app: "web" } },
    spec: { containers: [container], terminationGracePeriodSeconds: 20 },
  } as KubeObject;
}

const endpointOf = (slices: readonly EndpointSlice[], of: string): Endpoint | undefined =>
  slices.find(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === of)?.endpoints?.[0];

const conditionsOf = ({ conditions: { ready, serving, terminating } = {} }: Endpoint): string =>
  [ready && "ready", serving && "serving", terminating && "terminating"].filter(Boolean).join(" ") || "none";

/** What the endpoint of a Service goes through until it is gone, each once; `since` says that it has begun. */
async function course({ untilAll }: Contract, of: string): Promise<string[]> {
  const seen: string[] = [];
  await untilAll<EndpointSlice, true>(resources.endpointSlices, (slices) => {
    const endpoint = endpointOf(slices, of);
    const now = endpoint === undefined ? "gone" : conditionsOf(endpoint);
    if (now === "gone" && seen.length === 0) return undefined;
    if (seen.at(-1) !== now) seen.push(now);
    return now === "gone" || undefined;
  });
  return seen;
}

const conditionOf = (pod: Pod | undefined, type: string) =>
  pod?.status?.conditions?.find((condition) => condition.type === type)?.status;

on("node", "a pod is published before it is ready, serves while it terminates, and goes", async (contract) => {
  const { client, namespace, until, untilAll } = contract;
  await client.create(resources.services, service(namespace, "web"));
  await client.create(
    resources.services,
    service(namespace, "private", { clusterIP: "None", selector: { app: "web" } }),
  );
  const courses = ["web", "private"].map((of) => course(contract, of));
  await client.create(resources.pods, app(namespace, "a", { START_MS: "1500", STOP_DELAY_MS: "2500" }));
  const early = await untilAll<EndpointSlice, Endpoint>(resources.endpointSlices, (slices) =>
    endpointOf(slices, "private"),
  );
  const pod = await until<Pod, Pod>(resources.pods, "a", (one) => (one?.status?.podIP === undefined ? undefined : one));
  assert.deepEqual(early.addresses, [pod.status?.podIP]);
  assert.deepEqual([early.targetRef?.kind, early.targetRef?.name, early.nodeName], ["Pod", "a", pod.spec.nodeName]);
  assert.equal(conditionOf(pod, "PodScheduled"), "True");
  const ready = await until<Pod, Pod>(resources.pods, "a", (one) =>
    conditionOf(one, "Ready") === "True" ? one : undefined,
  );
  const [container] = ready.status?.containerStatuses ?? [];
  assert.deepEqual(
    [ready.status?.phase, container?.ready, container?.started, container?.restartCount],
    ["Running", true, true, 0],
  );
  await untilAll<EndpointSlice, true>(
    resources.endpointSlices,
    (slices) => endpointOf(slices, "web")?.conditions?.ready || undefined,
  );
  await client.delete(resources.pods, namespace, "a");
  await until<Pod, true>(resources.pods, "a", (one) => one === undefined || undefined);
  for (const one of await Promise.all(courses)) {
    // ready never comes back once it terminates; whether it is seen not serving at the end is a matter of moments
    assert.deepEqual(one.slice(0, 3), ["none", "ready serving", "serving terminating"]);
    assert.ok(["gone", "terminating,gone"].includes(one.slice(3).join()), one.join());
  }
});

on(
  "node",
  "a container that ends at once is restarted, and waits as CrashLoopBackOff with its exit code",
  async (contract) => {
    const { client, namespace, until } = contract;
    const pod = app(namespace, "a", {}) as KubeObject & { spec: { containers: object[] } };
    Object.assign(pod.spec.containers[0]!, {
      command: [isReal ? "/usr/local/bin/node" : process.execPath, "-e", "process.exit(7)"],
    });
    await client.create(resources.pods, pod);
    const waiting = await until<Pod, Pod>(resources.pods, "a", (one) => {
      const [status] = one?.status?.containerStatuses ?? [];
      return status?.state?.waiting?.reason === "CrashLoopBackOff" ? one : undefined;
    });
    const [status] = waiting.status?.containerStatuses ?? [];
    assert.equal(status?.lastState?.terminated?.exitCode, 7);
    assert.ok((status?.restartCount ?? 0) >= 1);
    assert.equal(conditionOf(waiting, "Ready"), "False");
  },
);

on("node", "an image that is not there and may not be pulled is said in the container's state", async (contract) => {
  const { client, namespace, until } = contract;
  const pod = app(namespace, "a", {}) as KubeObject & { spec: { containers: Record<string, unknown>[] } };
  const [container] = pod.spec.containers;
  container!.image = "elasti.test/nothing:1";
  delete container!.command;
  await client.create(resources.pods, pod);
  const reason = await until<Pod, string>(
    resources.pods,
    "a",
    (one) => one?.status?.containerStatuses?.[0]?.state?.waiting?.reason,
  );
  assert.match(reason, /^(ContainerCreating|ErrImageNeverPull)$/);
  await until<Pod, true>(resources.pods, "a", (one) =>
    one?.status?.containerStatuses?.[0]?.state?.waiting?.reason === "ErrImageNeverPull" ? true : undefined,
  );
});
