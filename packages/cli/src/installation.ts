import { PORT_TABLE_LABEL } from "@elasti/api";
import {
  type ConfigMap,
  type Container,
  isForbidden,
  type KubeClient,
  type Lease,
  type Pod,
  type PodSpec,
  resources,
  type Service,
} from "@elasti/kube";
import { listKnown } from "./listing.ts";

/** What a person, or the environment of a pod, says of an installation; the rest is found. */
export interface InstallationHints {
  readonly namespace: string | undefined;
  readonly leaseName: string | undefined;
  readonly resolverService: string | undefined;
  readonly operatorService: string | undefined;
}

/** Where operator and resolvers are, and by which names. */
export interface Installation {
  readonly namespace: string;
  readonly leaseName: string;
  readonly resolverService: string;
  readonly operatorService: string;
  /** All where empty. */
  readonly watchNamespaces: readonly string[];
  /** Tokens of resolvers are reviewed, and not checked by the keys that sign them. */
  readonly reviewsTokens: boolean;
  /** The policy engine is on. */
  readonly policies: boolean;
  /** Of triggers that name none. */
  readonly prometheusServer: string | undefined;
}

const defaults = { operator: "elasti-operator", resolver: "elasti-resolver" } as const;

/** Looks for an installation. @returns undefined where there is no trace of one */
export async function findInstallation(
  client: KubeClient,
  hints: InstallationHints,
): Promise<Installation | undefined> {
  const namespace = hints.namespace ?? (await namespaceOf(client, hints.leaseName ?? defaults.operator));
  if (namespace === undefined) return undefined;
  const pods = await readable(() => listKnown<Pod>(client, resources.pods, [namespace]));
  const services = await readable(() => listKnown<Service>(client, resources.services, [namespace]));
  const operator = pods.find(({ spec }) => settingsOf(spec).has("ELASTI_RESOLVER_SERVICE"));
  const settings = settingsOf(operator?.spec);
  const serviceOf = (pod: Pod | undefined): string | undefined =>
    services.find(({ spec }) => pod !== undefined && selects(spec.selector, pod.metadata.labels))?.metadata.name;
  return {
    namespace,
    leaseName: hints.leaseName ?? settings.get("ELASTI_LEASE_NAME") ?? defaults.operator,
    resolverService: hints.resolverService ?? settings.get("ELASTI_RESOLVER_SERVICE") ?? defaults.resolver,
    operatorService: hints.operatorService ?? serviceOf(operator) ?? defaults.operator,
    watchNamespaces: (settings.get("WATCH_NAMESPACES") ?? "").split(",").filter((name) => name !== ""),
    reviewsTokens: settings.get("ELASTI_TOKEN_CHECK") !== "keys",
    policies: settings.get("ELASTI_SCALING_ENABLED") === "true",
    prometheusServer: settings.get("PROMETHEUS_TRIGGER_SERVER_ADDRESS"),
  };
}

/** By the Lease, by the port table, or by the Service of the resolvers. */
async function namespaceOf(client: KubeClient, leaseName: string): Promise<string | undefined> {
  const leases = await readable(() => listKnown<Lease>(client, resources.leases, []));
  const lease = leases.find(({ metadata }) => metadata.name === leaseName);
  if (lease !== undefined) return lease.metadata.namespace;
  const tables = await readable(
    async () => (await client.list<ConfigMap>(resources.configMaps, { labelSelector: PORT_TABLE_LABEL })).items,
  );
  if (tables[0] !== undefined) return tables[0].metadata.namespace;
  const services = await readable(() => listKnown<Service>(client, resources.services, []));
  return services.find(({ metadata }) => metadata.name === defaults.resolver)?.metadata.namespace;
}

/** What may not be read is not there. */
async function readable<T>(read: () => Promise<T[]>): Promise<T[]> {
  try {
    return await read();
  } catch (error) {
    if (isForbidden(error)) return [];
    throw error;
  }
}

/** Environment of the containers of a pod, as far as it is written there. */
function settingsOf(spec: PodSpec | undefined): Map<string, string> {
  const all = (spec?.containers ?? []).flatMap(({ env = [] }: Container) => env);
  return new Map(
    all.flatMap(({ name, value }) => (value === undefined || value === "" ? [] : [[name, value] as const])),
  );
}

/** Whether a selector fits labels; an empty one selects nothing. */
export function selects(
  selector: Readonly<Record<string, string>> | undefined,
  labels: Readonly<Record<string, string>> | undefined,
): boolean {
  const entries = Object.entries(selector ?? {});
  return entries.length > 0 && entries.every(([key, value]) => labels?.[key] === value);
}
