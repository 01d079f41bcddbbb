/**
 * What KubeElasti 0.1.30 leaves in a cluster, as far as whoever takes over meets it: its CustomResourceDefinition, the objects that it
 * makes for a service, its operator's Deployment (which here has a pod and does nothing), and its resolver, played by a few lines.
 */
import { randomBytes } from "node:crypto";
import { setTimeout as pause } from "node:timers/promises";
import { API_VERSION, type ElastiService, FINALIZER, KIND, privateServiceName, resolverSliceName } from "@elasti/api";
import {
  answeredStatus,
  type Deployment,
  type EndpointSlice,
  isNotFound,
  type KubeClient,
  type KubeObject,
  type Pod,
  resources,
  type Service,
} from "@elasti/kube";
import { request } from "../e2e/client.ts";
import { images } from "./images.ts";

/** Another one for each run: the last one's may still be going. */
export const otherNamespace = `kubeelasti-${randomBytes(3).toString("hex")}`;
const operatorName = "elasti-operator-controller-manager";
const text = { type: "string" };
const nameAndType = { type: "object", required: ["name", "type"], properties: { name: text, type: text } };

/** Its definition: fewer fields, no phase, owned by a Helm release. */
export function otherDefinition(): KubeObject {
  const spec = {
    type: "object",
    required: ["scaleTargetRef", "service"],
    properties: {
      autoscaler: nameAndType,
      cooldownPeriod: { type: "integer", format: "int32", default: 900, minimum: 0, maximum: 604_800 },
      minTargetReplicas: { type: "integer", format: "int32", minimum: 1 },
      scaleTargetRef: {
        type: "object",
        required: ["apiVersion", "kind", "name"],
        properties: { apiVersion: text, kind: text, name: text },
      },
      service: text,
      triggers: {
        type: "array",
        items: {
          type: "object",
          required: ["type"],
          properties: { metadata: { "x-kubernetes-preserve-unknown-fields": true }, type: text },
        },
      },
    },
  };
  const time = { type: "string", format: "date-time" };
  const status = { type: "object", properties: { lastReconciledTime: time, lastScaledUpTime: time, mode: text } };
  return {
    apiVersion: "apiextensions.k8s.io/v1",
    kind: "CustomResourceDefinition",
    metadata: {
      name: "elastiservices.elasti.truefoundry.com",
      labels: { "app.kubernetes.io/managed-by": "Helm" },
      annotations: { "meta.helm.sh/release-name": "elasti", "meta.helm.sh/release-namespace": otherNamespace },
    },
    spec: {
      group: "elasti.truefoundry.com",
      scope: "Namespaced",
      names: { kind: KIND, listKind: `${KIND}List`, plural: "elastiservices", singular: "elastiservice" },
      versions: [
        {
          name: "v1alpha1",
          served: true,
          storage: true,
          subresources: { status: {} },
          schema: { openAPIV3Schema: { type: "object", properties: { spec, status } } },
        },
      ],
    },
  } as KubeObject;
}

/** Puts a definition in place of whichever there is, and waits until the API server goes by it. */
export async function define(client: KubeClient, crd: KubeObject): Promise<void> {
  try {
    const { metadata } = await client.get(resources.customResourceDefinitions, undefined, crd.metadata.name);
    const { resourceVersion } = metadata;
    await client.replace(resources.customResourceDefinitions, {
      ...crd,
      metadata: { ...crd.metadata, resourceVersion: resourceVersion! },
    });
  } catch (error) {
    if (!isNotFound(error)) throw error;
    await client.create(resources.customResourceDefinitions, crd);
  }
  // established and served are two things, and a change of the schema restarts the storage
  const signal = AbortSignal.timeout(30_000);
  for (;;) {
    try {
      await client.list(resources.elastiServices, { signal });
      return;
    } catch (error) {
      if (signal.aborted || !(isNotFound(error) || answeredStatus(error) === 429)) throw error;
      await pause(100, undefined, { signal });
    }
  }
}

/** Its resolver's way with a request: it waits until the target answers under the private Service's name. */
const resolverProgram = `
const http = require("node:http");
let waiting = 0;
http.createServer((request, response) => {
  waiting += 1;
  response.on("close", () => (waiting -= 1));
  const ask = () => {
    const target = http.request({ host: process.env.PRIVATE, port: 8080, path: request.url, method: request.method, timeout: 500 });
    target.on("timeout", () => target.destroy(new Error("timeout")));
    target.on("error", () => setTimeout(ask, 200));
    target.on("response", (answer) => {
      response.writeHead(answer.statusCode, answer.headers);
      answer.pipe(response);
    });
    target.end();
  };
  ask();
}).listen(8012);
http.createServer((request, response) => response.end(JSON.stringify({ queueStatus: waiting > 0 ? 1 : 0 }))).listen(8013);
`;

/** Resolves once a resolver of its says whether requests wait there, as asked. */
export async function otherQueue(resolver: Pod, waits: boolean): Promise<void> {
  const path = "/queue-status?namespace=default&service=asleep";
  for (;;) {
    const { text: said } = await request({ host: resolver.status?.podIP ?? "", port: 8013, path });
    if ((JSON.parse(said) as { queueStatus: number }).queueStatus === (waits ? 1 : 0)) return;
    await pause(50);
  }
}

/** Its operator, which here does nothing, under its own name and image. */
export function otherOperator(): Deployment {
  return deployment(operatorName, {
    name: "manager",
    image: "tfy.jfrog.io/tfy-images/elasti-operator:0.1.30",
    imagePullPolicy: "Never",
    command: ["/manager"],
    env: [{ name: "POLLING_INTERVAL", value: "30" }],
  });
}

/** Its resolver. @param address of the private Service of the one that sleeps */
export function otherResolver(address: string): Deployment {
  return deployment("elasti-resolver", {
    name: "proxy",
    image: images.node,
    imagePullPolicy: "Never",
    command: ["/usr/local/bin/node", "-e", resolverProgram],
    env: [{ name: "PRIVATE", value: address }],
    readinessProbe: { tcpSocket: { port: 8012 }, periodSeconds: 1 },
  });
}

function deployment(name: string, container: object): Deployment {
  const labels = { "control-plane": "controller-manager", app: name };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace: otherNamespace, labels },
    spec: {
      replicas: 1,
      selector: { matchLabels: labels },
      template: {
        metadata: { labels },
        spec: { terminationGracePeriodSeconds: 0, containers: [container] },
      },
    },
  } as Deployment;
}

export async function stopOtherOperator(client: KubeClient): Promise<void> {
  await client.patch(
    resources.deployments,
    otherNamespace,
    operatorName,
    "merge",
    { spec: { replicas: 0 } },
    {
      subresource: "scale",
    },
  );
}

/** An ElastiService as it stands there: its finalizer, its mode, and the private Service, a copy with an address of its own. */
export async function otherService(client: KubeClient, service: Service, mode: "proxy" | "serve"): Promise<Service> {
  const { name, namespace = "default", labels } = service.metadata;
  const es = await client.create<ElastiService>(resources.elastiServices, {
    apiVersion: API_VERSION,
    kind: KIND,
    metadata: { name, namespace, finalizers: [FINALIZER] },
    spec: {
      service: name,
      minTargetReplicas: 1,
      cooldownPeriod: 900,
      scaleTargetRef: { apiVersion: "apps/v1", kind: "deployments", name },
      triggers: [
        {
          type: "prometheus",
          metadata: { serverAddress: "http://prometheus.monitoring:9090", query: "up", threshold: "0.5" },
        },
      ],
    },
  });
  const status = { mode, lastReconciledTime: new Date().toISOString() };
  await client.patch(resources.elastiServices, namespace, name, "merge", { status }, { subresource: "status" });
  return await client.create<Service>(resources.services, {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: privateServiceName(name),
      namespace,
      ...(labels === undefined ? {} : { labels }),
      ownerReferences: [
        {
          apiVersion: API_VERSION,
          kind: KIND,
          name,
          uid: es.metadata.uid!,
          controller: true,
          blockOwnerDeletion: true,
        },
      ],
    },
    spec: { selector: service.spec.selector!, ports: service.spec.ports! },
  });
}

/** Its slice: the first port only, no conditions, no owner. */
export async function otherSlice(client: KubeClient, service: Service, resolver: Pod): Promise<void> {
  const { name, namespace = "default" } = service.metadata;
  await client.create<EndpointSlice>(resources.endpointSlices, {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: { name: resolverSliceName(name), namespace, labels: { "kubernetes.io/service-name": name } },
    addressType: "IPv4",
    endpoints: [{ addresses: [resolver.status?.podIP ?? ""] }],
    ports: [{ name: service.spec.ports?.[0]?.name ?? "", protocol: "TCP", port: 8012 }],
  });
}
