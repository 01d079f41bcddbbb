import { FIELD_MANAGER, OVERRIDE_ANNOTATION } from "@elasti/api";
import { type Clock, ElastiError } from "@elasti/core";
import { isForbidden, isNotFound, type KubeClient, type KubeObject, type Resource, resources } from "@elasti/kube";
import { formatOverride, type Override, type OverrideState, overrideAt } from "@elasti/scaling";
import { policyErrors } from "../errors.ts";
import type { Overrides, OverrideTarget } from "../service/overrides.ts";

/** Kinds that can carry an override, by the words in which people name them. */
const kinds: Readonly<Record<string, Resource>> = {
  elastiservice: resources.elastiServices,
  scaledobject: resources.scaledObjects,
  horizontalpodautoscaler: resources.horizontalPodAutoscalers,
  deployment: resources.deployments,
  statefulset: { ...resources.deployments, plural: "statefulsets", kind: "StatefulSet" },
  rollout: { group: "argoproj.io", version: "v1alpha1", plural: "rollouts", kind: "Rollout", namespaced: true },
};

/** Overrides as annotations of their targets, written by the operator, which may patch workloads only where it was given the right. */
export class OverrideAnnotations implements Overrides {
  readonly #client: KubeClient;
  readonly #clock: Clock;

  constructor(client: KubeClient, clock: Clock) {
    this.#client = client;
    this.#clock = clock;
  }

  async get(target: OverrideTarget): Promise<OverrideState> {
    const { metadata } = await this.#object(target);
    return overrideAt(metadata.annotations?.[OVERRIDE_ANNOTATION], this.#clock.now());
  }

  async put(target: OverrideTarget, override: Override): Promise<void> {
    await this.#write(target, formatOverride(override));
  }

  async delete(target: OverrideTarget): Promise<boolean> {
    const { metadata } = await this.#object(target);
    if (metadata.annotations?.[OVERRIDE_ANNOTATION] === undefined) return false;
    await this.#write(target, null);
    return true;
  }

  async #object(target: OverrideTarget): Promise<KubeObject> {
    const { namespace, name } = target;
    try {
      return await this.#client.get(resourceOf(target), namespace, name);
    } catch (error) {
      throw failureOf(error, target, "get");
    }
  }

  async #write(target: OverrideTarget, record: string | null): Promise<void> {
    const { namespace, name } = target;
    const body = { metadata: { annotations: { [OVERRIDE_ANNOTATION]: record } } };
    const options = { fieldManager: FIELD_MANAGER };
    try {
      await this.#client.patch(resourceOf(target), namespace, name, "merge", body, options);
    } catch (error) {
      throw failureOf(error, target, "patch");
    }
  }
}

function failureOf(error: unknown, target: OverrideTarget, verb: "get" | "patch"): unknown {
  if (isNotFound(error)) return missing(target);
  // admission refuses what one has the right to, too
  if (!(error instanceof ElastiError) || !isForbidden(error) || error.details.verb === undefined) return error;
  const { plural, group } = resourceOf(target);
  const { namespace, name } = target;
  const may = `the operator may not ${verb} ${plural}${group === "" ? "" : `.${group}`} in namespace ${namespace}`;
  return policyErrors.ELASTI_POLICY_NOT_GRANTED(`${may}, where the override of ${name} is kept`, { cause: error });
}

function resourceOf(target: OverrideTarget): Resource {
  const kind = target.kind.toLowerCase().split(".")[0]!.replace(/s$/, "");
  const resource = kinds[kind];
  if (resource === undefined) throw missing(target);
  return resource;
}

const missing = ({ kind, namespace, name }: OverrideTarget) =>
  policyErrors.ELASTI_POLICY_TARGET_NOT_FOUND(`there is no ${kind} ${name} in namespace ${namespace}`);
