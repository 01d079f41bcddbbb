import { type ElastiService, keyOf } from "@elasti/api";

/** Resolver ports that the statuses of ElastiServices name, but for those of one Service (`namespace/name`). */
export function claimsOfOthers(all: readonly ElastiService[], service: string): ReadonlySet<number> {
  const claims = new Set<number>();
  for (const { metadata, spec, status } of all) {
    if (keyOf(metadata.namespace ?? "", spec.service) === service) continue;
    for (const { resolverPort } of status?.routes ?? []) claims.add(resolverPort);
  }
  return claims;
}
