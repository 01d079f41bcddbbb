import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdir, writeFile } from "node:fs/promises";
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

/** Where builds, and the images that they begin with, stay between runs. */
export const buildFolder = join(cacheFolder(), "build");

/** Runs buildah on a store of its own in the cache. @returns what it says */
export async function buildah(...args: string[]): Promise<string> {
  return await withStore("buildah", ...args);
}

/** Runs a program whose buildah uses that store. */
export async function withStore(program: string, ...args: string[]): Promise<string> {
  if (which("buildah") === undefined) throw new Missing("building images needs buildah: apt-get install -y buildah");
  const settings = join(buildFolder, "storage.conf");
  await mkdir(buildFolder, { recursive: true });
  const lines = [
    "[storage]",
    'driver = "overlay"',
    `graphroot = "${buildFolder}/store"`,
    'runroot = "/run/elasti-images"',
  ];
  await writeFile(settings, `${lines.join("\n")}\n`);
  return await outside("env", `CONTAINERS_STORAGE_CONF=${settings}`, program, ...args);
}

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
