import type { AddressPool } from "../address-pool.ts";
import type { Kind } from "../kind.ts";
import { configMapKind, namespaceKind, nodeKind, secretKind, serviceAccountKind } from "./core.ts";
import { customResourceDefinitionKind } from "./custom-resource-definitions.ts";
import { endpointSliceKind } from "./endpoint-slices.ts";
import { eventKind, leaseKind } from "./events-and-leases.ts";
import { podKind } from "./pods.ts";
import { serviceKind } from "./services.ts";
import { deploymentKind, statefulSetKind } from "./workloads.ts";

export { customResourceDefinitionKind, namespaceKind };

/** The kinds that are there without any CustomResourceDefinition. */
export function builtInKinds(pool: AddressPool): Kind[] {
  return [
    configMapKind,
    customResourceDefinitionKind,
    deploymentKind,
    endpointSliceKind,
    eventKind,
    leaseKind,
    namespaceKind,
    nodeKind,
    podKind,
    secretKind,
    serviceAccountKind,
    serviceKind(pool),
    statefulSetKind,
  ];
}
