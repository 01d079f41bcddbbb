import { createHash } from "node:crypto";
import {
  keyOf,
  type Route,
  resolverSliceName,
  SERVICE_LABEL,
  SERVICE_NAME_LABEL,
  SLICE_MANAGED_BY_LABEL,
  SLICE_MANAGER,
} from "@elasti/api";
import type { Endpoint, EndpointSlice, Service } from "@elasti/kube";
import type { AddressFamily, ResolverEndpoint } from "./resolver-set.ts";

export interface SliceInput {
  readonly service: Service;
  readonly routes: readonly Route[];
  /** All resolvers that Kubernetes lists. */
  readonly resolvers: readonly ResolverEndpoint[];
  /** The ports that a resolver says it listens on; undefined for one that has no session with this replica. */
  readonly portsOf: (resolver: string) => ReadonlySet<number> | undefined;
  /** Our slices of this Service as they are now: a resolver without a session keeps the place that it has. */
  readonly existing: readonly EndpointSlice[];
  /** Resolvers per service; fewer where there are no more. */
  readonly size?: number;
}

export interface DesiredSlices {
  /** One per address family that the Service and its resolvers share; empty when no resolver listens. */
  readonly slices: EndpointSlice[];
  /** Names of the resolvers that they list. */
  readonly resolvers: string[];
}

const defaultSize = 3;

/** The EndpointSlices that lead a Service to its resolvers. Pure: equal input gives equal slices. */
export function desiredSlices(input: SliceInput): DesiredSlices {
  const { service, routes, existing, portsOf } = input;
  const { namespace = "", name } = service.metadata;
  if (routes.length === 0) return { slices: [], resolvers: [] };
  const families = service.spec.ipFamilies ?? ["IPv4"];
  const listed = new Set(existing.flatMap(({ endpoints }) => endpoints ?? []).flatMap(({ addresses }) => addresses));
  const ready = input.resolvers.filter(
    (resolver) =>
      resolver.ready && !resolver.terminating && families.some((family) => resolver.addresses[family] !== undefined),
  );
  const opens = ({ id }: ResolverEndpoint, wanted: readonly Route[]): boolean =>
    wanted.every(({ resolverPort }) => portsOf(id)?.has(resolverPort) === true);
  // a port that the Service has just gained, and that nobody listens on yet, must not take away the way to its others
  const standing = new Set(existing.flatMap(({ ports }) => ports ?? []).map(({ port }) => port));
  const led = ready.some((resolver) => opens(resolver, routes))
    ? routes
    : routes.filter(({ resolverPort }) => standing.has(resolverPort));
  if (led.length === 0) return { slices: [], resolvers: [] };
  const eligible = ready.filter((resolver) => {
    // sessions break when an operator restarts; that must not take a working way from those who sleep
    if (portsOf(resolver.id) === undefined)
      return Object.values(resolver.addresses).some((address) => listed.has(address));
    return opens(resolver, led);
  });
  const chosen = rendezvous(keyOf(namespace, name), eligible, input.size ?? defaultSize);
  const slices = families.flatMap((family) => sliceOf(service, led, chosen, family));
  return { slices, resolvers: chosen.map(({ id }) => id) };
}

/**
 * The `size` resolvers with the highest hash for this service, by name. A resolver that comes or goes moves only the services
 * that it takes or had.
 */
export function rendezvous(service: string, resolvers: readonly ResolverEndpoint[], size: number): ResolverEndpoint[] {
  return resolvers
    .map((resolver) => ({ resolver, weight: weightOf(service, resolver.id) }))
    .sort((a, b) => b.weight - a.weight || (a.resolver.id < b.resolver.id ? -1 : 1))
    .slice(0, size)
    .map(({ resolver }) => resolver)
    .sort((a, b) => (a.id < b.id ? -1 : 1));
}

const weightOf = (service: string, resolver: string): number =>
  createHash("sha256").update(`${service} ${resolver}`).digest().readUIntBE(0, 6);

function sliceOf(
  service: Service,
  routes: readonly Route[],
  resolvers: readonly ResolverEndpoint[],
  family: AddressFamily,
): EndpointSlice[] {
  const endpoints = resolvers.flatMap((resolver): Endpoint[] => {
    const address = resolver.addresses[family];
    if (address === undefined) return [];
    // no targetRef: its pod is in another namespace than the Service, and consumers would look for it here
    return [
      {
        addresses: [address],
        conditions: { ready: true, serving: true, terminating: false },
        ...(resolver.node === undefined ? {} : { nodeName: resolver.node }),
        ...(resolver.zone === undefined ? {} : { zone: resolver.zone }),
      },
    ];
  });
  if (endpoints.length === 0) return [];
  const { namespace, name, uid } = service.metadata;
  return [
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: {
        name: resolverSliceName(name, family),
        ...(namespace === undefined ? {} : { namespace }),
        labels: { [SERVICE_NAME_LABEL]: name, [SLICE_MANAGED_BY_LABEL]: SLICE_MANAGER, [SERVICE_LABEL]: name },
        ...(uid === undefined ? {} : { ownerReferences: [{ apiVersion: "v1", kind: "Service", name, uid }] }),
      },
      addressType: family,
      endpoints,
      ports: routes.map(({ name: portName, resolverPort, protocol, appProtocol }) => ({
        name: portName ?? "",
        port: resolverPort,
        protocol,
        ...(appProtocol === undefined ? {} : { appProtocol }),
      })),
    },
  ];
}

/** Whether a slice says what it should; what the API server fills in, and foreign labels, make no difference. */
export function sliceMatches(existing: EndpointSlice, desired: EndpointSlice): boolean {
  const wanted = desired.metadata;
  const has = existing.metadata;
  return (
    has.name === wanted.name &&
    has.namespace === wanted.namespace &&
    existing.addressType === desired.addressType &&
    Object.entries(wanted.labels ?? {}).every(([key, value]) => has.labels?.[key] === value) &&
    (wanted.ownerReferences ?? []).every(({ uid }) => has.ownerReferences?.some((owner) => owner.uid === uid)) &&
    canonical(existing) === canonical(desired)
  );
}

/** Whether our slices of a Service are exactly the desired ones. */
export function slicesMatch(existing: readonly EndpointSlice[], desired: readonly EndpointSlice[]): boolean {
  return (
    existing.length === desired.length &&
    desired.every((want) =>
      existing.some((slice) => slice.metadata.name === want.metadata.name && sliceMatches(slice, want)),
    )
  );
}

function canonical({ endpoints, ports }: EndpointSlice): string {
  const endpointText = (endpoints ?? []).map(({ addresses, conditions, nodeName, zone, targetRef }) => {
    const { ready = true, terminating = false } = conditions ?? {};
    const { serving = ready } = conditions ?? {};
    return JSON.stringify([addresses, ready, serving, terminating, nodeName ?? "", zone ?? "", targetRef?.name ?? ""]);
  });
  const portText = (ports ?? []).map(({ name, port, protocol, appProtocol }) =>
    JSON.stringify([name ?? "", port, protocol ?? "TCP", appProtocol ?? ""]),
  );
  return JSON.stringify([endpointText.sort(), portText.sort()]);
}
