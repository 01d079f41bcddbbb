import type { EndpointSlice } from "@elasti/kube";

/** A pod as its EndpointSlices show it. */
export interface PodView {
  readonly uid: string;
  readonly name: string;
  readonly address: string;
  readonly ready: boolean;
  readonly terminating: boolean;
  /** Target port by the name of the Service port; the empty name is the one of an only, unnamed port. */
  readonly ports: ReadonlyMap<string, number>;
}

const familyOrder = { IPv4: 0, IPv6: 1, FQDN: 2 } as const;

/**
 * The pods of the slices of one Service, ready or not, in the order of their names. A pod with addresses of both families is
 * one pod, at its IPv4 address; one that is shown twice while it moves between slices is what the slice that knows less good of it says.
 */
export function viewsOf(slices: readonly EndpointSlice[]): PodView[] {
  const views = new Map<string, PodView>();
  const ordered = slices.toSorted((a, b) => familyOrder[a.addressType] - familyOrder[b.addressType]);
  for (const slice of ordered) {
    if (slice.addressType === "FQDN") continue;
    const ports = new Map<string, number>();
    for (const port of slice.ports ?? []) {
      if (port.port !== undefined && (port.protocol ?? "TCP") === "TCP") ports.set(port.name ?? "", port.port);
    }
    for (const endpoint of slice.endpoints ?? []) {
      const address = endpoint.addresses[0];
      if (address === undefined) continue;
      const uid = endpoint.targetRef?.uid ?? address;
      // the API says: unknown means ready, and not terminating
      const ready = endpoint.conditions?.ready !== false;
      const terminating = endpoint.conditions?.terminating === true;
      const known = views.get(uid);
      if (known === undefined) {
        views.set(uid, { uid, name: endpoint.targetRef?.name ?? address, address, ready, terminating, ports });
      } else {
        views.set(uid, {
          ...known,
          ready: known.ready && ready,
          terminating: known.terminating || terminating,
          // a Service whose ports differ from pod to pod has a slice for each set of them
          ports: known.address === address ? new Map([...known.ports, ...ports]) : known.ports,
        });
      }
    }
  }
  return [...views.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}
