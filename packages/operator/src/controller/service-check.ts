import { type ElastiService, privateServiceName, SERVICE_LABEL } from "@elasti/api";
import type { Service, ServicePort } from "@elasti/kube";
import { liveSelector } from "../lifecycle/routing.ts";

/** Why a Service cannot be led to resolvers, and what to do about it. */
export interface Refusal {
  /** One word; a heading in docs/troubleshooting.md. */
  readonly reason:
    | "ServiceMissing"
    | "ExternalNameService"
    | "HeadlessService"
    | "NoSelector"
    | "NoPorts"
    | "UdpOnly"
    | "LocalTrafficPolicy";
  readonly message: string;
}

/** Worth knowing, and changes nothing. */
export interface Note {
  readonly type: "PortsSkipped" | "SharedTarget" | "UnmanagedServices";
  readonly reason: string;
  readonly message: string;
}

export type ServiceCheck =
  | { readonly ok: true; readonly ports: readonly ServicePort[]; readonly notes: readonly Note[] }
  | ({ readonly ok: false } & Refusal);

export interface ServiceQuestion {
  /** Name of the Service that is meant. */
  readonly name: string;
  readonly service: Service | undefined;
  /** Nodes with a resolver that is ready. */
  readonly resolverNodes: ReadonlySet<string>;
  /** All nodes; undefined when they are not known. */
  readonly nodes: ReadonlySet<string> | undefined;
}

/** Whether a Service can be led to resolvers, and by which of its ports. */
export function checkService({ name, service, resolverNodes, nodes }: ServiceQuestion): ServiceCheck {
  if (service === undefined)
    return refuse("ServiceMissing", `Service ${name} does not exist: create it, or correct spec.service`);
  const { spec } = service;
  if (spec.type === "ExternalName")
    return refuse(
      "ExternalNameService",
      `Service ${name} is of type ExternalName, a DNS alias without pods: name a ClusterIP Service in spec.service`,
    );
  if (spec.clusterIP === "None")
    return refuse(
      "HeadlessService",
      `Service ${name} is headless, so clients look up pods by DNS and there is no address to hold them at: name a Service with a cluster IP in spec.service`,
    );
  if (Object.keys(liveSelector(service)).length === 0)
    return refuse(
      "NoSelector",
      `Service ${name} has no selector, so its pods are not known: give it the labels of the target's pods`,
    );
  const all = spec.ports ?? [];
  if (all.length === 0) return refuse("NoPorts", `Service ${name} has no ports: give it at least one TCP port`);
  const ports = all.filter(({ protocol = "TCP" }) => protocol === "TCP");
  if (ports.length === 0)
    return refuse(
      "UdpOnly",
      `Service ${name} has no TCP port; datagrams cannot be held: add a TCP port, or leave this Service to itself`,
    );
  const local = localPolicy(service);
  if (local !== undefined) {
    const missing = nodes === undefined ? undefined : [...nodes].filter((node) => !resolverNodes.has(node));
    if (missing === undefined || missing.length > 0) {
      const mend =
        missing === undefined
          ? "where they all run is not known here: set it to Cluster"
          : `there is none on ${listOf(missing)}: set it to Cluster, or run the resolvers as a DaemonSet`;
      return refuse(
        "LocalTrafficPolicy",
        `Service ${name} has ${local}: Local, which needs a resolver on every node, and ${mend}`,
      );
    }
  }
  const skipped = all.filter((port) => !ports.includes(port));
  if (skipped.length === 0) return { ok: true, ports, notes: [] };
  const text = listOf(skipped.map(({ name: portName, port, protocol }) => `${portName ?? port}/${protocol}`));
  const message = `of Service ${name} only TCP ports lead to resolvers; while asleep nobody answers on ${text}`;
  return { ok: true, ports, notes: [{ type: "PortsSkipped", reason: "NotTcp", message }] };
}

const refuse = (reason: Refusal["reason"], message: string): ServiceCheck => ({ ok: false, reason, message });

function localPolicy({ spec }: Service): "internalTrafficPolicy" | "externalTrafficPolicy" | undefined {
  if (spec.internalTrafficPolicy === "Local") return "internalTrafficPolicy";
  const external = spec.type === "NodePort" || spec.type === "LoadBalancer";
  return external && spec.externalTrafficPolicy === "Local" ? "externalTrafficPolicy" : undefined;
}

/** The ElastiService that has a Service, of several that name it: the oldest, then the one at work, then the first by name. */
export function ownerAmong<T extends ElastiService>(candidates: readonly T[]): T | undefined {
  return candidates.toSorted(
    (a, b) =>
      compare(a.metadata.creationTimestamp ?? "", b.metadata.creationTimestamp ?? "") ||
      // of two of one second the one that is at work already keeps the Service
      Number(a.status?.phase === undefined) - Number(b.status?.phase === undefined) ||
      compare(a.metadata.name, b.metadata.name),
  )[0];
}

const compare = (a: string, b: string): number => (a < b ? -1 : a > b ? 1 : 0);

/** Says that a target is shared: it sleeps only when all may. @param others ElastiServices with the same target */
export function sharedTargetNote(others: readonly ElastiService[]): Note[] {
  if (others.length === 0) return [];
  const names = listOf(others.map(({ metadata }) => metadata.name));
  return [
    {
      type: "SharedTarget",
      reason: "SharedTarget",
      message: `the target is also that of ElastiService ${names}: it sleeps only when all of them may`,
    },
  ];
}

/**
 * Other Services by which clients reach the same pods without a resolver: they find nobody while the target sleeps.
 * @param podLabels of the target's pods
 * @param neighbours Services of the same namespace that may select them
 * @param managed whether an ElastiService names a Service
 */
export function unmanagedServicesNote(
  service: Service,
  podLabels: Readonly<Record<string, string>>,
  neighbours: readonly Service[],
  managed: (name: string) => boolean,
): Note[] {
  const own = service.metadata.name;
  const found = neighbours.filter(({ metadata: { name, labels }, spec: { type, clusterIP, ...spec } }) => {
    // a headless one is how a StatefulSet names its pods; nobody expects it to hold anything
    if (type === "ExternalName" || clusterIP === "None" || labels?.[SERVICE_LABEL] !== undefined) return false;
    const selector = Object.entries(liveSelector({ spec }));
    if (selector.length === 0 || selector.some(([key, value]) => podLabels[key] !== value)) return false;
    return name !== own && name !== privateServiceName(own) && !managed(name);
  });
  if (found.length === 0) return [];
  const names = listOf(found.map(({ metadata }) => metadata.name).sort());
  const message = `Service ${names} leads to the same pods without an ElastiService: its clients wake nobody and are refused while the target sleeps`;
  return [{ type: "UnmanagedServices", reason: "UnmanagedServices", message }];
}

/** `a, b, c and 4 more` */
function listOf(names: readonly string[]): string {
  const shown = names.slice(0, 5).join(", ");
  return names.length <= 5 ? shown : `${shown} and ${names.length - 5} more`;
}
