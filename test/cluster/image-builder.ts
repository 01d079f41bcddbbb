import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { cacheFolder } from "./places.ts";
import { Missing, which } from "./requirements.ts";
import { run } from "./shell.ts";

/**
 * Runs a program in the network of this machine: packages come from there, and a program that runs in a node of a cluster
 * reaches nothing but the cluster.
 */
export async function outside(program: string, ...args: string[]): Promise<string> {
  if (which(program) === undefined)
    throw new Missing(`building images needs ${program}: apt-get install -y ${program}`);
  const network = process.env.ELASTI_TEST_OUTSIDE;
  if (network === undefined) return await run(program, ...args);
  return await run("nsenter", `--net=${network}`, program, ...args);
}

/** Runs buildah on a store of its own in the cache. @returns what it says */
export async function builder(...args: string[]): Promise<string> {
  const store = ["--root", join(builder.folder, "store"), "--runroot", join("/run", "elasti-images")];
  return await outside("buildah", ...store, ...args);
}
builder.folder = join(cacheFolder(), "build");

/** Waits until this process alone holds a file; the kernel lets go of it when the process dies. @returns lets go of it */
export async function lock(file: string): Promise<() => Promise<void>> {
  const holder = spawn("flock", [file, "sh", "-c", "echo held; exec cat"], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(holder, "exit");
  await Promise.race([
    once(holder.stdout, "data"),
    ended.then(() => {
      throw new Error(`flock ${file} ended at once`);
    }),
  ]);
  return async () => {
    holder.stdin.end();
    await ended;
  };
}
