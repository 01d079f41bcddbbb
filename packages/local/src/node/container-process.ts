import { type ChildProcess, spawn } from "node:child_process";
import { type FileHandle, mkdir, open } from "node:fs/promises";
import { dirname } from "node:path";
import { createInterface } from "node:readline";
import { errorCode, errorText } from "@elasti/core";
import type { OrphanGuard } from "./orphan-guard.ts";

/** How a container ended. */
export interface ContainerExit {
  /** 128 + signal number for a signal, 128 when it could not be started. */
  exitCode: number;
  reason: "Completed" | "Error" | "StartError";
  message?: string;
}

/** Where the lines of a container go: a file, a function, or nowhere. */
export interface ContainerOutput {
  file?: string;
  onLine?: (line: string, stream: "stdout" | "stderr") => void;
}

const signalNumbers: Readonly<Record<string, number>> = {
  SIGHUP: 1,
  SIGINT: 2,
  SIGABRT: 6,
  SIGKILL: 9,
  SIGSEGV: 11,
  SIGTERM: 15,
};

/** One run of a container as a process group of its own. */
export class ContainerProcess {
  readonly pid: number | undefined;
  /** Settles once, when the process is gone and its group with it. */
  readonly exited: Promise<ContainerExit>;
  readonly #child: ChildProcess;
  #over = false;

  private constructor(child: ChildProcess, guard: OrphanGuard) {
    this.#child = child;
    this.pid = child.pid;
    if (child.pid !== undefined) guard.add(child.pid);
    this.exited = new Promise((resolve) => {
      child.once("error", (error) => {
        if (child.pid !== undefined) return;
        this.#over = true;
        resolve({ exitCode: 128, reason: "StartError", message: startErrorText(error) });
      });
      child.once("exit", (code, signal) => {
        // the first process of a container takes the others with it
        this.#killGroup();
        this.#over = true;
        if (child.pid !== undefined) guard.remove(child.pid);
        const exitCode = code ?? 128 + (signalNumbers[signal ?? ""] ?? 0);
        resolve({ exitCode, reason: exitCode === 0 ? "Completed" : "Error" });
      });
    });
  }

  static async start(options: {
    argv: readonly string[];
    env: Readonly<Record<string, string>>;
    cwd?: string | undefined;
    guard: OrphanGuard;
    output?: ContainerOutput | undefined;
  }): Promise<ContainerProcess> {
    const { argv, env, cwd, guard, output } = options;
    const log = output?.file === undefined ? undefined : await openLog(output.file);
    const sink = output?.onLine !== undefined ? "pipe" : (log?.fd ?? "ignore");
    const child = spawn(argv[0]!, argv.slice(1), {
      env: { ...env },
      ...(cwd === undefined ? {} : { cwd }),
      detached: true,
      stdio: ["ignore", sink, sink],
    });
    const container = new ContainerProcess(child, guard);
    if (output?.onLine !== undefined) pumpLines(child, output.onLine, log);
    else await log?.close();
    return container;
  }

  /** SIGTERM to the first process alone, as a container runtime does. */
  terminate(): void {
    if (!this.#over) this.#child.kill("SIGTERM");
  }

  /** SIGKILL to the whole group. */
  kill(): void {
    if (!this.#over) this.#killGroup();
  }

  #killGroup(): void {
    if (this.pid === undefined) return;
    try {
      process.kill(-this.pid, "SIGKILL");
    } catch (error) {
      if (errorCode(error) !== "ESRCH" && errorCode(error) !== "EPERM") throw error;
    }
  }
}

async function openLog(file: string): Promise<FileHandle> {
  await mkdir(dirname(file), { recursive: true });
  return open(file, "a");
}

function pumpLines(
  child: ChildProcess,
  onLine: NonNullable<ContainerOutput["onLine"]>,
  log: FileHandle | undefined,
): void {
  const file = log?.createWriteStream();
  let open = 0;
  for (const stream of ["stdout", "stderr"] as const) {
    const input = child[stream];
    if (input === null) continue;
    open += 1;
    createInterface({ input, crlfDelay: Number.POSITIVE_INFINITY })
      .on("line", (line) => {
        file?.write(`${line}\n`);
        onLine(line, stream);
      })
      .once("close", () => {
        open -= 1;
        if (open === 0) file?.end();
      });
  }
}

function startErrorText(error: Error): string {
  return errorCode(error) === "ENOENT" ? `${errorText(error)}: no such command or working directory` : errorText(error);
}
