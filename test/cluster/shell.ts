import { execFile, spawn } from "node:child_process";
import { openSync } from "node:fs";
import { promisify } from "node:util";

const exec = promisify(execFile);

/** Runs a program to its end. @throws an Error that shows what it said */
export async function run(program: string, ...args: string[]): Promise<string> {
  try {
    const { stdout } = await exec(program, args, { maxBuffer: 64 * 1024 * 1024 });
    return stdout;
  } catch (error) {
    const said = error as { stderr?: string; message: string };
    throw new Error(`${program} ${args.join(" ")}: ${(said.stderr ?? "").trim() || said.message}`);
  }
}

/** The same, whatever comes of it. */
export async function tryRun(program: string, ...args: string[]): Promise<string | undefined> {
  return await run(program, ...args).catch(() => undefined);
}

/** Starts a program that goes on without us; its output goes to a file. @returns its process id */
export function start(
  program: string,
  args: readonly string[],
  log: string,
  env: NodeJS.ProcessEnv = process.env,
): number {
  const output = openSync(log, "a");
  const child = spawn(program, args, { detached: true, stdio: ["ignore", output, output], env });
  child.unref();
  if (child.pid === undefined) throw new Error(`${program} could not be started`);
  return child.pid;
}
