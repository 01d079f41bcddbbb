import { homedir } from "node:os";
import { join } from "node:path";

/** The root of the repository, which pods of the cluster see at the same path. */
export const repository = join(import.meta.dirname, "..", "..");

/** Where built programs stay between runs, by version: `ELASTI_CLUSTER_CACHE`, or a folder in the user's cache. */
export function cacheFolder(): string {
  return (
    process.env.ELASTI_CLUSTER_CACHE ?? join(process.env.XDG_CACHE_HOME ?? join(homedir(), ".cache"), "elasti-cluster")
  );
}

/** Everything of one cluster that has a name: two network namespaces, a folder, a cgroup. */
export class Places {
  readonly name: string;
  /** Logs, kubeconfigs, certificates. Data lies in memory and goes with the processes. */
  readonly folder: string;

  constructor(name: string) {
    this.name = name;
    this.folder = join("/var/lib/elasti-cluster", name);
  }

  /** In memory, and seen by the cluster's own processes only. */
  get data(): string {
    return join(this.folder, "data");
  }

  get logs(): string {
    return join(this.folder, "logs");
  }

  get kubeconfig(): string {
    return join(this.folder, "admin.kubeconfig");
  }

  /** Says which processes there are: the process that all others end with, and those that a test may stop. */
  get state(): string {
    return join(this.folder, "state.json");
  }

  get cgroup(): string {
    return `elasti-${this.name}`;
  }

  netns(node: 1 | 2): string {
    return `elasti-${this.name}-${node}`;
  }
}

/** Addresses. Two clusters on one machine may use the same: each has network namespaces of its own. */
export const addresses = {
  node: { 1: "10.201.0.1", 2: "10.201.0.2" },
  nodesBits: 24,
  pods: "10.244.0.0/16",
  podsOfNode1: "10.244.1.0/24",
  services: "10.96.0.0/16",
  apiService: "10.96.0.1",
  apiPort: 6443,
  /** Of the cluster's Services, as pods know them. */
  domain: "cluster.local",
  /** Of the relay on the second node, through which clients on the first send from there. */
  relayPort: 7000,
} as const;
