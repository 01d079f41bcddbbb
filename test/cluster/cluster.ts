import { existsSync, readFileSync } from "node:fs";
import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { ensureBinaries, ensureCoreDns, type Which } from "./binaries.ts";
import { ControlPlane } from "./control-plane.ts";
import { startDns } from "./dns.ts";
import { makeNetwork, removeNetwork } from "./network.ts";
import { Node } from "./node.ts";
import { addresses, Places } from "./places.ts";
import { checkMachine } from "./requirements.ts";
import { removeCgroups, removeFolder, Sandbox, waitFor } from "./sandbox.ts";
import { run, tryRun } from "./shell.ts";

/** What is known of a cluster that runs. */
export interface ClusterState {
  readonly name: string;
  readonly version: string;
  /** The first process; all others end with it. */
  readonly sandboxPid: number;
  /** When that process was started, in ticks since boot: another process may get its number later. */
  readonly sandboxStart: string;
  readonly kubeProxies: Readonly<Record<keyof typeof addresses.node, number>>;
  readonly etcd: number;
  readonly apiServer: number;
  readonly binaries: string;
}

export interface UpOptions {
  readonly name?: string;
  readonly version?: Which;
  readonly say?: (line: string) => void;
}

export const defaultName = "elasti";

/**
 * Brings a whole Kubernetes up: etcd, control plane, a node with kubelet and containerd, and a second kube-proxy. What an
 * earlier one left behind is removed first. @throws Missing when the machine lacks something
 */
export async function up(options: UpOptions = {}): Promise<ClusterState> {
  const { name = defaultName, version = "newest", say = () => {} } = options;
  checkMachine();
  const binaries = await ensureBinaries(version, say);
  const coreDns = await ensureCoreDns(say);
  const places = new Places(name);
  await down(name);
  await mkdir(places.folder, { recursive: true, mode: 0o755 });
  try {
    await makeNetwork(places);
    const sandbox = await Sandbox.start(places);
    const controlPlane = new ControlPlane(sandbox, binaries);
    const node = new Node(sandbox, binaries, controlPlane);
    // both take seconds, and neither needs the other
    const runtime = node.startRuntime();
    runtime.catch(() => {});
    const { etcd, apiServer } = await controlPlane.start();
    const dns = await startDns(sandbox, coreDns, controlPlane.kubeconfig("admin"));
    const kubectl = (...args: string[]) => kubectlOf(places, binaries.folder)(...args);
    await runtime;
    await node.startKubelet();
    // a Node of which only the address is true: its kube-proxy waits for it
    const second = join(places.folder, "node-2.json");
    await writeFile(second, JSON.stringify(nodeTwo));
    await kubectl("create", "-f", second);
    await kubectl("replace", "--raw=/api/v1/nodes/node-2/status", "-f", second);
    const kubeProxies = { 1: await node.startServiceProxy(1), 2: await node.startServiceProxy(2) };
    await startRelay(sandbox);
    const there = async () => (await kubectl("get", "nodes", "-o", "name").catch(() => "")).includes("node-1");
    await waitFor(there, 30_000, join(places.logs, "kubelet.log"));
    await kubectl("wait", "--for=condition=Ready", "node/node-1", "--timeout=30s");
    await dns.answers();
    const state: ClusterState = {
      name,
      version: binaries.version,
      sandboxPid: sandbox.pid,
      sandboxStart: startOf(sandbox.pid) ?? "",
      kubeProxies,
      etcd,
      apiServer,
      binaries: binaries.folder,
    };
    await writeFile(places.state, JSON.stringify(state, undefined, 2));
    return state;
  } catch (error) {
    if (process.env.ELASTI_CLUSTER_KEEP === undefined) await down(name);
    throw error;
  }
}

/** By which a client on the first node sends from the second. */
async function startRelay(sandbox: Sandbox): Promise<void> {
  const relay = join(import.meta.dirname, "relay.ts");
  await sandbox.start("relay", process.execPath, [relay, addresses.node[2], String(addresses.relayPort)], 2);
}

const nodeTwo = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "node-2" },
  spec: { unschedulable: true },
  status: { addresses: [{ type: "InternalIP", address: addresses.node[2] }] },
};

/** kubectl as the administrator, from within the first node. */
export function kubectlOf(places: Places, binaries: string): (...args: string[]) => Promise<string> {
  const program = [
    `--net=/run/netns/${places.netns(1)}`,
    join(binaries, "kubectl"),
    `--kubeconfig=${places.kubeconfig}`,
  ];
  return (...args) => run("nsenter", ...program, ...args);
}

/** What runs under that name, or undefined. */
export function stateOf(name: string = defaultName): ClusterState | undefined {
  const { state } = new Places(name);
  if (!existsSync(state)) return undefined;
  const read = JSON.parse(readFileSync(state, "utf8")) as ClusterState;
  return startOf(read.sandboxPid) === read.sandboxStart ? read : undefined;
}

/** Ends a cluster and removes all of it, also what is left of one whose start broke off. Idempotent. */
export async function down(name: string = defaultName): Promise<void> {
  const places = new Places(name);
  for (const node of [1, 2] as const) {
    const pids =
      (await tryRun("ip", "netns", "pids", places.netns(node)))?.split("\n").filter((pid) => pid !== "") ?? [];
    for (const pid of pids) kill(Number(pid));
    await waitFor(
      async () => ((await tryRun("ip", "netns", "pids", places.netns(node))) ?? "").trim() === "",
      10_000,
      join(places.logs, "sandbox.log"),
    );
  }
  const pid = existsSync(places.state) ? stateOf(name)?.sandboxPid : undefined;
  if (pid !== undefined) kill(pid);
  await removeNetwork(places);
  await removeCgroups(places.cgroup);
  await removeFolder(places);
}

function kill(pid: number): void {
  try {
    process.kill(pid, "SIGKILL");
  } catch {
    // it has ended by itself
  }
}

/** When a process was started, in ticks since boot, or undefined when there is none. */
function startOf(pid: number): string | undefined {
  try {
    return readFileSync(`/proc/${pid}/stat`, "utf8").split(") ")[1]?.split(" ")[19];
  } catch {
    return undefined;
  }
}
