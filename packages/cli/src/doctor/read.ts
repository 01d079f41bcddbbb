import { defaultPorts, type ElastiService, elastiServiceCrd, keyOf } from "@elasti/api";
import { errorText, systemClock } from "@elasti/core";
import {
  type Deployment,
  type EndpointSlice,
  isForbidden,
  isNotFound,
  type KubeClient,
  type KubeObject,
  type Lease,
  type Pod,
  type PodTemplate,
  type Resource,
  RestMapper,
  resources,
  type ScaledObject,
  type Service,
} from "@elasti/kube";
import { hasPods, isKubeElasti } from "@elasti/operator";
import { type Installation, selects } from "../installation.ts";
import { listAll, listKnown } from "../listing.ts";
import { replicasOf } from "../restore/read-snapshot.ts";
import { askTriggers } from "./ask-prometheus.ts";
import { type NetworkPolicy, networkPolicies } from "./network-policy.ts";
import type { DoctorOptions } from "./options.ts";
import { reviewRights } from "./review-rights.ts";
import type { ComponentState, Definition, DoctorSnapshot, FailingCheck } from "./snapshot.ts";

/** Longest wait for a pod to answer, in ms. */
const reachMs = 5_000;

/** Reads everything that the checks look at. What may not be read is noted. @throws when the API server cannot be asked at all */
export async function readDoctorSnapshot(
  client: KubeClient,
  options: DoctorOptions,
  found: Installation | undefined,
): Promise<DoctorSnapshot> {
  const { namespaces } = options;
  const unread: { what: string; why: string }[] = [];
  const tryTo = async <T>(what: string, read: () => Promise<T>, otherwise: T): Promise<T> => {
    try {
      return await read();
    } catch (error) {
      unread.push({ what, why: errorText(error) });
      return otherwise;
    }
  };
  const list = <T extends KubeObject>(resource: Resource, where: readonly string[]): Promise<T[]> =>
    tryTo(resource.plural, () => listKnown<T>(client, resource, where), []);

  // the one thing that must be readable
  const services = await listAll<Service>(client, resources.services, namespaces);
  const elastiServices = (await list<ElastiService & KubeObject>(resources.elastiServices, namespaces)).filter(
    ({ spec }) => options.service === undefined || spec.service === options.service,
  );
  const crd = elastiServiceCrd().metadata.name;
  const home = found === undefined ? [] : [found.namespace];
  const around = [...new Set([...namespaces, ...(namespaces.length === 0 ? [] : home)])];
  const [definitions, slices, scaledObjects, policies, spaces, nodes, lease, homeServices, homeSlices, pods] =
    await Promise.all([
      tryTo(
        "customresourcedefinitions",
        async () =>
          (
            await client.list<Definition>(resources.customResourceDefinitions, {
              fieldSelector: `metadata.name=${crd}`,
            })
          ).items,
        [],
      ),
      list<EndpointSlice>(resources.endpointSlices, namespaces),
      list<ScaledObject>(resources.scaledObjects, namespaces),
      list<NetworkPolicy>(networkPolicies, around),
      list<KubeObject>(resources.namespaces, []),
      tryTo("nodes", () => listKnown<KubeObject>(client, resources.nodes, []), undefined),
      found === undefined
        ? undefined
        : tryTo(resources.leases.plural, () => leaseOf(client, found.namespace, found.leaseName), undefined),
      found === undefined ? [] : list<Service>(resources.services, home),
      found === undefined ? [] : list<EndpointSlice>(resources.endpointSlices, home),
      found === undefined ? [] : list<Pod>(resources.pods, home),
    ]);
  const componentOf = async (name: string): Promise<ComponentState> => {
    const service = homeServices.find(({ metadata }) => metadata.name === name);
    const own = pods.filter(({ metadata }) => selects(service?.spec.selector, metadata.labels));
    return {
      name,
      service,
      slices: homeSlices.filter(({ metadata }) => metadata.labels?.["kubernetes.io/service-name"] === name),
      pods: own,
      ...(await askPods(client, own, unread)),
    };
  };
  const operator = await componentOf(found?.operatorService ?? "elasti-operator");
  const resolver = await componentOf(found?.resolverService ?? "elasti-resolver");
  const mapper = new RestMapper({ client, clock: systemClock });
  const { kinds, podLabels } = await targetsOf(client, mapper, elastiServices);
  const rights =
    found === undefined
      ? []
      : await tryTo(
          "subjectaccessreviews",
          () => reviewRights(client, { found, operator, resolver, kinds, keda: scaledObjects.length > 0 }),
          [],
        );
  return {
    nowMs: systemClock.now(),
    system: found?.namespace,
    definition: definitions[0],
    lease,
    leaseName: found?.leaseName ?? "elasti-operator",
    operator,
    resolver,
    elastiServices,
    services: options.service === undefined ? services : services.filter(ofOne(options.service)),
    slices: options.service === undefined ? slices : slices.filter(ofOne(options.service)),
    scaledObjects,
    replicas: await replicasOf(client, elastiServices),
    podLabels,
    policies,
    namespaces: new Map(spaces.map(({ metadata }) => [metadata.name, metadata.labels ?? {}])),
    nodes: nodes?.map(({ metadata }) => metadata.name),
    rights,
    triggers: await askTriggers(client, elastiServices, found?.prometheusServer),
    kubeElasti: (await list<Deployment>(resources.deployments, []))
      .filter((deployment) => isKubeElasti(deployment) && hasPods(deployment))
      .map(({ metadata }) => keyOf(metadata.namespace ?? "", metadata.name)),
    unread,
  };
}

/** By its name: operators may read no other. */
async function leaseOf(client: KubeClient, namespace: string, name: string): Promise<Lease | undefined> {
  try {
    return await client.get<Lease>(resources.leases, namespace, name);
  } catch (error) {
    if (isNotFound(error)) return undefined;
    throw error;
  }
}

/** What belongs to one public Service: itself, its private one, and slices of both. */
const ofOne =
  (service: string) =>
  ({ metadata: { name, labels = {} } }: KubeObject): boolean =>
    name === service || Object.values(labels).includes(service) || name.startsWith(`elasti-${service.slice(0, 30)}`);

/** Asks the pods that say that they are ready how they are. */
async function askPods(
  client: KubeClient,
  pods: readonly Pod[],
  unread: { what: string; why: string }[],
): Promise<Pick<ComponentState, "unreachable" | "failing">> {
  const unreachable = new Map<string, string>();
  const failing = new Map<string, readonly FailingCheck[]>();
  for (const { metadata, status } of pods) {
    const ready = status?.conditions?.some(({ type, status: value }) => type === "Ready" && value === "True") === true;
    if (!ready || metadata.deletionTimestamp !== undefined) continue;
    const path = `/api/v1/namespaces/${metadata.namespace}/pods/${metadata.name}:${defaultPorts.resolverInternal}/proxy/readyz`;
    try {
      const answer = await client.raw("GET", path, undefined, { timeoutMs: reachMs });
      const found = failingOf(answer);
      if (found.length > 0) failing.set(metadata.name, found);
    } catch (error) {
      const why = errorText(error);
      // not allowed to ask, or nobody who passes the question on
      if (isForbidden(error) || isNotFound(error)) unread.push({ what: `pods/proxy ${metadata.name}`, why });
      else unreachable.set(metadata.name, why.replace(/^raw \S+: /, "").slice(0, 300));
    }
  }
  return { unreachable, failing };
}

/** Of whatever answered. */
function failingOf(answer: unknown): FailingCheck[] {
  const { checks } = (answer ?? {}) as { checks?: unknown };
  if (!Array.isArray(checks)) return [];
  return checks.flatMap((check: { name?: unknown; ok?: unknown; reason?: unknown } | null) => {
    const { name, ok, reason } = check ?? {};
    return ok === false && typeof name === "string" ? [{ name, reason: String(reason ?? "").slice(0, 300) }] : [];
  });
}

/** The kinds of targets, and the labels of their pods. What cannot be read is left out: conditions tell. */
async function targetsOf(client: KubeClient, mapper: RestMapper, all: readonly ElastiService[]) {
  const kinds = new Map<string, Resource>();
  const podLabels = new Map<string, Readonly<Record<string, string>>>();
  for (const { metadata, spec } of all) {
    const { namespace = "", name } = metadata;
    try {
      const resource = await mapper.mapScalable(spec.scaleTargetRef);
      kinds.set(`${resource.group}/${resource.plural}`, resource);
      const target = await client.get<KubeObject & { spec?: { template?: PodTemplate } }>(
        resource,
        namespace,
        spec.scaleTargetRef.name,
      );
      const labels = target.spec?.template?.metadata?.labels;
      if (labels !== undefined) podLabels.set(keyOf(namespace, name), labels);
    } catch {
      // the condition TargetFound says so
    }
  }
  return { kinds: [...kinds.values()], podLabels };
}
