import { existsSync, readFileSync } from "node:fs";
import { mkdir, readdir, rm, rmdir } from "node:fs/promises";
import { join } from "node:path";
import type { Places } from "./places.ts";
import { run, start } from "./shell.ts";

/**
 * The namespaces of processes and mounts that the whole cluster lives in. Its first process collects what others leave behind,
 * and when it is killed the kernel ends every process of the cluster and takes all mounts away.
 */
export class Sandbox {
  readonly places: Places;
  /** The first process, as this machine numbers it. */
  readonly pid: number;

  constructor(places: Places, pid: number) {
    this.places = places;
    this.pid = pid;
  }

  static async start(places: Places): Promise<Sandbox> {
    await mkdir(places.logs, { recursive: true });
    await mkdir(places.data, { recursive: true });
    const script = [
      // data in memory: a test cluster needs no disk, and nothing of it is left
      `mount -t tmpfs -o mode=755 data ${places.data}`,
      // the container runtime puts sockets there, whatever it is told
      "mount -t tmpfs -o mode=755 run /run",
      "mount --make-rshared /",
      `touch ${places.folder}/sandbox-ready`,
      "while :; do sleep 3600 & wait $!; done",
    ].join("\n");
    const net = `--net=/run/netns/${places.netns(1)}`;
    const unshare = ["unshare", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", "-ec", script];
    const log = join(places.logs, "sandbox.log");
    const outer = start("nsenter", [net, ...unshare], log);
    await waitFor(() => existsSync(join(places.folder, "sandbox-ready")), 5_000, log);
    return new Sandbox(places, await onlyChild(outer, log));
  }

  /** Starts a process of the cluster on a node. @returns its process id, as this machine numbers it */
  async start(name: string, program: string, args: readonly string[], node: 1 | 2 = 1): Promise<number> {
    const net = `--net=/run/netns/${this.places.netns(node)}`;
    const log = join(this.places.logs, `${name}.log`);
    const outer = start("nsenter", [`--target=${this.pid}`, "--mount", "--pid", net, "--wd=/", program, ...args], log);
    return await onlyChild(outer, log);
  }

  /** Runs a program of the machine among the cluster's mounts and processes. */
  async run(program: string, ...args: string[]): Promise<string> {
    return await run(
      "nsenter",
      `--target=${this.pid}`,
      "--mount",
      "--pid",
      `--net=/run/netns/${this.places.netns(1)}`,
      "--wd=/",
      program,
      ...args,
    );
  }
}

/** The process that a program forked to enter a new namespace of processes. */
async function onlyChild(parent: number, log: string): Promise<number> {
  const children = () => {
    try {
      return readFileSync(`/proc/${parent}/task/${parent}/children`, "utf8").trim();
    } catch {
      throw new Error(`ended at once: ${existsSync(log) ? readFileSync(log, "utf8").slice(-500) : ""}`);
    }
  };
  await waitFor(() => children() !== "", 5_000, log);
  return Number(children().split(" ")[0]);
}

/** Removes a cgroup of every hierarchy with what is below it; its processes must have ended. */
export async function removeCgroups(name: string): Promise<void> {
  const root = "/sys/fs/cgroup";
  const hierarchies = existsSync(join(root, "cgroup.controllers"))
    ? [root]
    : (await readdir(root)).map((one) => join(root, one));
  for (const hierarchy of hierarchies) await removeTree(join(hierarchy, name));
}

async function removeTree(folder: string): Promise<void> {
  const entries = await readdir(folder, { withFileTypes: true }).catch(() => []);
  for (const entry of entries) if (entry.isDirectory()) await removeTree(join(folder, entry.name));
  await rmdir(folder).catch(() => {});
}

/** Looks every few milliseconds: what is waited for says nothing when it comes. @throws an Error with the end of the log */
export async function waitFor(look: () => boolean | Promise<boolean>, timeoutMs: number, log: string): Promise<void> {
  const until = Date.now() + timeoutMs;
  while (!(await look())) {
    if (Date.now() > until) {
      const said = existsSync(log) ? readFileSync(log, "utf8").trimEnd().split("\n").slice(-5).join("\n") : "";
      throw new Error(`not ready in ${timeoutMs / 1000} s; the end of ${log}:\n${said}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Removes the folder of a cluster. */
export async function removeFolder(places: Places): Promise<void> {
  await rm(places.folder, { recursive: true, force: true });
}
