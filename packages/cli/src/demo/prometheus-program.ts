import { spawn } from "node:child_process";
import { createInterface } from "node:readline/promises";
import { findProgram } from "@elasti/local";

export interface ProgramSearch {
  /** PATH. */
  readonly searchPath: string;
  readonly noInstall: boolean;
  /** May install packages: root. */
  readonly root: boolean;
  /** Somebody sits there who can be asked. */
  readonly terminal: boolean;
  readonly say: (line: string) => void;
  readonly signal: AbortSignal;
}

const PACKAGE = "prometheus";

/** The path of Prometheus, which is installed first where it is missing and may be; undefined where it cannot be had. */
export async function prometheusProgram(search: ProgramSearch): Promise<string | undefined> {
  const { searchPath, noInstall, root, terminal, say, signal } = search;
  const present = findProgram("prometheus", searchPath);
  if (present !== undefined) return present;
  const aptGet = findProgram("apt-get", searchPath);
  if (noInstall) return undefined;
  if (!root || aptGet === undefined) return undefined;
  if (terminal && !(await confirmed(signal))) return undefined;
  say(`installing the Debian package ${PACKAGE} (apt-get)`);
  // the index may be missing or old: try what is there before asking for a new one
  const install = ["install", "-y", "-qq", "--no-install-recommends", PACKAGE];
  const done =
    (await run(aptGet, install, signal)) ||
    ((await run(aptGet, ["update", "-qq"], signal)) && (await run(aptGet, install, signal)));
  if (!done) say(`the Debian package ${PACKAGE} could not be installed`);
  return findProgram("prometheus", searchPath);
}

async function confirmed(signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    const answer = await terminal.question(
      "Prometheus is to decide when the service is idle, and is not installed. Install it (apt-get install prometheus)? [Y/n] ",
      { signal },
    );
    return !/^\s*n/i.test(answer);
  } catch {
    signal.throwIfAborted();
    return false;
  } finally {
    terminal.close();
  }
}

/** Runs a program whose words go to the error stream, so that the last line of the output stays the result. */
function run(program: string, args: readonly string[], signal: AbortSignal): Promise<boolean> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["ignore", 2, 2], env, signal });
    child.once("error", () => resolve(false));
    child.once("exit", (code) => resolve(code === 0));
  });
}
