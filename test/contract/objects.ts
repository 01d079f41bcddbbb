import type { ConfigMap, Deployment, KubeObject, Resource, Service } from "@elasti/kube";
import { resources } from "@elasti/kube";
import type { Contract } from "./server.ts";

export const statefulSets: Resource = {
  group: "apps",
  version: "v1",
  plural: "statefulsets",
  kind: "StatefulSet",
  namespaced: true,
};

export const secrets: Resource = { group: "", version: "v1", plural: "secrets", kind: "Secret", namespaced: true };

/** No container is ever made of it: the name leads nowhere. */
const image = "contract.invalid/none:1";

export function configMap(namespace: string, name: string, data: Record<string, string> = {}): ConfigMap {
  return { apiVersion: "v1", kind: "ConfigMap", metadata: { name, namespace }, data };
}

export function deployment(namespace: string, name: string, replicas: number): Deployment {
  const labels = { app: name };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name, namespace },
    spec: {
      replicas,
      selector: { matchLabels: labels },
      // never scheduled anywhere: only the objects matter
      template: {
        metadata: { labels },
        spec: { nodeName: "nowhere", terminationGracePeriodSeconds: 0, containers: [{ name: "app", image }] },
      },
    },
  };
}

export function statefulSet(namespace: string, name: string, replicas: number): KubeObject {
  const { spec, ...rest } = deployment(namespace, name, replicas);
  return {
    ...rest,
    kind: "StatefulSet",
    spec: { ...spec, serviceName: name, podManagementPolicy: "Parallel" },
  } as KubeObject;
}

export function service(namespace: string, name: string, spec: Partial<Service["spec"]> = {}): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: { selector: { app: name }, ports: [{ name: "http", port: 80, targetPort: 8080, protocol: "TCP" }], ...spec },
  };
}

/** A pod on a node without a kubelet, so that its status is for the test to write. */
export function pod(namespace: string, name: string, labels: Record<string, string>, nodeName = "nowhere"): KubeObject {
  const container = { name: "app", image, ports: [{ name: "http", containerPort: 8080 }] };
  const spec = { nodeName, containers: [container] };
  return { apiVersion: "v1", kind: "Pod", metadata: { name, namespace, labels }, spec } as KubeObject;
}

/** A Node that is a name alone: the EndpointSlice controller leaves out pods whose Node is not there. */
export async function bareNode({ client, namespace, cleanup }: Contract): Promise<string> {
  const node = { apiVersion: "v1", kind: "Node", metadata: { name: namespace }, spec: { unschedulable: true } };
  await client.create(resources.nodes, node as KubeObject);
  cleanup(() => client.delete(resources.nodes, undefined, namespace));
  return namespace;
}

/** A definition whose name is the test's own, so that tests do not share it; cluster-wide, so the test removes it. */
export interface Definition {
  readonly crd: KubeObject;
  readonly resource: Resource;
  readonly apiVersion: string;
}

export function definition(
  namespace: string,
  schema: object,
  options: { subresources?: object; kind?: string } = {},
): Definition {
  const group = `${namespace}.contract.example`;
  const { kind = "Widget", subresources } = options;
  const plural = `${kind.toLowerCase()}s`;
  return {
    apiVersion: `${group}/v1`,
    resource: { group, version: "v1", plural, kind, namespaced: true },
    crd: {
      apiVersion: "apiextensions.k8s.io/v1",
      kind: "CustomResourceDefinition",
      metadata: { name: `${plural}.${group}` },
      spec: {
        group,
        scope: "Namespaced",
        names: { plural, kind, singular: kind.toLowerCase(), listKind: `${kind}List` },
        versions: [
          {
            name: "v1",
            served: true,
            storage: true,
            schema: { openAPIV3Schema: schema },
            ...(subresources === undefined ? {} : { subresources }),
          },
        ],
      },
    } as KubeObject,
  };
}

/** A kind with `spec.replicas` and a scale subresource. */
export function scalable(namespace: string): Definition {
  const schema = {
    type: "object",
    properties: {
      spec: { type: "object", properties: { replicas: { type: "integer" }, note: { type: "string" } } },
      status: { type: "object", properties: { replicas: { type: "integer" }, selector: { type: "string" } } },
    },
  };
  const scale = {
    specReplicasPath: ".spec.replicas",
    statusReplicasPath: ".status.replicas",
    labelSelectorPath: ".status.selector",
  };
  return definition(namespace, schema, { subresources: { status: {}, scale } });
}

/** Creates a definition and waits until its kind is served. */
export async function install({ client, cleanup }: Contract, { crd, resource }: Definition): Promise<void> {
  await client.create(resources.customResourceDefinitions, crd);
  cleanup(() => client.delete(resources.customResourceDefinitions, undefined, crd.metadata.name));
  for await (const { object } of client.watch<
    KubeObject & { status?: { conditions?: { type: string; status: string }[] } }
  >(resources.customResourceDefinitions, {
    fieldSelector: `metadata.name=${crd.metadata.name}`,
    signal: AbortSignal.timeout(30_000),
  })) {
    if (object.status?.conditions?.some(({ type, status }) => type === "Established" && status === "True")) break;
  }
  // established and served are two things: the handler is put in place a moment later
  for (let tries = 0; tries < 100; tries += 1) {
    try {
      await client.list(resource, { namespace: "default" });
      return;
    } catch {
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  }
  throw new Error(`${crd.metadata.name} is not served`);
}
