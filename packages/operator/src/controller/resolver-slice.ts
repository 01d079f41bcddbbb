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
import { type ServedPorts, serves } from "./served-routes.ts";

export interface SliceInput {
  readonly service: Service;
  readonly routes: readonly Route[];
  /** All resolvers that Kubernetes lists. */
  readonly resolvers: readonly ResolverEndpoint[];
  /** What a resolver says of its ports; undefined for one that has no session with this replica. */
  readonly servedBy: (resolver: string) => ServedPorts | undefined;
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

/**
 * The EndpointSlices that lead a Service to its resolvers: to those that serve this very Service on each of the ports. Pure:
 * equal input gives equal slices.
 */
export function desiredSlices(input: SliceInput): DesiredSlices {
  const { service, routes, existing, servedBy } = input;
  const { namespace = "", name } = service.metadata;
  const key = keyOf(namespace, name);
  if (routes.length === 0) return { slices: [], resolvers: [] };
  const families = service.spec.ipFamilies ?? ["IPv4"];
  const ready = input.resolvers.filter(
    (resolver) =>
      resolver.ready && !resolver.terminating && families.some((family) => resolver.addresses[family] !== undefined),
  );
  const servesAll = ({ id }: ResolverEndpoint, wanted: readonly Route[]): boolean => {
    const served = servedBy(id);
    return served !== undefined && wanted.every((route) => serves(served, key, route));
  };
  // a port that the Service has just gained, or got another one for, must not take away the way that there is
  const led = ready.some((resolver) => servesAll(resolver, routes)) ? routes : standing(routes, existing);
  if (led.length === 0) return { slices: [], resolvers: [] };
  const eligible = ready.filter((resolver) =>
    // sessions break when an operator restarts; that must not take a working way from those who sleep
    servedBy(resolver.id) === undefined ? isListed(resolver, led, existing) : servesAll(resolver, led),
  );
  const chosen = rendezvous(key, eligible, input.size ?? defaultSize);
  const slices = families.flatMap((family) => sliceOf(service, led, chosen, family));
  return { slices, resolvers: chosen.map(({ id }) => id) };
}

/** The routes as slices lead them now, and only those that they lead. */
function standing(routes: readonly Route[], existing: readonly EndpointSlice[]): Route[] {
  const ports = existing.flatMap((slice) => slice.ports ?? []);
  return routes.flatMap((route) => {
    const { name = "", resolverPort } = route;
    const now = ports.find(({ port }) => port === resolverPort) ?? ports.find((port) => (port.name ?? "") === name);
    return now?.port === undefined ? [] : { ...route, resolverPort: now.port };
  });
}

/** Whether slices lead to a resolver on all these ports. */
function isListed(resolver: ResolverEndpoint, led: readonly Route[], existing: readonly EndpointSlice[]): boolean {
  const addresses = Object.values(resolver.addresses);
  return existing.some(
    ({ endpoints, ports }) =>
      (endpoints ?? []).some((endpoint) => endpoint.addresses.some((address) => addresses.includes(address))) &&
      led.every(({ resolverPort }) => (ports ?? []).some(({ port }) => port === resolverPort)),
  );
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
