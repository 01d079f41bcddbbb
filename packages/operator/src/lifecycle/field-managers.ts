import { FIELD_MANAGER } from "@elasti/api";
import { fencePrefix, type KubeObject } from "@elasti/kube";

type ManagedField = NonNullable<KubeObject["metadata"]["managedFields"]>[number];

/** Field managers that Elasti writes as, of every version; `elasti` is what the API server makes of our user agent. */
const isOurs = (manager: string): boolean =>
  manager === FIELD_MANAGER ||
  manager === "elasti" ||
  manager.startsWith(fencePrefix) ||
  manager.startsWith("elasti-fence-");

const has = (fields: unknown, ...path: readonly string[]): boolean => {
  let at: unknown = fields;
  for (const part of path) {
    if (typeof at !== "object" || at === null || !Object.hasOwn(at, part)) return false;
    at = (at as Record<string, unknown>)[part];
  }
  return true;
};

/**
 * Who owns a field of `spec` by `metadata.managedFields`, other than we: the one that wrote last. Undefined where nobody is
 * recorded, which a raise from zero through `/scale` always leads to: the API server does not say there who wrote.
 */
export function managerOf({ metadata }: KubeObject, field: "replicas" | "selector"): string | undefined {
  const owners = (metadata.managedFields ?? []).filter(
    ({ manager, fieldsV1 }) => manager !== undefined && !isOurs(manager) && has(fieldsV1, "f:spec", `f:${field}`),
  );
  // entries of /scale carry no time; whoever has one is known to have written the whole object later than nobody knows when
  const timeOf = ({ time }: ManagedField): number => (time === undefined ? 0 : Date.parse(time));
  return owners.toSorted((a, b) => timeOf(a) - timeOf(b)).at(-1)?.manager;
}
