import { readFile } from "node:fs/promises";
import type { ElastiProcess } from "@elasti/local";

/** Resident memory of a process in MiB; undefined when it is gone. */
export async function residentMiB(pid: number): Promise<number | undefined> {
  const text = await readFile(`/proc/${pid}/status`, "utf8").catch(() => "");
  const found = /^VmRSS:\s+(\d+) kB$/m.exec(text);
  return found === null ? undefined : Number(found[1]) / 1_024;
}

/** What each process of Elasti takes, in one line. */
export async function memoryLine(processes: readonly ElastiProcess[]): Promise<string> {
  const parts = await Promise.all(
    processes.map(async ({ component, pid }) => {
      const mib = await residentMiB(pid);
      return mib === undefined ? undefined : `${component} ${mib.toFixed(0)} MiB`;
    }),
  );
  return `memory (resident): ${parts.filter((part) => part !== undefined).join(", ")}`;
}
