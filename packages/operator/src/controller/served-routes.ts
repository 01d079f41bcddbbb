import { keyOf, type Route, type ServedRoute } from "@elasti/api";
import type { Warning } from "./parts.ts";

/** What a resolver says of its ports. */
export interface ServedPorts {
  readonly id: string;
  readonly ports: ReadonlySet<number>;
  /** undefined: it does not say, being of a former version. */
  readonly routes: ReadonlyMap<number, ServedRoute> | undefined;
}

/**
 * Whether what comes to a resolver port at a resolver is served for this port of this Service. A port may have been renamed or
 * renumbered since the resolver looked: the port table gives another resolver port only to one that was both.
 * @param service `namespace/name`
 */
export function serves({ ports, routes }: ServedPorts, service: string, wanted: Route): boolean {
  if (!ports.has(wanted.resolverPort)) return false;
  if (routes === undefined) return true;
  const served = routes.get(wanted.resolverPort);
  if (served === undefined || keyOf(served.namespace, served.service) !== service) return false;
  return served.port === wanted.port || (served.name !== undefined && served.name === wanted.name);
}

/**
 * Ports of a Service at which resolvers serve another one, for people.
 * @param service `namespace/name`
 */
export function takenPortsNote(
  resolvers: readonly ServedPorts[],
  service: string,
  routes: readonly Route[],
): Warning[] {
  const taken = routes.flatMap(({ resolverPort }) =>
    resolvers.flatMap(({ id, routes: served }) => {
      const other = served?.get(resolverPort);
      const owner = other === undefined ? service : keyOf(other.namespace, other.service);
      return owner === service ? [] : `port ${resolverPort} of ${id} leads to ${owner}`;
    }),
  );
  if (taken.length === 0) return [];
  const shown = taken.sort().slice(0, shownPorts).join(", ");
  const more = taken.length > shownPorts ? ` and ${taken.length - shownPorts} more` : "";
  const message = `${shown}${more}: clients are led there again when the other Service has given the port up`;
  return [{ type: "ResolverPortTaken", reason: "ResolverPortTaken", message, exact: true }];
}

const shownPorts = 3;
