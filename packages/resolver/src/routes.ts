import { type ElastiService, keyOf, specDefaults } from "@elasti/api";
import type { Clock, Logger } from "@elasti/core";
import { PortHolders } from "./port-holders.ts";
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
  readonly clock: Clock;
  readonly logger: Logger;
  readonly createService: (namespace: string, name: string) => ManagedService;
  /** Told of the ElastiService that counts for a Service, before its service takes it. */
  readonly observe?: (object: ElastiService) => void;
  /** `cluster.local` */
  readonly clusterDomain: string;
  /** Resolver ports may lead elsewhere than before. */
  readonly onPorts: () => void;
}

/** A Service with the ElastiServices that name it; the oldest one counts. */
interface Owner {
  readonly service: ManagedService;
  objects: ElastiService[];
  routes: Route[];
  /** How long nodes may lag behind a change of its routes. */
  lagMs: number;
}

/** Which service a connection means: by the resolver port on which it came, or by host name. Kept from the ElastiServices. */
export class RouteTable {
  readonly #options: RouteTableOptions;
  readonly #owners = new Map<string, Owner>();
  /** ElastiService -> Service, because spec.service may be edited. */
  readonly #serviceOf = new Map<string, string>();
  readonly #holders: PortHolders;

  constructor(options: RouteTableOptions) {
    this.#options = options;
    const { clock, logger, onPorts } = options;
    this.#holders = new PortHolders({ clock, logger, onPassed: onPorts });
  }

  /** What exists is known: from here on ports lead somewhere. */
  open(): void {
    this.#holders.open();
  }

  /** Resolver ports that should be listened on. */
  get ports(): Iterable<number> {
    return this.#holders.ports();
  }

  /** Claims that wait because another service has the port, or claims it, too. */
  get duplicates(): number {
    return this.#holders.waiting;
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
    return this.#holders.routeOf(resolverPort);
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
      owner = { service, objects: [], routes: [], lagMs: 0 };
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
    this.#holders.close();
  }

  #drop(key: string, objectName: string): void {
    const owner = this.#owners.get(key);
    if (owner === undefined) return;
    owner.objects = owner.objects.filter((object) => object.metadata.name !== objectName);
    if (owner.objects.length > 0) this.#applyOldest(owner);
    else {
      this.#owners.delete(key);
      for (const route of owner.routes) this.#holders.release(route, owner.lagMs);
      this.#holders.forget(owner.service.namespace, owner.service.name);
      owner.service.close();
      this.#options.onPorts();
    }
  }

  #applyOldest(owner: Owner): void {
    const object = owner.objects[0]!;
    this.#options.observe?.(object);
    owner.service.apply(object);
    owner.lagMs = (object.spec.routing?.graceSeconds ?? specDefaults.graceSeconds) * 1_000;
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
    // A route that stays keeps its claim.
    for (const route of owner.routes)
      if (!routes.some((other) => isSame(other, route))) this.#holders.release(route, owner.lagMs);
    owner.routes = routes.map((route) => {
      const old = owner.routes.find((other) => isSame(other, route));
      if (old === undefined) this.#holders.claim(route);
      return old ?? route;
    });
    owner.service.setPorts(owner.routes);
    this.#options.onPorts();
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
