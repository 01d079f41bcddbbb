import { spawn } from "node:child_process";
import { once } from "node:events";
import { ensureHelm, type Which } from "./binaries.ts";
import { type ClusterState, down, up } from "./cluster.ts";
import { addresses, Places, repository } from "./places.ts";

/** What a program learns of the cluster that it runs inside of. */
function environment(places: Places, state: ClusterState, helm: string | undefined): Record<string, string> {
  return {
    ELASTI_TEST_KUBECONFIG: places.kubeconfig,
    // a node of ours: its processes can be stopped and killed
    ELASTI_TEST_NODE: places.name,
    // where pods reach what a program serves
    ELASTI_TEST_HOST: addresses.node[1],
    ELASTI_TEST_VERSION: state.version,
    ...(helm === undefined ? {} : { ELASTI_TEST_HELM: helm }),
  };
}

/**
 * Brings a cluster up, runs a program of ours in the network of its first node, and takes the cluster down: the program is a
 * client on the node, which reaches Services and pods, and nothing else.
 * @param args the program's file and its arguments
 * @returns its exit code
 */
export async function runInside(
  args: readonly string[],
  options: {
    name: string;
    version?: Which;
    /** Programs that it wants: the network is not reached from inside. */
    helm?: boolean;
    say?: (line: string) => void;
  },
): Promise<number> {
  const { name, say = () => {} } = options;
  const helm = options.helm === true ? await ensureHelm(say) : undefined;
  const state = await up(options);
  say(`Kubernetes ${state.version} is up`);
  const stop = () => {
    down(name).finally(() => process.exit(1));
  };
  process.once("SIGINT", stop).once("SIGTERM", stop);
  try {
    const places = new Places(name);
    const child = spawn("nsenter", [`--net=/run/netns/${places.netns(1)}`, process.execPath, ...args], {
      cwd: repository,
      env: { ...process.env, ...environment(places, state, helm) },
      stdio: "inherit",
    });
    const [code] = (await once(child, "exit")) as [number | null];
    return code ?? 1;
  } finally {
    if (process.env.ELASTI_CLUSTER_KEEP === undefined) await down(name);
  }
}
