import { type ChildProcess, spawn } from "node:child_process";
import type { Logger } from "@elasti/core";

/**
 * Reads `+ pid` and `- pid` lines and kills the process groups still listed when its input ends, which happens however the
 * process that writes them dies.
 */
const script = `trap '' INT TERM HUP
pids=" "
while read -r op pid; do
  case $op in
    +) pids="$pids$pid " ;;
    -) rest=" "; for p in $pids; do [ "$p" = "$pid" ] || rest="$rest$p "; done; pids=$rest ;;
  esac
done
for p in $pids; do kill -s KILL -- "-$p" 2>/dev/null; done`;

/** Sees to it that no pod process outlives this process, even when that is killed with SIGKILL. One small shell for all pods. */
export class OrphanGuard {
  readonly #logger: Logger;
  readonly #groups = new Set<number>();
  #shell: ChildProcess | undefined;
  #closed = false;

  constructor(logger: Logger) {
    this.#logger = logger;
  }

  /** Watches over a process group from now on. */
  add(group: number): void {
    this.#groups.add(group);
    if (this.#shell === undefined) this.#start();
    else this.#shell.stdin?.write(`+ ${group}\n`);
  }

  remove(group: number): void {
    if (this.#groups.delete(group)) this.#shell?.stdin?.write(`- ${group}\n`);
  }

  /** Ends the shell; groups that are still listed die. */
  async close(): Promise<void> {
    this.#closed = true;
    const shell = this.#shell;
    if (shell === undefined || shell.exitCode !== null || shell.signalCode !== null) return;
    const exited = new Promise<void>((resolve) => shell.once("exit", () => resolve()));
    shell.ref();
    shell.stdin?.end();
    await exited;
  }

  #start(): void {
    if (this.#closed) return;
    // a session of its own: a Ctrl-C at the terminal must not reach it
    const shell = spawn("/bin/sh", ["-c", script], { detached: true, stdio: ["pipe", "ignore", "ignore"] });
    this.#shell = shell;
    shell.unref();
    if (shell.stdin !== null && "unref" in shell.stdin && typeof shell.stdin.unref === "function") shell.stdin.unref();
    shell.stdin?.on("error", () => {});
    shell.once("error", () => this.#lost(shell));
    shell.once("exit", () => this.#lost(shell));
    for (const group of this.#groups) shell.stdin?.write(`+ ${group}\n`);
  }

  #lost(shell: ChildProcess): void {
    if (this.#closed || this.#shell !== shell) return;
    this.#shell = undefined;
    this.#logger.warn(
      { reason: "guard-ended" },
      "the guard against orphaned pods ended and is started anew with the next pod",
    );
  }
}
