import { SERVICE_NAME_LABEL, SLICE_MANAGED_BY_LABEL } from "@elasti/api";
import type { Endpoint, EndpointSlice, Pod, Service } from "@elasti/kube";

export const SLICE_MANAGER = "endpointslice-controller.k8s.io";

const HEADLESS_LABEL = "service.kubernetes.io/headless";

type SlicePort = EndpointSlice["ports"][number];

/** Endpoints that share their ports make one slice. */
export interface WantedSlice {
  ports: SlicePort[];
  endpoints: Endpoint[];
}

/** What the slices of a Service should hold; one without ports and endpoints when no pod counts. */
export function wantedSlices(service: Service, pods: readonly Pod[]): WantedSlice[] {
  const slices = new Map<string, WantedSlice>();
  for (const pod of pods) {
    if (!countsAsEndpoint(pod)) continue;
    const ports = portsFor(service, pod);
    const key = JSON.stringify(ports);
    const slice = slices.get(key) ?? { ports, endpoints: [] };
    slices.set(key, slice);
    slice.endpoints.push(endpointOf(service, pod));
  }
  return slices.size > 0 ? [...slices.values()] : [{ ports: [], endpoints: [] }];
}

/** A pod of the Service's selector. A Service without selector has no pods: someone else makes its slices. */
export function selects(service: Service, pod: Pod): boolean {
  const wanted = Object.entries(service.spec.selector ?? {});
  return wanted.length > 0 && wanted.every(([key, value]) => pod.metadata.labels?.[key] === value);
}

/** The labels that the controller puts on its slices: the Service's own and three more. */
export function sliceLabels(service: Service): Record<string, string> {
  return {
    ...service.metadata.labels,
    [SERVICE_NAME_LABEL]: service.metadata.name,
    [SLICE_MANAGED_BY_LABEL]: SLICE_MANAGER,
    ...(service.spec.clusterIP === "None" ? { [HEADLESS_LABEL]: "" } : {}),
  };
}

/** Pods that have ended, and those without an address yet, are left out. */
function countsAsEndpoint({ status }: Pod): boolean {
  return status?.phase !== "Succeeded" && status?.phase !== "Failed" && (status?.podIP ?? "") !== "";
}

function endpointOf(service: Service, pod: Pod): Endpoint {
  const serving = pod.status?.conditions?.find(({ type }) => type === "Ready")?.status === "True";
  const terminating = pod.metadata.deletionTimestamp !== undefined;
  const ready = service.spec.publishNotReadyAddresses === true || (serving && !terminating);
  const { name, namespace, uid } = pod.metadata;
  return {
    addresses: [pod.status!.podIP!],
    conditions: { ready, serving, terminating },
    targetRef: {
      kind: "Pod",
      ...(namespace === undefined ? {} : { namespace }),
      name,
      ...(uid === undefined ? {} : { uid }),
    },
    ...(pod.spec.nodeName === undefined ? {} : { nodeName: pod.spec.nodeName }),
  };
}

/** The Service's ports as this pod has them; a named port that the pod does not declare is left out. */
function portsFor(service: Service, pod: Pod): SlicePort[] {
  const ports: SlicePort[] = [];
  for (const { name, port, targetPort, protocol = "TCP", appProtocol } of service.spec.ports ?? []) {
    const number = resolvePort(targetPort ?? port, protocol, pod);
    if (number === undefined) continue;
    ports.push({ name: name ?? "", port: number, protocol, ...(appProtocol === undefined ? {} : { appProtocol }) });
  }
  return ports;
}

function resolvePort(target: number | string, protocol: string, pod: Pod): number | undefined {
  if (typeof target === "number") return target;
  for (const container of pod.spec.containers) {
    const found = container.ports?.find((port) => port.name === target && (port.protocol ?? "TCP") === protocol);
    if (found !== undefined) return found.containerPort;
  }
  return undefined;
}
