import { createHash } from "node:crypto";

/** Names that KubeElasti's users and tools rely on, and the ones that Elasti adds beside them. */
export const GROUP = "elasti.truefoundry.com";
export const VERSION = "v1alpha1";
export const KIND = "ElastiService";
export const PLURAL = "elastiservices";
export const API_VERSION = `${GROUP}/${VERSION}`;

export const FINALIZER = `${GROUP}/finalizer`;
/** The extra key in the public Service's selector that makes it match no pod. */
export const PARK_KEY = `${GROUP}/parked`;
export const PARK_VALUE = "true";
/** Annotation on the public Service: the epoch of the last write that concerned the park. Moving it fences late writes. */
export const SERVICE_EPOCH_ANNOTATION = `${GROUP}/epoch`;
/** Annotation on an ElastiService, or on what no ElastiService names: what a person wants of its replicas until a moment, as JSON. */
export const OVERRIDE_ANNOTATION = `${GROUP}/override`;
/** Label on everything that Elasti makes for an ElastiService; its value is the public Service's name, cut to 63 characters. */
export const SERVICE_LABEL = `${GROUP}/service`;
export const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
export const SLICE_MANAGED_BY_LABEL = "endpointslice.kubernetes.io/managed-by";
export const SLICE_MANAGER = "elasti-operator";
export const FIELD_MANAGER = "elasti-operator";

/** Label on the ConfigMaps of the port table. */
export const PORT_TABLE_LABEL = `${GROUP}/port-table`;

export const defaultPorts = {
  /** elastiserver: notifications, sessions. */
  elastiserver: 8013,
  /** resolver: the way in by host name. */
  resolverHost: 8012,
  /** resolver: metrics, health, queue status. */
  resolverInternal: 8013,
  /** One port per Service port comes from here: below NodePorts and the ephemeral range. */
  routeFirst: 10_000,
  routeLast: 29_999,
} as const;

export const paths = {
  notify: "/informer/incoming-request",
  /** Asked by resolvers that have nothing to say, so that the next notification finds all of its way open. */
  warm: "/informer/warm",
  /** `Upgrade: elasti-session` turns this request into a stream of JSON lines in both directions. */
  session: "/informer/session",
  queueStatus: "/queue-status",
  metrics: "/metrics",
  live: "/healthz",
  ready: "/readyz",
} as const;

/** Of the checks of an operator's `/readyz`: whether policies are evaluated. It may fail while the replica is ready. */
export const POLICIES_CHECK = "policies";

export const SESSION_PROTOCOL = "elasti-session";

/** Headers of answers. */
export const headers = {
  reason: "elasti-reason",
  coldStart: "elasti-cold-start",
  serverTiming: "server-timing",
} as const;

const hashOf = (text: string): string => createHash("sha256").update(text).digest("hex").slice(0, 10);

/** Cuts the middle out of a name that would pass 63 characters (the limit of DNS labels); the hash stays. */
function bounded(before: string, service: string, after: string): string {
  return `${before}${service.slice(0, 63 - before.length - after.length)}${after}`;
}

/** `web` -> `elasti-web-pvt-<first 10 hex of sha256("web")>`. */
export function privateServiceName(service: string): string {
  return bounded("elasti-", service, `-pvt-${hashOf(service)}`);
}

/** The EndpointSlice that leads the public Service to the resolvers. @param family IPv6 slices carry a suffix, KubeElasti had IPv4 only */
export function resolverSliceName(service: string, family: "IPv4" | "IPv6" = "IPv4"): string {
  return bounded("elasti-", service, `-endpointslice-to-resolver-${hashOf(service)}${family === "IPv6" ? "-6" : ""}`);
}

/** How logs, queues and maps name a namespaced object. */
export const keyOf = (namespace: string, name: string): string => `${namespace}/${name}`;

/** The two parts of `keyOf`. */
export function splitKey(key: string): { namespace: string; name: string } {
  const slash = key.indexOf("/");
  return { namespace: key.slice(0, slash), name: key.slice(slash + 1) };
}
