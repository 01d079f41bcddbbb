import {
  type ElastiService,
  elastiServiceCrd,
  FINALIZER,
  privateServiceName,
  resolverSliceName,
  SERVICE_LABEL,
} from "@elasti/api";
import type { EndpointSlice, Pod, Service } from "@elasti/kube";
import type { ComponentState, Definition, DoctorSnapshot } from "../src/doctor/snapshot.ts";

export const nowMs = Date.UTC(2026, 0, 1, 12);
export const timeText = (agoMs: number): string => new Date(nowMs - agoMs).toISOString();

export function pod(name: string, ip: string, labels: Record<string, string> = { app: name }): Pod {
  return {
    apiVersion: "v1",
    kind: "Pod",
    metadata: { name, namespace: "system", labels },
    spec: { containers: [] },
    status: { podIPs: [{ ip }], conditions: [{ type: "Ready", status: "True" }] },
  };
}

export function slice(
  service: string,
  addresses: readonly string[],
  more: { namespace?: string; name?: string; port?: number; ours?: boolean; node?: string } = {},
): EndpointSlice {
  const { namespace = "shop", name = `${service}-x1`, port = 8080, ours = false, node } = more;
  return {
    apiVersion: "discovery.k8s.io/v1",
    kind: "EndpointSlice",
    metadata: {
      name,
      namespace,
      labels: {
        "kubernetes.io/service-name": service,
        ...(ours ? { "endpointslice.kubernetes.io/managed-by": "elasti-operator" } : {}),
      },
    },
    addressType: "IPv4",
    endpoints: addresses.map((address) => ({
      addresses: [address],
      conditions: { ready: true },
      ...(node === undefined ? {} : { nodeName: node }),
    })),
    ports: [{ name: "", port, protocol: "TCP" }],
  };
}

export const ourSlice = (addresses: readonly string[] = ["10.0.0.1", "10.0.0.2"], port = 10_000): EndpointSlice =>
  slice("web", addresses, { name: resolverSliceName("web"), port, ours: true });

export function service(name: string, spec: Partial<Service["spec"]> = {}, namespace = "shop"): Service {
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: { name, namespace },
    spec: {
      type: "ClusterIP",
      clusterIP: "10.96.0.9",
      selector: { app: name },
      ports: [{ port: 80, targetPort: 8080 }],
      ...spec,
    },
  };
}

export function privateService(spec: Partial<Service["spec"]> = {}): Service {
  const made = service(privateServiceName("web"), { clusterIP: "None", selector: { app: "web" }, ...spec });
  return { ...made, metadata: { ...made.metadata, labels: { [SERVICE_LABEL]: "web" } } };
}

function component(name: string, addresses: readonly string[]): ComponentState {
  return {
    name,
    service: service(name, { selector: { app: name } }, "system"),
    slices: [slice(name, addresses, { namespace: "system", node: "node-1" })],
    pods: addresses.map((address, index) => pod(`${name}-${index}`, address, { app: name })),
    unreachable: new Map(),
    failing: new Map(),
  };
}

export const es = (
  change: Partial<ElastiService["status"]> = {},
  spec: Partial<ElastiService["spec"]> = {},
): ElastiService => ({
  apiVersion: "elasti.truefoundry.com/v1alpha1",
  kind: "ElastiService",
  metadata: { name: "web", namespace: "shop", generation: 1, finalizers: [FINALIZER] },
  spec: {
    service: "web",
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
    triggers: [{ type: "prometheus", metadata: {} }],
    ...spec,
  },
  status: {
    phase: "Serving",
    phaseTime: timeText(60_000),
    observedGeneration: 1,
    routes: [{ port: 80, resolverPort: 10_000, protocol: "TCP" }],
    conditions: [],
    ...change,
  },
});

/** A cluster in which all is well, with one service that is awake. */
export const healthy: DoctorSnapshot = {
  nowMs,
  system: "system",
  definition: elastiServiceCrd() as unknown as Definition,
  lease: {
    apiVersion: "coordination.k8s.io/v1",
    kind: "Lease",
    metadata: { name: "elasti-operator", namespace: "system" },
    spec: { holderIdentity: "op-0_1", leaseDurationSeconds: 15, renewTime: timeText(1_000) },
  },
  leaseName: "elasti-operator",
  operator: component("elasti-operator", ["10.0.1.1", "10.0.1.2"]),
  resolver: component("elasti-resolver", ["10.0.0.1", "10.0.0.2"]),
  elastiServices: [es()],
  services: [service("web"), privateService()],
  slices: [slice("web", ["10.0.2.1"])],
  scaledObjects: [],
  replicas: new Map([["shop/web", 1]]),
  podLabels: new Map([["shop/web", { app: "web", tier: "front" }]]),
  policies: [],
  namespaces: new Map([
    ["shop", {}],
    ["system", {}],
  ]),
  nodes: ["node-1"],
  rights: [],
  triggers: [],
  kubeElasti: [],
  unread: [],
};

/** The same cluster, asleep. */
export const asleep: DoctorSnapshot = {
  ...healthy,
  elastiServices: [es({ phase: "Asleep", podsGone: true })],
  slices: [slice("web", []), ourSlice()],
  replicas: new Map([["shop/web", 0]]),
};
