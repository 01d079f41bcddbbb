import { kubeErrors } from "./errors.ts";
import type { Scale } from "./resources.ts";
import type { CallOptions, KubeClient, Resource } from "./types.ts";

/** One object with a scale subresource. */
export interface ScaleReference {
  readonly resource: Resource;
  readonly namespace: string;
  readonly name: string;
}

export interface ScaleState {
  /** Wanted replicas (`spec.replicas`); the API server leaves out a zero. */
  readonly replicas: number;
  /** Replicas that are there (`status.replicas`). */
  readonly currentReplicas: number;
  /** Of the scaled object itself: `/scale` shows the same. */
  readonly resourceVersion: string;
  readonly uid: string | undefined;
  /** Label selector of the pods, as text. */
  readonly selector: string | undefined;
}

export const fencePrefix = "elasti-epoch-";

/** Reads and writes the scale subresource, and nothing else of a target. */
export class ScaleClient {
  readonly #client: KubeClient;

  constructor(client: KubeClient) {
    this.#client = client;
  }

  async getScale(reference: ScaleReference, options: CallOptions = {}): Promise<ScaleState> {
    const { resource, namespace, name } = reference;
    return stateOf(await this.#client.get<Scale>(resource, namespace, name, { ...options, subresource: "scale" }));
  }

  /**
   * Sets the replicas in one write, on condition that the target is as it was read.
   * @throws ELASTI_KUBE_CONFLICT when it is not
   */
  async setScale(
    wanted: ScaleReference & { readonly replicas: number; readonly resourceVersion: string },
    options: CallOptions = {},
  ): Promise<ScaleState> {
    const { resource, namespace, name, replicas, resourceVersion } = wanted;
    const body = { metadata: { resourceVersion }, spec: { replicas } };
    return stateOf(
      await this.#client.patch<Scale>(resource, namespace, name, "merge", body, { ...options, subresource: "scale" }),
    );
  }

  /**
   * Sets the replicas and moves the target's resourceVersion even when they were the same already, so that any conditional
   * write that somebody else still has on its way fails. Works by server-side apply under a field manager that no earlier
   * epoch used: one that applies the same values again moves nothing. Without `resourceVersion` it takes effect whatever the
   * target is by now; with it, only on what was read.
   * @throws ELASTI_KUBE_CONFLICT when `resourceVersion` is given and is not the current one
   */
  async fenceScale(
    wanted: ScaleReference & {
      readonly replicas: number;
      readonly epoch: number;
      readonly resourceVersion?: string;
      readonly fieldManagerPrefix?: string;
    },
    options: CallOptions = {},
  ): Promise<ScaleState> {
    const { resource, namespace, name, replicas, epoch, resourceVersion, fieldManagerPrefix = fencePrefix } = wanted;
    const body = {
      apiVersion: "autoscaling/v1",
      kind: "Scale",
      metadata: { name, namespace, ...(resourceVersion === undefined ? {} : { resourceVersion }) },
      spec: { replicas },
    };
    return stateOf(
      await this.#client.patch<Scale>(resource, namespace, name, "apply", body, {
        ...options,
        subresource: "scale",
        fieldManager: `${fieldManagerPrefix}${epoch}`,
        force: true,
      }),
    );
  }
}

function stateOf(scale: Scale): ScaleState {
  const { resourceVersion, uid, name } = scale.metadata;
  if (resourceVersion === undefined) {
    throw kubeErrors.ELASTI_KUBE_BAD_RESPONSE(`scale of ${name} has no resourceVersion`);
  }
  return {
    replicas: scale.spec?.replicas ?? 0,
    currentReplicas: scale.status?.replicas ?? 0,
    resourceVersion,
    uid,
    selector: scale.status?.selector,
  };
}
