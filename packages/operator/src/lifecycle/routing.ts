import { FIELD_MANAGER, PARK_KEY, PARK_VALUE, SERVICE_EPOCH_ANNOTATION } from "@elasti/api";
import { type EndpointSlice, isNotFound, type KubeClient, resources, type Service } from "@elasti/kube";
import type { ClusterView } from "./cluster-view.ts";

/** The Service's selector carries our key. */
export const isParked = (service: Service): boolean => service.spec.selector?.[PARK_KEY] !== undefined;

/** The user's selector: the live one without our key. */
export function liveSelector({ spec }: Pick<Service, "spec">): Record<string, string> {
  const { [PARK_KEY]: _, ...selector } = spec.selector ?? {};
  return selector;
}

/** Epoch of the last write of ours that concerned the park; 0 when there was none. */
export function serviceEpoch(service: Service): number {
  const epoch = Number(service.metadata.annotations?.[SERVICE_EPOCH_ANNOTATION] ?? 0);
  return Number.isSafeInteger(epoch) && epoch > 0 ? epoch : 0;
}

/** The writes by which clients are led to resolvers and back. Each carries the resourceVersion that it was decided on. */
export class Routing {
  readonly #client: KubeClient;
  readonly #view: ClusterView;

  constructor(client: KubeClient, view: ClusterView) {
    this.#client = client;
    this.#view = view;
  }

  /** Adds the park key, or takes it off, and stamps the epoch, so that a write decided on before can land no more. */
  async setPark(service: Service, parked: boolean, epoch: number): Promise<void> {
    await this.#patchService(service, {
      metadata: { annotations: { [SERVICE_EPOCH_ANNOTATION]: String(epoch) } },
      spec: { selector: { [PARK_KEY]: parked ? PARK_VALUE : null } },
    });
  }

  /** Stamps the epoch alone: a park that is still on its way fails on the resourceVersion. */
  async fence(service: Service, epoch: number): Promise<void> {
    await this.#patchService(service, { metadata: { annotations: { [SERVICE_EPOCH_ANNOTATION]: String(epoch) } } });
  }

  /** Takes off everything of ours: the park key and the annotation. */
  async release(service: Service): Promise<void> {
    if (!isParked(service) && service.metadata.annotations?.[SERVICE_EPOCH_ANNOTATION] === undefined) return;
    await this.#patchService(service, {
      metadata: { annotations: { [SERVICE_EPOCH_ANNOTATION]: null } },
      ...(isParked(service) ? { spec: { selector: { [PARK_KEY]: null } } } : {}),
    });
  }

  /** Makes our slices what they should be; slices of ours that are not wanted go. */
  async writeSlices(existing: readonly EndpointSlice[], desired: readonly EndpointSlice[]): Promise<void> {
    for (const slice of desired) {
      const before = existing.find(({ metadata }) => metadata.name === slice.metadata.name);
      const written =
        before === undefined
          ? await this.#client.create(resources.endpointSlices, slice, { fieldManager: FIELD_MANAGER })
          : await this.#client.replace(
              resources.endpointSlices,
              { ...slice, metadata: { ...slice.metadata, resourceVersion: before.metadata.resourceVersion! } },
              { fieldManager: FIELD_MANAGER },
            );
      this.#view.slices.wrote(written);
    }
    await this.deleteSlices(
      existing.filter(({ metadata }) => !desired.some((slice) => slice.metadata.name === metadata.name)),
    );
  }

  async deleteSlices(slices: readonly EndpointSlice[]): Promise<void> {
    for (const slice of slices) {
      try {
        await this.#client.delete(resources.endpointSlices, slice.metadata.namespace, slice.metadata.name, {
          resourceVersion: slice.metadata.resourceVersion!,
        });
      } catch (error) {
        if (!isNotFound(error)) throw error;
      }
      this.#view.slices.removed(slice);
    }
  }

  async #patchService(service: Service, change: { metadata: object; spec?: object }): Promise<void> {
    const { namespace, name, resourceVersion } = service.metadata;
    const written = await this.#client.patch<Service>(
      resources.services,
      namespace,
      name,
      "merge",
      { ...change, metadata: { ...change.metadata, resourceVersion } },
      { fieldManager: FIELD_MANAGER },
    );
    this.#view.services.wrote(written);
  }
}
