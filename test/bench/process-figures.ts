import { readdirSync, readFileSync } from "node:fs";

/** The kernel's ticks, in which it counts times of processes: USER_HZ, which is 100 on every architecture of ours. */
const TICK_MS = 10;

/** A process of a pod, as this machine sees it. */
export interface PodProcess {
  readonly pid: number;
  readonly pod: string;
  readonly address: string;
}

/** Finds processes of pods of a namespace by their environment, which says which pod they are. */
export class PodProcesses {
  readonly #namespace: string;
  readonly #looked = new Set<string>();

  /** @param namespace a name that no other cluster on this machine has */
  constructor(namespace: string) {
    this.#namespace = namespace;
  }

  /** Those that were not there when it was asked last. */
  fresh(): PodProcess[] {
    const found: PodProcess[] = [];
    const pids = readdirSync("/proc").filter((name) => /^\d+$/.test(name));
    for (const pid of pids) {
      if (this.#looked.has(pid)) continue;
      const environment = new Map(
        read(`/proc/${pid}/environ`)
          .split("\0")
          .map((line) => [line.slice(0, line.indexOf("=")), line.slice(line.indexOf("=") + 1)]),
      );
      const [pod, address] = [environment.get("POD_NAME"), environment.get("POD_IP")];
      const own = environment.get("POD_NAMESPACE") === this.#namespace;
      if (own && pod !== undefined && address !== undefined) found.push({ pid: Number(pid), pod, address });
      // before its program is in place a process has no environment: it is looked at again
      if (environment.has("PATH")) this.#looked.add(pid);
    }
    return found;
  }
}

/**
 * Resident memory in MiB, as the kernel counts it: with pages that other processes share.
 * @param part `RssFile`: pages of files alone, which is the program of Node.js; `RssAnon`: all others
 */
export function residentMib(pid: number, part: "VmRSS" | "RssFile" | "RssAnon" = "VmRSS"): number {
  const kib = new RegExp(`^${part}:\\s+(\\d+) kB$`, "m").exec(read(`/proc/${pid}/status`))?.[1];
  if (kib === undefined) throw new Error(`process ${pid} has ended`);
  return Number(kib) / 1_024;
}

/** CPU time that a process has used since its start, in ms. */
export function cpuMs(pid: number): number {
  const fields = statOf(pid);
  return (Number(fields[11]) + Number(fields[12])) * TICK_MS;
}

/** For how long a process has been there, in ms. */
export function ageMs(pid: number): number {
  const uptimeMs = Number(read("/proc/uptime").split(" ")[0]) * 1_000;
  return uptimeMs - Number(statOf(pid)[19]) * TICK_MS;
}

/** The fields after the name, which may hold anything. */
function statOf(pid: number): string[] {
  const fields = read(`/proc/${pid}/stat`).split(") ").at(-1)?.split(" ") ?? [];
  if (fields.length < 20) throw new Error(`process ${pid} has ended`);
  return fields;
}

function read(path: string): string {
  try {
    return readFileSync(path, "latin1");
  } catch {
    return "";
  }
}
