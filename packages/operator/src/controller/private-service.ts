import { API_VERSION, type ElastiService, FIELD_MANAGER, KIND, privateServiceName, SERVICE_LABEL } from "@elasti/api";
import { isNotFound, type KubeClient, resources, type Service, type ServicePort } from "@elasti/kube";
import { operatorErrors } from "../errors.ts";
import { liveSelector } from "../lifecycle/routing.ts";

/**
 * The headless Service whose slices list the target's pods while the public one is parked. It carries selector and ports
 * and nothing else of the user's, so that no tool that looks at his labels and annotations acts on it.
 */
export function desiredPrivateService(es: ElastiService, service: Service, ports: readonly ServicePort[]): Service {
  const { namespace, name } = service.metadata;
  return {
    apiVersion: "v1",
    kind: "Service",
    metadata: {
      name: privateServiceName(name),
      ...(namespace === undefined ? {} : { namespace }),
      labels: { [SERVICE_LABEL]: name },
      ownerReferences: [
        { apiVersion: API_VERSION, kind: KIND, name: es.metadata.name, uid: es.metadata.uid ?? "", controller: true },
      ],
    },
    spec: {
      type: "ClusterIP",
      clusterIP: "None",
      selector: liveSelector(service),
      ports: ports.map(({ name: portName, port, targetPort, appProtocol }) => ({
        ...(portName === undefined ? {} : { name: portName }),
        port,
        targetPort: targetPort ?? port,
        protocol: "TCP",
        ...(appProtocol === undefined ? {} : { appProtocol }),
      })),
    },
  };
}

/** KubeElasti's has a cluster IP, which cannot be taken off. */
export const needsRecreate = (existing: Service): boolean => existing.spec.clusterIP !== "None";

/** Whether the private Service says what it should, but for its address; what the API server fills in makes no difference. */
export function privateServiceMatches(existing: Service, desired: Service): boolean {
  const [owner] = desired.metadata.ownerReferences ?? [];
  return (
    Object.entries(desired.metadata.labels ?? {}).every(([key, value]) => existing.metadata.labels?.[key] === value) &&
    existing.metadata.ownerReferences?.some(({ uid }) => uid === owner?.uid) === true &&
    sortedJson(existing.spec.selector ?? {}) === sortedJson(desired.spec.selector ?? {}) &&
    portsText(existing) === portsText(desired)
  );
}

const sortedJson = (record: Record<string, string>): string =>
  JSON.stringify(Object.entries(record).sort(([a], [b]) => (a < b ? -1 : 1)));

const portsText = ({ spec }: Service): string =>
  JSON.stringify(
    (spec.ports ?? []).map(({ name, port, targetPort, protocol, appProtocol }) => [
      name ?? "",
      port,
      targetPort ?? port,
      protocol ?? "TCP",
      appProtocol ?? "",
    ]),
  );

/**
 * Makes the private Service what it should be, with a write only where it differs.
 * @param existing as the cache has it
 * @param mayRecreate false keeps KubeElasti's with its address for now: its resolvers send to it what they still hold
 * @returns what is there now; the same object when nothing was written
 * @throws ELASTI_PRIVATE_SERVICE_TAKEN when somebody else's Service has the name; ELASTI_KUBE_CONFLICT when it was changed
 * meanwhile
 */
export async function ensurePrivateService(
  client: KubeClient,
  existing: Service | undefined,
  desired: Service,
  mayRecreate = true,
): Promise<Service> {
  const options = { fieldManager: FIELD_MANAGER };
  if (existing === undefined) return await client.create(resources.services, desired, options);
  if (!isOurs(existing)) {
    throw operatorErrors.ELASTI_PRIVATE_SERVICE_TAKEN(
      `Service ${existing.metadata.name} is not Elasti's but has the name that Elasti needs: rename or delete it`,
    );
  }
  const recreate = mayRecreate && needsRecreate(existing);
  if (existing.metadata.deletionTimestamp === undefined && !recreate && privateServiceMatches(existing, desired))
    return existing;
  if (recreate) {
    await deletePrivateService(client, existing);
    return await client.create(resources.services, desired, options);
  }
  const { labels, ownerReferences = [] } = existing.metadata;
  const [owner] = desired.metadata.ownerReferences ?? [];
  const others = ownerReferences.filter(({ uid, kind }) => kind !== KIND && uid !== owner?.uid);
  const merged: Service = {
    ...existing,
    metadata: {
      ...existing.metadata,
      labels: { ...labels, ...desired.metadata.labels },
      ownerReferences: [...others, ...(desired.metadata.ownerReferences ?? [])],
    },
    spec: { ...existing.spec, selector: desired.spec.selector ?? {}, ports: desired.spec.ports ?? [] },
  };
  return await client.replace(resources.services, merged, options);
}

/** Deletes exactly this one; one that is gone already is fine. */
export async function deletePrivateService(client: KubeClient, existing: Service): Promise<void> {
  const { namespace, name, uid } = existing.metadata;
  try {
    await client.delete(resources.services, namespace, name, uid === undefined ? {} : { uid });
  } catch (error) {
    if (!isNotFound(error)) throw error;
  }
}

/** Made by Elasti or KubeElasti: both let an ElastiService own it. */
const isOurs = ({ metadata }: Service): boolean =>
  metadata.ownerReferences?.some(({ kind, apiVersion }) => kind === KIND && apiVersion === API_VERSION) === true ||
  metadata.labels?.[SERVICE_LABEL] !== undefined;
