import { isForbidden, isNotFound, type KubeClient, type KubeObject, type Resource } from "@elasti/kube";

const pageSize = 500;

/** Every object of a kind, of some namespaces or (none given) of all. @throws what the API server says */
export async function listAll<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  namespaces: readonly (string | undefined)[],
): Promise<T[]> {
  const items: T[] = [];
  for (const namespace of namespaces.length === 0 ? [undefined] : namespaces) {
    let page: string | undefined;
    do {
      const list = await client.list<T>(resource, {
        namespace,
        limit: pageSize,
        ...(page === undefined ? {} : { continue: page }),
      });
      items.push(...list.items);
      page = list.metadata.continue;
    } while (page !== undefined && page !== "");
  }
  return items;
}

/** As `listAll`; none where the kind is not installed or, with `optional`, may not be read. */
export async function listKnown<T extends KubeObject>(
  client: KubeClient,
  resource: Resource,
  namespaces: readonly string[],
  optional = false,
): Promise<T[]> {
  try {
    return await listAll<T>(client, resource, namespaces);
  } catch (error) {
    if (isNotFound(error) || (optional && isForbidden(error))) return [];
    throw error;
  }
}
