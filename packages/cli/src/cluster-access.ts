import { delimiter } from "node:path";
import { systemClock } from "@elasti/core";
import { type Cluster, createKubeClient, inClusterOf, type KubeClient, loadCluster } from "@elasti/kube";

/** How a command that works on a cluster is told which one. */
export interface ClusterOptions {
  readonly kubeconfig?: string | undefined;
  readonly context?: string | undefined;
}

/** For `parseArgs` of node:util. */
export const clusterFlags = {
  kubeconfig: { type: "string" },
  context: { type: "string" },
} as const;

export const clusterUsage = `  --kubeconfig <path>  left out: KUBECONFIG, the account of the pod it runs in, or ~/.kube/config
  --context <name>     context of the kubeconfig; its current one where left out`;

export type Environment = Readonly<Record<string, string | undefined>>;

/** A cluster that is reached, with as many clients as are asked for. */
export interface Access {
  readonly cluster: Cluster;
  readonly client: KubeClient;
  /** Another client, to be closed by whoever asked for it. */
  open(): KubeClient;
}

/** @throws ELASTI_KUBE_BAD_KUBECONFIG that says what is missing */
export async function connect(options: ClusterOptions, env: Environment): Promise<Access> {
  // kubectl merges several; the first one is what it would write to
  const [fromEnv] = (env.KUBECONFIG ?? "").split(delimiter).filter((path) => path !== "");
  const kubeconfigPath = options.kubeconfig ?? fromEnv;
  const inCluster = options.context === undefined ? inClusterOf(env) : undefined;
  const cluster = await loadCluster({
    clock: systemClock,
    kubeconfigPath,
    context: options.context,
    inCluster,
  });
  const open = () => createKubeClient({ cluster });
  return { cluster, client: open(), open };
}
