import { spawn } from "node:child_process";
import { createInterface } from "node:readline/promises";

export interface ProgramSearch {
  /** The path of an installed program. */
  readonly find: (name: string) => string | undefined;
  readonly noInstall: boolean;
  /** May install packages: root. */
  readonly root: boolean;
  /** Asks whoever sits at the terminal; undefined where nobody does, and then nobody is asked. */
  readonly ask: ((question: string) => Promise<boolean>) | undefined;
  /** Runs a program to its end. @returns whether it succeeded */
  readonly run: (program: string, args: readonly string[]) => Promise<boolean>;
  readonly say: (line: string) => void;
}

const PACKAGE = "prometheus";

/** The path of Prometheus, which is installed first where it is missing and may be; undefined where it cannot be had. */
export async function prometheusProgram(search: ProgramSearch): Promise<string | undefined> {
  const { find, noInstall, root, ask, run, say } = search;
  const present = find("prometheus");
  if (present !== undefined) return present;
  const aptGet = find("apt-get");
  if (noInstall || !root || aptGet === undefined) return undefined;
  const question = `Prometheus is to say when the service is idle, and is not installed. Install it (apt-get install ${PACKAGE})?`;
  if (ask !== undefined && !(await ask(question))) return undefined;
  say(`installing the Debian package ${PACKAGE} (apt-get)`);
  const install = ["install", "-y", "-qq", "--no-install-recommends", PACKAGE];
  // the package index may be missing or old: only then is a new one asked for
  const installed =
    (await run(aptGet, install)) || ((await run(aptGet, ["update", "-qq"])) && (await run(aptGet, install)));
  if (!installed) say(`the Debian package ${PACKAGE} could not be installed`);
  return find("prometheus");
}

/** Asks at the terminal; a bare Return means yes. */
export async function askAtTerminal(question: string, signal: AbortSignal): Promise<boolean> {
  const terminal = createInterface({ input: process.stdin, output: process.stdout });
  try {
    return !/^\s*n/i.test(await terminal.question(`${question} [Y/n] `, { signal }));
  } catch {
    signal.throwIfAborted();
    // the input ended without an answer
    return false;
  } finally {
    terminal.close();
  }
}

/** Runs a program whose words go to the error stream, so that the last line of the output stays the result. */
export function runProgram(program: string, args: readonly string[], signal: AbortSignal): Promise<boolean> {
  const env = { ...process.env, DEBIAN_FRONTEND: "noninteractive" };
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: ["ignore", 2, 2], env, signal });
    child.once("error", () => resolve(false));
    child.once("exit", (code) => resolve(code === 0));
  });
}
