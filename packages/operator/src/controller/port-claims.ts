import { type ElastiService, keyOf, SERVICE_NAME_LABEL } from "@elasti/api";
import type { EndpointSlice } from "@elasti/kube";
import type { PortUsers } from "../lifecycle/cluster-view.ts";

/** Who has a resolver port, by what stands in the cluster beside the port table. */
export interface PortClaims {
  /** Another Service has it, by its ElastiService's status or by a slice that leads its clients there. */
  isOthers(resolverPort: number, service: string): boolean;
  /** No ElastiService of another Service that says it has the port is older than that of this one. */
  isFirst(resolverPort: number, service: string): boolean;
}

export const noClaims: PortClaims = { isOthers: () => false, isFirst: () => true };

/**
 * A port table that was lost, or left behind with another installation, does not know what resolvers serve and nodes lead to;
 * the statuses and slices do.
 */
export function claimsIn(usersOf: (resolverPort: number) => PortUsers): PortClaims {
  return {
    isOthers(resolverPort, service) {
      const { elastiServices, slices } = usersOf(resolverPort);
      return (
        elastiServices.some((es) => serviceOf(es) !== service) ||
        slices.some((slice) => serviceOfSlice(slice) !== service)
      );
    },
    isFirst(resolverPort, service) {
      const [first] = usersOf(resolverPort).elastiServices.toSorted(byAge);
      return first === undefined || serviceOf(first) === service;
    },
  };
}

const serviceOf = ({ metadata, spec }: ElastiService): string => keyOf(metadata.namespace ?? "", spec.service);

const serviceOfSlice = ({ metadata: { namespace = "", labels } }: EndpointSlice): string =>
  keyOf(namespace, labels?.[SERVICE_NAME_LABEL] ?? "");

function byAge(a: ElastiService, b: ElastiService): number {
  const age = ({ metadata }: ElastiService) =>
    `${metadata.creationTimestamp ?? ""} ${metadata.namespace}/${metadata.name}`;
  return age(a) < age(b) ? -1 : 1;
}
