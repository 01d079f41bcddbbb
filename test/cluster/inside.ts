import { type ChildProcess, spawn } from "node:child_process";
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
    // the machine's own network, for what has to be fetched
    ELASTI_TEST_OUTSIDE: `/proc/${process.pid}/ns/net`,
    ...(helm === undefined ? {} : { ELASTI_TEST_HELM: helm }),
  };
}

export interface InsideOptions {
  readonly name: string;
  readonly version?: Which;
  /** Programs that it wants: the network is not reached from inside. */
  readonly helm?: boolean;
  readonly say?: (line: string) => void;
}

/**
 * Starts a program of ours in the network of a cluster's first node: it is a client on the node, which reaches Services and pods,
 * and nothing else.
 * @param args the program's file and its arguments @param env what it is told beside what it learns of the cluster
 */
export type StartInside = (
  args: readonly string[],
  stdio: "inherit" | "pipe",
  env?: Readonly<Record<string, string>>,
) => ChildProcess;

const running = new Set<string>();

function takeAllDown(): void {
  void Promise.allSettled([...running].map((name) => down(name))).then(() => process.exit(1));
}

/** Brings a cluster up, and takes it down once `use` is done with it, or this process is told to end. */
export async function withCluster<T>(options: InsideOptions, use: (start: StartInside) => Promise<T>): Promise<T> {
  const { name, say = () => {} } = options;
  const helm = options.helm === true ? await ensureHelm(say) : undefined;
  const state = await up(options);
  say(`Kubernetes ${state.version} is up`);
  if (running.size === 0) process.once("SIGINT", takeAllDown).once("SIGTERM", takeAllDown);
  running.add(name);
  try {
    const places = new Places(name);
    return await use((args, stdio, env = {}) =>
      spawn("nsenter", [`--net=/run/netns/${places.netns(1)}`, process.execPath, ...args], {
        cwd: repository,
        env: { ...process.env, ...environment(places, state, helm), ...env },
        stdio: ["inherit", stdio, stdio],
      }),
    );
  } finally {
    if (process.env.ELASTI_CLUSTER_KEEP === undefined) await down(name);
    running.delete(name);
  }
}

/** Runs one program inside of a cluster of its own. @returns its exit code */
export function runInside(args: readonly string[], options: InsideOptions): Promise<number> {
  return withCluster(options, async (start) => {
    const [code] = (await once(start(args, "inherit"), "exit")) as [number | null];
    return code ?? 1;
  });
}
