import type { Endpoint, EndpointSlice, Service, ServicePort } from "@elasti/kube";

/** One address that a Service port may lead to. */
export interface Backend {
  readonly ip: string;
  readonly port: number;
  readonly nodeName: string | undefined;
}

/** Where one Service port leads to, on every node or only on the node that the connection comes from. */
export interface PortRoutes {
  readonly ip: string;
  readonly port: number;
  readonly backends: readonly Backend[];
  /** `internalTrafficPolicy: Local`: a node uses only backends of its own. */
  readonly localOnly: boolean;
}

/** The key of a listening address in routing tables. */
export function addressKey(ip: string, port: number): string {
  return `${ip}:${port}`;
}

/**
 * The routes of a Service over all its slices, whoever made them, by the rules of kube-proxy: ready endpoints; when there are none,
 * those that are terminating but still serving; the first address of each; duplicates once.
 */
export function routesOf(service: Service, slices: Iterable<EndpointSlice>): PortRoutes[] {
  const { clusterIP, type, ports = [], internalTrafficPolicy } = service.spec;
  if (clusterIP === undefined || clusterIP === "" || clusterIP === "None" || type === "ExternalName") return [];
  const own = [...slices].filter((slice) => slice.addressType === "IPv4");
  return ports
    .filter((port) => (port.protocol ?? "TCP") === "TCP")
    .map((port) => ({
      ip: clusterIP,
      port: port.port,
      backends: backendsOf(port, own),
      localOnly: internalTrafficPolicy === "Local",
    }));
}

function backendsOf(port: ServicePort, slices: readonly EndpointSlice[]): Backend[] {
  const ready = new Map<string, Backend>();
  const lastResort = new Map<string, Backend>();
  for (const slice of slices) {
    const target = (slice.ports ?? []).find(
      ({ name, protocol }) => (name ?? "") === (port.name ?? "") && (protocol ?? "TCP") === "TCP",
    );
    if (target?.port === undefined) continue;
    // a slice without endpoints comes as null from a real API server
    for (const endpoint of slice.endpoints ?? []) {
      const into = isReady(endpoint) ? ready : isServingItsLast(endpoint) ? lastResort : undefined;
      const ip = endpoint.addresses[0];
      if (into === undefined || ip === undefined) continue;
      into.set(addressKey(ip, target.port), { ip, port: target.port, nodeName: endpoint.nodeName });
    }
  }
  return [...(ready.size > 0 ? ready : lastResort).values()];
}

/** A condition that is absent counts as true, except `terminating`. */
function isReady({ conditions }: Endpoint): boolean {
  return conditions?.ready ?? true;
}

function isServingItsLast({ conditions }: Endpoint): boolean {
  return (conditions?.serving ?? true) && conditions?.terminating === true;
}
