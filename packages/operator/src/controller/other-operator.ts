import { type Clock, errorText, type Logger } from "@elasti/core";
import { type Deployment, isForbidden, isNotFound, type KubeClient, keyOf, Reflector, resources } from "@elasti/kube";

/** Labels that KubeElasti's chart gives its operator, as many others give theirs. */
const labelSelector = "control-plane=controller-manager";

/**
 * Whether a Deployment is KubeElasti's operator. Its chart names it `<release>-operator-controller-manager`; the image may have been
 * mirrored under another name.
 */
export function isKubeElasti({ metadata, spec }: Deployment): boolean {
  if (!metadata.name.endsWith("operator-controller-manager")) return false;
  return (spec.template?.spec?.containers ?? []).some(
    ({ image = "", command = [], env = [] }) =>
      image.includes("elasti-operator") ||
      (command[0] === "/manager" && env.some(({ name }) => name === "POLLING_INTERVAL")),
  );
}

/** It has pods, or is about to. */
export const hasPods = ({ spec, status }: Deployment): boolean =>
  (spec.replicas ?? 1) > 0 || (status?.replicas ?? 0) > 0;

/**
 * KubeElasti's operator, if it is in the cluster. Two operators would fight over every ElastiService, so as long as it runs nothing
 * is taken up from it and nothing falls asleep.
 */
export class OtherOperator {
  readonly #deployments: Reflector<Deployment>;
  #listener = (): void => {};

  /** @param deps.namespaces where to look; everywhere when empty */
  constructor(deps: { client: KubeClient; clock: Clock; logger: Logger; namespaces: readonly string[] }) {
    let last: string | undefined;
    this.#deployments = new Reflector<Deployment>({
      ...deps,
      resource: resources.deployments,
      labelSelector,
      transform: trim,
      onFailure: (error) => {
        const text = errorText(error);
        if (text !== last)
          deps.logger.info({ reason: "OtherOperator", error: text }, "other operators cannot be looked for");
        last = text;
        this.#listener();
      },
    });
    this.#deployments.store.on("change", () => this.#listener());
  }

  /** Not known yet whether there is one. Who may not look sees none. */
  get pending(): boolean {
    const { synced, lastError } = this.#deployments;
    return !synced && !isForbidden(lastError) && !isNotFound(lastError);
  }

  /** Why nothing may be taken up or fall asleep; undefined when no other operator runs. */
  get obstacle(): { readonly reason: "OtherOperator"; readonly message: string } | undefined {
    const running = this.#deployments.store.list().find(hasPods);
    if (running === undefined) return undefined;
    const { namespace, name } = running.metadata;
    return {
      reason: "OtherOperator",
      message: `KubeElasti's operator runs (Deployment ${keyOf(namespace, name)}), and two would fight: scale it to zero`,
    };
  }

  /** Calls back when one comes or goes. */
  onChange(listener: () => void): void {
    this.#listener = listener;
  }

  /** Nothing else waits for it. */
  start(): void {
    this.#deployments.start().then(
      () => this.#listener(),
      () => {},
    );
  }

  async close(): Promise<void> {
    await this.#deployments.close();
  }
}

/** Of others only that they are there. */
function trim(deployment: Deployment): Deployment {
  const { apiVersion, kind, metadata, spec, status } = deployment;
  const { name, namespace, uid, resourceVersion } = metadata;
  const kept = isKubeElasti(deployment);
  return {
    apiVersion,
    kind,
    metadata: {
      name,
      ...(namespace === undefined ? {} : { namespace }),
      ...(uid === undefined ? {} : { uid }),
      ...(resourceVersion === undefined ? {} : { resourceVersion }),
    },
    // what is none of its kind never has pods here
    spec: { replicas: kept ? (spec.replicas ?? 1) : 0, selector: {}, template: { spec: { containers: [] } } },
    ...(kept && status?.replicas !== undefined ? { status: { replicas: status.replicas } } : {}),
  };
}
