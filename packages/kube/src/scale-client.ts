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

/** What the names of all field managers of fences begin with. */
export const fencePrefix = "elasti-epoch-";
/** Names come round again after so many epochs, so that a target's managedFields do not grow with every fence. */
const fenceNames = 8;

/**
 * The field manager of a fence.
 * @param again for a second fence of the same epoch, whose own name moves nothing any more
 */
export function fenceManager(epoch: number, again = false): string {
  return `${fencePrefix}${again ? "again-" : ""}${epoch % fenceNames}`;
}

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
   * Moves the target's resourceVersion while its replicas stay what they are, so that any conditional write that somebody
   * else still has on its way fails. Works by server-side apply of the same replicas under a field manager that does not own
   * them yet; under one that does, nothing moves and the answer shows the same resourceVersion. To change the replicas use
   * `setScale`, which moves it too: of a custom resource the API server answers 500 to an apply that changes them, and to any
   * apply while no field manager owns them, as is so after every zero.
   * @throws ELASTI_KUBE_CONFLICT when the target is not as it was read, or ELASTI_KUBE_UNAVAILABLE with status 500
   */
  async fenceScale(
    wanted: ScaleReference & {
      readonly replicas: number;
      readonly resourceVersion: string;
      readonly epoch: number;
      readonly again?: boolean;
    },
    options: CallOptions = {},
  ): Promise<ScaleState> {
    const { resource, namespace, name, replicas, epoch, resourceVersion, again } = wanted;
    const body = {
      apiVersion: "autoscaling/v1",
      kind: "Scale",
      metadata: { name, namespace, resourceVersion },
      spec: { replicas },
    };
    return stateOf(
      await this.#client.patch<Scale>(resource, namespace, name, "apply", body, {
        ...options,
        subresource: "scale",
        fieldManager: fenceManager(epoch, again),
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
