import { FIELD_MANAGER, PORT_TABLE_LABEL } from "@elasti/api";
import { type Clock, ElastiError, errorText, type Logger } from "@elasti/core";
import {
  type ConfigMap,
  isAlreadyExists,
  isConflict,
  isNotFound,
  isOutcomeUnknown,
  type KubeClient,
  resources,
} from "@elasti/kube";
import Type from "typebox";
import { Compile } from "typebox/compile";
import { operatorErrors } from "../errors.ts";
import {
  type Allocation,
  allocatePorts,
  type Beside,
  expiredPorts,
  type FormerPort,
  type PortRange,
  type PortRow,
  type PortRows,
  releasePorts,
  routeRange,
  type WantedPort,
} from "./port-allocation.ts";
import { noClaims, type PortClaims } from "./port-claims.ts";

/** Ports in one ConfigMap: at 90 bytes a row far below the 1 MiB that one may hold. */
export const portsPerMap = 1_000;
const maxAttempts = 5;

const parseRow = Compile(
  Type.Object({
    service: Type.String({ minLength: 3 }),
    name: Type.String(),
    port: Type.Integer(),
    releasedAt: Type.Optional(Type.Integer()),
  }),
);

/**
 * The table of resolver ports, in ConfigMaps of 1,000 ports each in the operator's namespace. Every write carries the
 * resourceVersion of what it was decided on; changes that come while a write is under way go out together with the next.
 */
export class PortTable {
  readonly #client: KubeClient;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #namespace: string;
  readonly #range: PortRange;
  readonly #claims: PortClaims;
  readonly #rows = new Map<number, PortRow>();
  /** The same rows by service: most calls find that nothing changes, and must not go through all of them. */
  readonly #byService = new Map<string, Map<number, PortRow>>();
  readonly #maps = new Map<string, ConfigMap>();
  #loaded: Promise<void> | undefined;
  #tail: Promise<unknown> = Promise.resolve();
  #batch: { changes: ((rows: PortRows) => ReadonlyMap<number, PortRow | null>)[]; done: Promise<void> } | undefined;

  constructor(
    deps: {
      client: KubeClient;
      clock: Clock;
      logger: Logger;
      /** Who has ports beside what the table says. */
      claims?: PortClaims;
    },
    options: { namespace: string; range?: PortRange },
  ) {
    this.#client = deps.client;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
    this.#namespace = options.namespace;
    this.#range = options.range ?? routeRange;
    this.#claims = deps.claims ?? noClaims;
  }

  /**
   * The resolver ports of a Service's ports, in their order; writes only when something changes.
   * @param service `namespace/name`
   * @param former what its ElastiService says it has: kept, where the table knows nothing of it
   * @throws ELASTI_PORTS_EXHAUSTED, ELASTI_PORT_TABLE_CONTENDED, or what the API server says
   */
  async allocate(
    service: string,
    wanted: readonly WantedPort[],
    former: readonly FormerPort[] = [],
  ): Promise<number[]> {
    await this.#load();
    const beside: Beside = {
      former,
      isOthers: (resolverPort) => this.#claims.isOthers(resolverPort, service),
      isFirst: (resolverPort) => this.#claims.isFirst(resolverPort, service),
    };
    const ask = (rows: PortRows) => allocatePorts(rows, service, wanted, this.#clock.now(), this.#range, beside);
    const present = ask(this.#byService.get(service) ?? new Map());
    if (present.changes.size === 0) return [...present.resolverPorts];
    let allocation: Allocation | undefined;
    let failure: unknown;
    await this.#change((rows) => {
      failure = undefined;
      try {
        allocation = ask(rows);
        return allocation.changes;
      } catch (error) {
        // a table that is full for one Service is not full for those that ask in the same write
        failure = error;
        return new Map();
      }
    });
    if (failure !== undefined) throw failure;
    return [...allocation!.resolverPorts];
  }

  /** Releases the ports of a Service into quarantine. */
  async release(service: string): Promise<void> {
    await this.#load();
    const ask = (rows: PortRows) => releasePorts(rows, service, this.#clock.now());
    if (ask(this.#byService.get(service) ?? new Map()).size > 0) await this.#change(ask);
  }

  /** Forgets what was read: a new leader reads what others have written. */
  reload(): void {
    this.#loaded = undefined;
  }

  #load(): Promise<void> {
    if (this.#loaded === undefined) {
      const loading = this.#read();
      this.#loaded = loading;
      loading.catch(() => {
        if (this.#loaded === loading) this.#loaded = undefined;
      });
    }
    return this.#loaded;
  }

  async #read(): Promise<void> {
    const { items } = await this.#client.list<ConfigMap>(resources.configMaps, {
      namespace: this.#namespace,
      labelSelector: PORT_TABLE_LABEL,
    });
    this.#rows.clear();
    this.#byService.clear();
    this.#maps.clear();
    for (const map of items) {
      this.#maps.set(map.metadata.name, map);
      for (const [port, text] of Object.entries(map.data ?? {})) this.#readRow(map.metadata.name, port, text);
    }
  }

  #readRow(map: string, port: string, text: string): void {
    try {
      const row: unknown = JSON.parse(text);
      if (!parseRow.Check(row)) throw new TypeError("a row needs service, name and port");
      this.#put(Number(port), row);
    } catch (error) {
      // whoever edited it: the port is left alone, and another one is given out
      this.#put(Number(port), { service: "?/?", name: "", port: 0 });
      this.#logger.warn({ configMap: map, port, error: errorText(error) }, "row of the port table cannot be read");
    }
  }

  /** Adds a change to the next write and resolves when that is through. */
  #change(change: (rows: PortRows) => ReadonlyMap<number, PortRow | null>): Promise<void> {
    if (this.#batch === undefined) {
      const changes: ((rows: PortRows) => ReadonlyMap<number, PortRow | null>)[] = [];
      const done = this.#tail.then(() => {
        this.#batch = undefined;
        return this.#write(changes);
      });
      this.#batch = { changes, done };
      this.#tail = done.catch(() => {});
    }
    this.#batch.changes.push(change);
    return this.#batch.done;
  }

  async #write(changes: readonly ((rows: PortRows) => ReadonlyMap<number, PortRow | null>)[]): Promise<void> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      await this.#load();
      const rows = new Map(this.#rows);
      const touched = new Set<string>();
      const put = (port: number, row: PortRow | null) => {
        if (row === null) rows.delete(port);
        else rows.set(port, row);
        touched.add(mapName(port, this.#range));
      };
      for (const change of changes) for (const [port, row] of change(rows)) put(port, row);
      for (const port of expiredPorts(rows, this.#clock.now())) {
        if (touched.has(mapName(port, this.#range))) rows.delete(port);
      }
      try {
        for (const name of touched) await this.#writeMap(name, rows);
        return;
      } catch (error) {
        this.#loaded = undefined;
        const stale = isConflict(error) || isAlreadyExists(error) || isNotFound(error) || isOutcomeUnknown(error);
        if (!stale || !(error instanceof ElastiError)) throw error;
      }
    }
    throw operatorErrors.ELASTI_PORT_TABLE_CONTENDED(`${maxAttempts} attempts met writes of others`);
  }

  async #writeMap(name: string, rows: PortRows): Promise<void> {
    const data: Record<string, string> = {};
    for (const [port, row] of rows) if (mapName(port, this.#range) === name) data[port] = JSON.stringify(row);
    const known = this.#maps.get(name);
    const map: ConfigMap = {
      apiVersion: "v1",
      kind: "ConfigMap",
      metadata: known?.metadata ?? { name, namespace: this.#namespace, labels: { [PORT_TABLE_LABEL]: "true" } },
      data,
    };
    const options = { fieldManager: FIELD_MANAGER };
    const written =
      known === undefined
        ? await this.#client.create(resources.configMaps, map, options)
        : await this.#client.replace(resources.configMaps, map, options);
    this.#maps.set(name, written);
    for (const port of [...this.#rows.keys()]) {
      if (mapName(port, this.#range) === name && rows.get(port) !== this.#rows.get(port)) this.#put(port, null);
    }
    for (const [port, row] of rows) {
      if (mapName(port, this.#range) === name && row !== this.#rows.get(port)) this.#put(port, row);
    }
  }

  #put(port: number, row: PortRow | null): void {
    const before = this.#rows.get(port);
    if (before !== undefined) {
      const own = this.#byService.get(before.service);
      own?.delete(port);
      if (own?.size === 0) this.#byService.delete(before.service);
      this.#rows.delete(port);
    }
    if (row === null) return;
    this.#rows.set(port, row);
    const own = this.#byService.get(row.service);
    if (own === undefined) this.#byService.set(row.service, new Map([[port, row]]));
    else own.set(port, row);
  }
}

const mapName = (port: number, range: PortRange): string =>
  `elasti-ports-${Math.floor((port - range.first) / portsPerMap)}`;
