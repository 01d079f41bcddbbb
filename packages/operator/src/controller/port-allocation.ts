import { defaultPorts } from "@elasti/api";
import { operatorErrors } from "../errors.ts";

/** Who has a resolver port. */
export interface PortRow {
  /** `namespace/name` of the public Service. */
  readonly service: string;
  /** Name of the Service port, empty for an unnamed one, and its number: each alone tells it apart within the Service. */
  readonly name: string;
  readonly port: number;
  /** Wall-clock ms of the release; such a row keeps its port from others until the quarantine is over. */
  readonly releasedAt?: number;
}

/** Rows by resolver port. */
export type PortRows = ReadonlyMap<number, PortRow>;

export interface WantedPort {
  readonly name?: string | undefined;
  readonly port: number;
}

/** A resolver port that a Service says it has, whatever the table knows of it. */
export interface FormerPort extends WantedPort {
  readonly resolverPort: number;
}

/** What is known of resolver ports beside the table. */
export interface Beside {
  readonly former: readonly FormerPort[];
  /** Whether another Service has a port. */
  readonly isOthers: (resolverPort: number) => boolean;
  /** Whether the Service keeps a former port that others say they have, too. */
  readonly isFirst: (resolverPort: number) => boolean;
}

const nothingBeside: Beside = { former: [], isOthers: () => false, isFirst: () => true };

export interface Allocation {
  /** The resolver port of each wanted port, in their order. */
  readonly resolverPorts: readonly number[];
  /** What changes in the table; null removes a row. */
  readonly changes: ReadonlyMap<number, PortRow | null>;
}

export interface PortRange {
  readonly first: number;
  readonly last: number;
}

export const routeRange: PortRange = { first: defaultPorts.routeFirst, last: defaultPorts.routeLast };

/** A released port may still be in slices, proxies and rules of nodes that lag: nobody else gets it for so long. */
export const quarantineMs = 3_600_000;

const isOver = (row: PortRow, nowMs: number): boolean =>
  row.releasedAt !== undefined && nowMs - row.releasedAt >= quarantineMs;

/**
 * Gives every wanted port of a Service a resolver port. A port that keeps its name or its number keeps its resolver port,
 * also out of the Service's own quarantine, and also where a table that was lost does not know it; new ones get the lowest
 * free; those that are no longer wanted are released.
 * @param wanted unique by number
 * @throws ELASTI_PORTS_EXHAUSTED when nothing is free; then nothing changes
 */
export function allocatePorts(
  rows: PortRows,
  service: string,
  wanted: readonly WantedPort[],
  nowMs: number,
  range: PortRange = routeRange,
  beside: Beside = nothingBeside,
): Allocation {
  const own = new Map([...rows].filter(([, row]) => row.service === service && !isOver(row, nowMs)));
  const changes = new Map<number, PortRow | null>();
  const isUnknown = (resolverPort: number): boolean => {
    const row = rows.get(resolverPort);
    return row === undefined || isOver(row, nowMs);
  };
  const given = matchOwn(own, wanted);
  if (given.size < wanted.length) {
    const lost = beside.former.filter(
      ({ resolverPort }) =>
        resolverPort >= range.first &&
        resolverPort <= range.last &&
        isUnknown(resolverPort) &&
        beside.isFirst(resolverPort),
    );
    const adopted = matchOwn(
      new Map(lost.map(({ name = "", port, resolverPort }) => [resolverPort, { service, name, port }])),
      wanted,
    );
    for (const [index, resolverPort] of adopted) if (!given.has(index)) given.set(index, resolverPort);
  }
  const kept = new Set(given.values());
  const isFree = (resolverPort: number): boolean =>
    isUnknown(resolverPort) && !changes.has(resolverPort) && !kept.has(resolverPort) && !beside.isOthers(resolverPort);
  let next = range.first;
  const resolverPorts = wanted.map((want, index) => {
    let resolverPort = given.get(index);
    if (resolverPort === undefined) {
      next = lowestFree(isFree, next, range, service);
      resolverPort = next;
      next += 1;
    } else own.delete(resolverPort);
    const row: PortRow = { service, name: want.name ?? "", port: want.port };
    if (!sameRow(rows.get(resolverPort), row)) changes.set(resolverPort, row);
    return resolverPort;
  });
  for (const [resolverPort, row] of own) {
    if (row.releasedAt === undefined) changes.set(resolverPort, { ...row, releasedAt: nowMs });
  }
  return { resolverPorts, changes };
}

/** Releases all ports of a Service. */
export function releasePorts(rows: PortRows, service: string, nowMs: number): Map<number, PortRow> {
  const changes = new Map<number, PortRow>();
  for (const [resolverPort, row] of rows) {
    if (row.service === service && row.releasedAt === undefined)
      changes.set(resolverPort, { ...row, releasedAt: nowMs });
  }
  return changes;
}

/** Resolver ports whose quarantine is over; their rows may go with the next write. */
export function expiredPorts(rows: PortRows, nowMs: number): number[] {
  return [...rows].filter(([, row]) => isOver(row, nowMs)).map(([resolverPort]) => resolverPort);
}

/** The row that each wanted port had, by index: same name and number before same name before same number, live before released. */
function matchOwn(own: PortRows, wanted: readonly WantedPort[]): Map<number, number> {
  const given = new Map<number, number>();
  const taken = new Set<number>();
  const rules: ((row: PortRow, want: WantedPort) => boolean)[] = [
    (row, want) => row.name === (want.name ?? "") && row.port === want.port,
    (row, want) => row.name !== "" && row.name === want.name,
    (row, want) => row.port === want.port,
  ];
  for (const released of [false, true]) {
    for (const fits of rules) {
      wanted.forEach((want, index) => {
        if (given.has(index)) return;
        for (const [resolverPort, row] of own) {
          if (taken.has(resolverPort) || (row.releasedAt !== undefined) !== released || !fits(row, want)) continue;
          given.set(index, resolverPort);
          taken.add(resolverPort);
          return;
        }
      });
    }
  }
  return given;
}

function lowestFree(
  isFree: (resolverPort: number) => boolean,
  from: number,
  range: PortRange,
  service: string,
): number {
  for (let resolverPort = from; resolverPort <= range.last; resolverPort++)
    if (isFree(resolverPort)) return resolverPort;
  throw operatorErrors.ELASTI_PORTS_EXHAUSTED(
    `no port from ${range.first} to ${range.last} is free for ${service}; ports of deleted ElastiServices become free after an hour`,
  );
}

const sameRow = (a: PortRow | undefined, b: PortRow): boolean =>
  a?.service === b.service && a.name === b.name && a.port === b.port && a.releasedAt === b.releasedAt;
