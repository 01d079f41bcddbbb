import { type ElastiService, keyOf } from "@elasti/api";
import type { Logger } from "@elasti/core";
import type { ManagedService } from "./service.ts";

/** What one resolver port leads to. */
export interface Route {
  readonly service: ManagedService;
  /** Port of the Service, and its name there. */
  readonly port: number;
  readonly portName: string | undefined;
  readonly resolverPort: number;
}

export interface RouteTableOptions {
  readonly logger: Logger;
  readonly createService: (namespace: string, name: string) => ManagedService;
  /** Told of the ElastiService that counts for a Service, before its service takes it. */
  readonly observe?: (object: ElastiService) => void;
  /** `cluster.local` */
  readonly clusterDomain: string;
  /** The set of wanted resolver ports has changed. */
  readonly onPorts: () => void;
}

/** A Service with the ElastiServices that name it; the oldest one counts. */
interface Owner {
  readonly service: ManagedService;
  objects: ElastiService[];
  routes: Route[];
}

/**
 * Which service a connection means: by the resolver port on which it came, or by host name. Kept from the ElastiServices; the
 * first claim on a resolver port stands, later ones wait until it is given up.
 */
export class RouteTable {
  readonly #options: RouteTableOptions;
  readonly #owners = new Map<string, Owner>();
  /** ElastiService -> Service, because spec.service may be edited. */
  readonly #serviceOf = new Map<string, string>();
  readonly #claims = new Map<number, Route[]>();

  constructor(options: RouteTableOptions) {
    this.#options = options;
  }

  /** Resolver ports that should be listened on. */
  get ports(): Iterable<number> {
    return this.#claims.keys();
  }

  /** Claims that wait because another service has the port. */
  get duplicates(): number {
    let count = 0;
    for (const claims of this.#claims.values()) count += claims.length - 1;
    return count;
  }

  get size(): number {
    return this.#owners.size;
  }

  *services(): Iterable<ManagedService> {
    for (const owner of this.#owners.values()) yield owner.service;
  }

  service(namespace: string, name: string): ManagedService | undefined {
    return this.#owners.get(keyOf(namespace, name))?.service;
  }

  byPort(resolverPort: number): Route | undefined {
    return this.#claims.get(resolverPort)?.[0];
  }

  /**
   * The route of `svc.ns`, `svc.ns.svc` or `svc.ns.svc.<cluster domain>`, with or without a port. A port that the Service does not
   * have (the resolver's own, say) means the first one.
   */
  byHost(host: string): Route | undefined {
    const colon = host.lastIndexOf(":");
    const name = (colon < 0 ? host : host.slice(0, colon)).toLowerCase().replace(/\.$/, "");
    const [service, namespace, ...rest] = name.split(".");
    if (service === undefined || namespace === undefined) return undefined;
    const suffix = rest.join(".");
    if (suffix !== "" && suffix !== "svc" && suffix !== `svc.${this.#options.clusterDomain}`) return undefined;
    const routes = this.#owners.get(keyOf(namespace, service))?.routes;
    const port = colon < 0 ? undefined : Number(host.slice(colon + 1));
    return routes?.find((route) => route.port === port) ?? routes?.[0];
  }

  upsert(object: ElastiService): void {
    const objectKey = keyOf(object.metadata.namespace ?? "", object.metadata.name);
    const key = keyOf(object.metadata.namespace ?? "", object.spec.service);
    const before = this.#serviceOf.get(objectKey);
    if (before !== undefined && before !== key) this.#drop(before, object.metadata.name);
    this.#serviceOf.set(objectKey, key);
    let owner = this.#owners.get(key);
    if (owner === undefined) {
      const service = this.#options.createService(object.metadata.namespace ?? "", object.spec.service);
      owner = { service, objects: [], routes: [] };
      this.#owners.set(key, owner);
    }
    const others = owner.objects.filter((other) => other.metadata.name !== object.metadata.name);
    if (others.length > 0 && others.length === owner.objects.length) this.#warnShared(object, others[0]!);
    owner.objects = [...others, object].sort(byAge);
    this.#applyOldest(owner);
  }

  remove(object: ElastiService): void {
    const objectKey = keyOf(object.metadata.namespace ?? "", object.metadata.name);
    const key = this.#serviceOf.get(objectKey);
    this.#serviceOf.delete(objectKey);
    if (key !== undefined) this.#drop(key, object.metadata.name);
  }

  close(): void {
    for (const owner of this.#owners.values()) owner.service.close();
    this.#owners.clear();
    this.#serviceOf.clear();
    this.#claims.clear();
  }

  #drop(key: string, objectName: string): void {
    const owner = this.#owners.get(key);
    if (owner === undefined) return;
    owner.objects = owner.objects.filter((object) => object.metadata.name !== objectName);
    if (owner.objects.length > 0) this.#applyOldest(owner);
    else {
      this.#owners.delete(key);
      this.#setRoutes(owner, []);
      owner.service.close();
    }
  }

  #applyOldest(owner: Owner): void {
    const object = owner.objects[0]!;
    this.#options.observe?.(object);
    owner.service.apply(object);
    const routes: Route[] = [];
    for (const { name, port, resolverPort, protocol } of object.status?.routes ?? []) {
      if (protocol !== "UDP" && protocol !== "SCTP")
        routes.push({ service: owner.service, port, portName: name, resolverPort });
    }
    this.#setRoutes(owner, routes);
  }

  #setRoutes(owner: Owner, routes: Route[]): void {
    const same =
      routes.length === owner.routes.length && routes.every((route, index) => isSame(route, owner.routes[index]!));
    if (same) return;
    for (const route of owner.routes) {
      // A route that stays keeps its claim.
      if (!routes.some((other) => isSame(other, route))) this.#release(route);
    }
    owner.routes = routes.map((route) => owner.routes.find((old) => isSame(old, route)) ?? this.#claim(route));
    this.#options.onPorts();
  }

  #claim(route: Route): Route {
    const claims = this.#claims.get(route.resolverPort);
    if (claims === undefined) this.#claims.set(route.resolverPort, [route]);
    else {
      claims.push(route);
      const { namespace, name } = route.service;
      const { service: first } = claims[0]!;
      this.#options.logger.error(
        {
          namespace,
          service: name,
          resolverPort: route.resolverPort,
          first: keyOf(first.namespace, first.name),
          reason: "duplicate-port",
        },
        "two services claim one resolver port; the first keeps it",
      );
    }
    return route;
  }

  #release(route: Route): void {
    const left = this.#claims.get(route.resolverPort)?.filter((claim) => claim !== route) ?? [];
    if (left.length === 0) this.#claims.delete(route.resolverPort);
    else this.#claims.set(route.resolverPort, left);
  }

  #warnShared(object: ElastiService, other: ElastiService): void {
    const { namespace, name } = object.metadata;
    this.#options.logger.warn(
      {
        namespace,
        service: object.spec.service,
        elastiService: name,
        other: other.metadata.name,
        reason: "shared-service",
      },
      "two ElastiServices name one Service; the older one counts",
    );
  }
}

function isSame(a: Route, b: Route): boolean {
  return a.port === b.port && a.portName === b.portName && a.resolverPort === b.resolverPort;
}

function byAge(a: ElastiService, b: ElastiService): number {
  const byTime = (a.metadata.creationTimestamp ?? "").localeCompare(b.metadata.creationTimestamp ?? "");
  return byTime === 0 ? a.metadata.name.localeCompare(b.metadata.name) : byTime;
}
