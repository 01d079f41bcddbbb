import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { type Pod, resources } from "@elasti/kube";
import { elastiAccounts, installElasti, pidOf, startLocalCluster } from "@elasti/local";
import { ApiProxy } from "./api-proxy.ts";
import { patienceMs } from "./client.ts";
import { fastOperator, type Ground, World, type WorldOptions } from "./world.ts";

/** The embedded cluster with Elasti's real processes on it. */
export async function startEmbeddedWorld(options: WorldOptions): Promise<World> {
  const folder = process.env.ELASTI_E2E_LOGS ?? (await mkdtemp(join(tmpdir(), "elasti-e2e-")));
  const [operatorAccount = "", ...others] = elastiAccounts();
  const cluster = await startLocalCluster({
    nodes: options.nodes ?? 1,
    accounts: [operatorAccount, ...others, ...(options.accounts ?? [])],
    podLogDir: folder,
    restart: { initialMs: 500, maxMs: 500 },
  });
  const operatorApi = await ApiProxy.start(cluster.url, options.stops === undefined ? {} : { stops: options.stops });
  const close = async () => {
    // processes that are told to stop first would each take their time
    await operatorApi.close();
    await cluster.close();
    if (process.env.ELASTI_E2E_LOGS === undefined) await rm(folder, { recursive: true, force: true });
  };
  try {
    const kubeconfig = join(folder, "operator.kubeconfig");
    await writeFile(kubeconfig, cluster.kubeconfig(operatorAccount).replaceAll(cluster.url, operatorApi.url), {
      mode: 0o600,
    });
    const { namespace } = await installElasti({
      cluster,
      operators: options.operators ?? 1,
      resolvers: options.resolvers ?? 1,
      env: {
        operator: { ...fastOperator, KUBECONFIG: kubeconfig, ...options.operatorEnv },
        resolver: { ELASTI_SETTLE_TIME: "1s", ...options.resolverEnv },
      },
      logDir: folder,
      ...(options.prometheusUrl === undefined ? {} : { prometheusUrl: options.prometheusUrl }),
    });
    const killed = new Set<number>();
    const ground: Ground = {
      kubeconfig: await cluster.kubeconfigPath(),
      clientAddress: cluster.clientAddress(1),
      resolverToken: async () => cluster.token(`system:serviceaccount:${namespace}:elasti-resolver`),
      prepare: (deployment) => deployment,
      async pid({ metadata }) {
        // its status follows its process: for a moment it has none, or shows the one that was killed before
        const look = (pod: Pod | undefined) => {
          const pid = pod === undefined ? undefined : pidOf(pod);
          return pid !== undefined && !killed.has(pid) && pid;
        };
        return await world.until("a process", resources.pods, metadata.namespace, metadata.name, look);
      },
      async kill(pod) {
        const pid = await ground.pid(pod);
        killed.add(pid);
        process.kill(pid, "SIGKILL");
      },
      async backends(node, ns, name, fits) {
        const look = (found: readonly { port: number }[]) => fits(found.map(({ port }) => port));
        await cluster.waitForBackends(node, `${ns}/${name}`, look, AbortSignal.timeout(patienceMs));
      },
      close,
    };
    const world = new World({
      client: cluster.client(),
      system: namespace,
      ground,
      embedded: { cluster, operatorApi },
    });
    return world;
  } catch (error) {
    await close();
    throw error;
  }
}
