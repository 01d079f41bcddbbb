import { FINALIZER, PARK_KEY, privateServiceName, resolverSliceName, SERVICE_EPOCH_ANNOTATION } from "@elasti/api";
import type { OutboundCall } from "../stops.ts";

/** What a call is about: the service it is made for, none where services share it, and a name that no run changes. */
export interface NamedCall {
  readonly service: string | undefined;
  readonly name: string;
}

/** Names calls by their meaning, so that the order in which they are made, times and versions make no difference. */
export class CallNames {
  readonly #byObject = new Map<string, string>();

  add(service: string): void {
    this.#byObject.set(service, service);
    this.#byObject.set(privateServiceName(service), service);
    this.#byObject.set(resolverSliceName(service), service);
  }

  /** Undefined for what is no point of its own: reads that ask for a whole collection. */
  of(call: OutboundCall): NamedCall | undefined {
    if (call.via === "session") {
      return { service: this.#byObject.get(call.path.split("/")[1] ?? ""), name: `session: ${call.method}` };
    }
    if (call.via === "prometheus") {
      const service = /service="([^"]+)"/.exec(call.body)?.[1];
      return service === undefined
        ? { service, name: "Prometheus: uptime" }
        : { service: this.#byObject.get(service), name: "Prometheus: query" };
    }
    return this.#api(call);
  }

  #api({ method, path, query, body }: OutboundCall): NamedCall | undefined {
    const verb = verbs[method] ?? method;
    const sent = parsed(body);
    const found = /^\/(?:api|apis\/[^/]+)\/v[^/]+\/(?:namespaces\/[^/]+\/)?([^/]+)(?:\/([^/]+))?(?:\/([^/]+))?$/.exec(
      path,
    );
    const [, resource = path, named, subresource] = found ?? [];
    const object = named ?? sent.metadata?.name ?? "";
    const service = this.#byObject.get(object);
    switch (resource) {
      case "leases":
        return method === "GET" ? undefined : { service: undefined, name: leaseCall(verb, sent) };
      case "configmaps":
        return method === "GET" ? undefined : { service: undefined, name: "write port table" };
      case "events":
        // they are written one after another: which is the first makes no difference
        return { service: this.#byObject.get(sent.involvedObject?.name ?? ""), name: "create Event" };
      case "elastiservices":
        return { service, name: `${verb} ElastiService ${elastiServiceChange(subresource, sent)}` };
      case "services":
        return object === service
          ? { service, name: `${verb} Service ${serviceChange(sent)}` }
          : { service, name: `${verb} private Service` };
      case "endpointslices":
        return { service, name: `${verb} resolver slice` };
      default: {
        const manager = /fieldManager=elasti-epoch-/.test(query) ? " as fence" : "";
        const replicas = sent.spec?.replicas === undefined ? "" : ` to ${sent.spec.replicas}`;
        const of = [resource, subresource].filter((part) => part !== undefined).join("/");
        return { service, name: `${verb} ${of}${replicas}${manager}` };
      }
    }
  }
}

const verbs: Readonly<Record<string, string>> = {
  GET: "read",
  POST: "create",
  PUT: "replace",
  PATCH: "patch",
  DELETE: "delete",
};

interface Sent {
  metadata?: { name?: string; finalizers?: string[]; annotations?: Record<string, string | null> };
  spec?: {
    replicas?: number;
    selector?: Record<string, string | null>;
    leaseTransitions?: number;
    acquireTime?: string;
    renewTime?: string;
  };
  status?: Record<string, unknown>;
  involvedObject?: { name?: string };
}

function parsed(body: string): Sent {
  try {
    return body === "" ? {} : (JSON.parse(body) as Sent);
  } catch {
    return {};
  }
}

function leaseCall(verb: string, { spec }: Sent): string {
  return spec?.acquireTime === spec?.renewTime ? `${verb} Lease: take` : `${verb} Lease: renew`;
}

const alongside: ReadonlySet<string> = new Set([
  "conditions",
  "lastActiveTime",
  "lastReconciledTime",
  "observedGeneration",
]);

function elastiServiceChange(subresource: string | undefined, { status, metadata }: Sent): string {
  if (subresource === "status") {
    if (typeof status?.phase === "string") return `phase ${status.phase}`;
    // conditions go along with whatever else is due, and which of those that is depends on the moment
    const keys = Object.keys(status ?? {}).filter((key) => !alongside.has(key));
    return `status ${keys.length === 0 ? "conditions" : keys.sort().join(", ")}`;
  }
  if (metadata?.finalizers === undefined) return "";
  return metadata.finalizers.includes(FINALIZER) ? "finalizer on" : "finalizer off";
}

function serviceChange({ spec, metadata }: Sent): string {
  const park = spec?.selector?.[PARK_KEY];
  if (metadata?.annotations?.[SERVICE_EPOCH_ANNOTATION] === null) return "release";
  if (park === null) return "unpark";
  if (park !== undefined) return "park";
  return metadata?.annotations?.[SERVICE_EPOCH_ANNOTATION] === undefined ? "" : "stamp";
}
