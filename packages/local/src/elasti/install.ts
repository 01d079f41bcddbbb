import { readdir, readFile, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { elastiServiceCrd } from "@elasti/api";
import { errorText } from "@elasti/core";
import { type KubeObject, resources, type Service } from "@elasti/kube";
import type { LocalCluster } from "../cluster.ts";
import { ensure, Installation } from "./installation.ts";
import {
  type Component,
  deploymentManifest,
  namespaceManifest,
  OPERATOR,
  RESOLVER,
  serviceManifests,
} from "./manifests.ts";

export interface InstallOptions {
  /** Must know the accounts that `elastiAccounts` names. */
  readonly cluster: LocalCluster;
  readonly namespace?: string;
  readonly operators?: number;
  readonly resolvers?: number;
  /** Settings of the processes, over the ones that the installation needs. */
  readonly env?: {
    readonly operator?: Readonly<Record<string, string>>;
    readonly resolver?: Readonly<Record<string, string>>;
  };
  /** The Prometheus server of triggers that name none. */
  readonly prometheusUrl?: string;
  /** Folder of the cluster's pod logs; a start that fails then says why. */
  readonly logDir?: string;
  readonly timeoutMs?: number;
  /** Ends the wait for the pods. */
  readonly signal?: AbortSignal;
}

const defaultNamespace = "elasti-system";
const accountOf = (component: Component, namespace: string) => `system:serviceaccount:${namespace}:${component}`;

/** The accounts that a cluster must be started with (`accounts`) for Elasti to be installed on it. */
export function elastiAccounts(namespace: string = defaultNamespace): string[] {
  return [accountOf(OPERATOR, namespace), accountOf(RESOLVER, namespace)];
}

/**
 * Installs Elasti on a local cluster as it is installed on any: CRD, Services, two Deployments, and waits until all pods are
 * ready.
 * @throws ELASTI_LOCAL_NOT_READY with the last error of the pods' logs
 */
export async function installElasti(options: InstallOptions): Promise<Installation> {
  const { cluster, namespace = defaultNamespace, operators = 2, resolvers = 2, env = {}, timeoutMs, signal } = options;
  const [operatorAccount, resolverAccount] = [accountOf(OPERATOR, namespace), accountOf(RESOLVER, namespace)];
  const client = cluster.client();
  const installation = new Installation(cluster, namespace, client);
  try {
    const resolverKubeconfig = await cluster.kubeconfigPath(resolverAccount);
    // beside the kubeconfigs: the cluster removes that folder when it closes
    const tokenFile = join(dirname(resolverKubeconfig), `${namespace}-resolver.token`);
    await writeFile(tokenFile, cluster.token(resolverAccount), { mode: 0o600 });
    const environments: Record<Component, Record<string, string>> = {
      [OPERATOR]: {
        KUBECONFIG: await cluster.kubeconfigPath(operatorAccount),
        // the embedded API server reviews no tokens
        ELASTI_STATIC_TOKENS: JSON.stringify({ [cluster.token(resolverAccount)]: resolverAccount }),
        ...(options.prometheusUrl === undefined ? {} : { PROMETHEUS_TRIGGER_SERVER_ADDRESS: options.prometheusUrl }),
        ...env.operator,
      },
      [RESOLVER]: {
        KUBECONFIG: resolverKubeconfig,
        ELASTI_TOKEN_FILE: tokenFile,
        // changes of Services reach all local nodes at once
        ELASTI_SETTLE_TIME: "500ms",
        ...env.resolver,
      },
    };
    await ensure(client, resources.namespaces, namespaceManifest(namespace));
    const crd = elastiServiceCrd() as KubeObject & { metadata: { name: string } };
    await ensure(client, resources.customResourceDefinitions, crd);
    await cluster.waitFor(resources.customResourceDefinitions, undefined, crd.metadata.name, isEstablished);
    for (const service of serviceManifests(namespace)) await client.create<Service>(resources.services, service);
    for (const [component, replicas] of [
      [OPERATOR, operators],
      [RESOLVER, resolvers],
    ] as const) {
      const manifest = deploymentManifest({ component, namespace, replicas, env: environments[component] });
      await client.create(resources.deployments, manifest);
    }
    const wait = { ...(timeoutMs === undefined ? {} : { timeoutMs }), ...(signal === undefined ? {} : { signal }) };
    await Promise.all([installation.ready(OPERATOR, operators, wait), installation.ready(RESOLVER, resolvers, wait)]);
    return installation;
  } catch (error) {
    const said = options.logDir === undefined ? undefined : await lastErrorLine(options.logDir, namespace);
    await installation.close();
    if (said !== undefined && error instanceof Error) error.message = `${errorText(error)}: ${said}`;
    throw error;
  }
}

function isEstablished(object: KubeObject | undefined): true | undefined {
  const { status } = (object ?? {}) as { status?: { conditions?: { type: string; status: string }[] } };
  return status?.conditions?.some((one) => one.type === "Established" && one.status === "True") || undefined;
}

/** The last line of a pod's log that tells of a failure. */
async function lastErrorLine(folder: string, namespace: string): Promise<string | undefined> {
  const files = (await readdir(folder).catch(() => [])).filter((file) => file.startsWith(`${namespace}_`));
  for (const file of files.sort()) {
    const lines = (await readFile(join(folder, file), "utf8").catch(() => "")).trimEnd().split("\n");
    const line = lines.findLast((text) => /"level":"(error|fatal)"|^\S*Error\b|^elasti-/.test(text));
    if (line !== undefined) return `${file}: ${line.slice(0, 500)}`;
  }
  return undefined;
}
