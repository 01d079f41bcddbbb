import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { isAlreadyExists, type KubeClient, type KubeObject, resources, type ScaledObject } from "@elasti/kube";
import { parse } from "yaml";
import type { Trigger } from "./triggers.ts";

const file = join(import.meta.dirname, "..", "fixtures", "keda", "keda.sh_scaledobjects.yaml");

type Definition = KubeObject & { status?: { conditions?: { type: string; status: string }[] } };

/** Makes ScaledObjects known to a cluster. @param version of KEDA, as its releases and its chart label the definition */
export async function installScaledObjects(client: KubeClient, version?: string): Promise<void> {
  const definition = parse(await readFile(file, "utf8")) as Definition;
  if (version !== undefined) definition.metadata.labels = { "app.kubernetes.io/version": version };
  try {
    await client.create(resources.customResourceDefinitions, definition);
  } catch (error) {
    if (!isAlreadyExists(error)) throw error;
  }
}

export type ScaledObjectSpec = Partial<ScaledObject["spec"]> & {
  readonly pollingInterval?: number;
  readonly cooldownPeriod?: number;
  readonly initialCooldownPeriod?: number;
  readonly triggers?: readonly Trigger[];
};

/** Where nobody asks it. */
export const cronTrigger: Trigger = {
  type: "cron",
  metadata: { timezone: "UTC", start: "0 8 * * *", end: "0 18 * * *", desiredReplicas: "2" },
};

/** A ScaledObject of a Deployment of the same name. */
export async function createScaledObject(
  client: KubeClient,
  name: string,
  spec: ScaledObjectSpec = {},
  annotations: Record<string, string> = {},
): Promise<ScaledObject> {
  return await client.create<ScaledObject>(resources.scaledObjects, {
    apiVersion: "keda.sh/v1alpha1",
    kind: "ScaledObject",
    metadata: { name, namespace: "default", annotations },
    spec: {
      scaleTargetRef: { name },
      triggers: [cronTrigger],
      ...spec,
    } as ScaledObject["spec"],
  });
}

/** Removes every ScaledObject of the namespace of tests. */
export async function removeScaledObjects(client: KubeClient): Promise<void> {
  const { items } = await client.list<ScaledObject>(resources.scaledObjects, { namespace: "default" });
  for (const { metadata } of items) await client.delete(resources.scaledObjects, "default", metadata.name);
}
