import { join } from "node:path";
import { defaultPorts, paths } from "@elasti/api";
import type { Container, Deployment, KubeObject, Service, ServicePort } from "@elasti/kube";

/** Names of the two Services and Deployments. */
export const OPERATOR = "elasti-operator";
export const RESOLVER = "elasti-resolver";

const packages = join(import.meta.dirname, "..", "..", "..");
const programs = {
  [OPERATOR]: join(packages, "operator", "bin", "elasti-operator.mjs"),
  [RESOLVER]: join(packages, "resolver", "bin", "elasti-resolver.mjs"),
} as const;

export type Component = keyof typeof programs;

export const namespaceManifest = (name: string): KubeObject => ({
  apiVersion: "v1",
  kind: "Namespace",
  metadata: { name },
});

/** The Services by which resolvers find operators, and operators resolvers. */
export function serviceManifests(namespace: string): Service[] {
  return [
    service(OPERATOR, namespace, [{ name: "elastiserver", port: defaultPorts.elastiserver }]),
    service(RESOLVER, namespace, [
      { name: "host", port: defaultPorts.resolverHost },
      { name: "internal", port: defaultPorts.resolverInternal },
    ]),
  ];
}

function service(name: string, namespace: string, ports: ServicePort[]): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace, labels: { app: name } },
    spec: {
      selector: { app: name },
      ports: ports.map((port) => ({ ...port, targetPort: port.port, protocol: "TCP" })),
    },
  };
}

/** A component as pods that are processes of this machine; its environment says where it stands, `env` wins. */
export function deploymentManifest(options: {
  component: Component;
  namespace: string;
  replicas: number;
  env: Readonly<Record<string, string>>;
}): Deployment {
  const { component, namespace, replicas } = options;
  const place: NonNullable<Container["env"]> = [
    { name: "POD_NAME", valueFrom: { fieldRef: { fieldPath: "metadata.name" } } },
    { name: "POD_NAMESPACE", valueFrom: { fieldRef: { fieldPath: "metadata.namespace" } } },
    { name: "POD_IP", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
    { name: "NODE_NAME", valueFrom: { fieldRef: { fieldPath: "spec.nodeName" } } },
    // every pod has an address of its own, so all may listen on the same ports
    { name: "ELASTI_BIND_ADDRESS", valueFrom: { fieldRef: { fieldPath: "status.podIP" } } },
  ];
  const internalPort = component === OPERATOR ? defaultPorts.elastiserver : defaultPorts.resolverInternal;
  const container: Container = {
    name: component,
    // required of every container; local nodes run the command instead
    image: `${component}:local`,
    command: [process.execPath, programs[component]],
    env: [
      ...place.filter(({ name }) => !(name in options.env)),
      ...Object.entries(options.env).map(([name, value]) => ({ name, value })),
    ],
    ports: [{ name: "internal", containerPort: internalPort }],
    readinessProbe: { httpGet: { path: paths.ready, port: internalPort }, periodSeconds: 1, timeoutSeconds: 2 },
  };
  return {
    apiVersion: "apps/v1",
    kind: "Deployment",
    metadata: { name: component, namespace, labels: { app: component } },
    spec: {
      replicas,
      selector: { matchLabels: { app: component } },
      template: {
        metadata: { labels: { app: component } },
        spec: { terminationGracePeriodSeconds: 30, containers: [container] },
      },
    },
  };
}
