import type { ChildProcess } from "node:child_process";
import { accessSync, constants, statSync } from "node:fs";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";

/** Programs of others that tests and the demo start: found, listened to, ended. */

const KILL_AFTER_MS = 5_000;
const KEPT_LINES = 20;
const usualPlaces = ["/usr/local/bin", "/usr/bin", "/bin", "/usr/local/sbin", "/usr/sbin", "/opt/homebrew/bin"];

/**
 * The path of an installed program, or undefined.
 * @param searchPath directories in the form of PATH, looked at before the usual ones
 */
export function findProgram(name: string, searchPath = ""): string | undefined {
  for (const directory of [...searchPath.split(delimiter).filter((part) => part !== ""), ...usualPlaces]) {
    const path = join(directory, name);
    try {
      accessSync(path, constants.X_OK);
      if (statSync(path).isFile()) return path;
    } catch {
      // not here
    }
  }
  return undefined;
}

/** Waits for lines that a program writes to its standard error; ends with the process. */
export class ProgramLog {
  readonly ended: Promise<void>;
  readonly #last: string[] = [];
  readonly #waiting = new Set<{ pattern: RegExp; found: PromiseWithResolvers<RegExpExecArray> }>();
  readonly #errorOf: (message: string) => Error;
  readonly #tells: RegExp;
  #failure: string | undefined;

  /**
   * @param tells lines that are worth telling when it fails
   * @param errorOf makes the error of what went wrong
   */
  constructor(child: ChildProcess, tells: RegExp, errorOf: (message: string) => Error) {
    this.#tells = tells;
    this.#errorOf = errorOf;
    const ended = Promise.withResolvers<void>();
    this.ended = ended.promise;
    createInterface({ input: child.stderr! }).on("line", (line) => this.#read(line));
    child.once("error", (error) => {
      this.fail(error.message);
      if (child.pid === undefined) ended.resolve();
    });
    // `close` comes after the last line, `exit` may come before it
    child.once("close", (code, signal) => {
      this.fail(`it ended with ${signal ?? code}`);
      ended.resolve();
    });
  }

  /** The next line that fits. */
  next(pattern: RegExp): Promise<RegExpExecArray> {
    const found = Promise.withResolvers<RegExpExecArray>();
    if (this.#failure !== undefined) found.reject(this.#error());
    else this.#waiting.add({ pattern, found });
    return found.promise;
  }

  fail(reason: string): void {
    this.#failure ??= reason;
    for (const { found } of this.#waiting) found.reject(this.#error());
    this.#waiting.clear();
  }

  #read(line: string): void {
    this.#last.push(line);
    if (this.#last.length > KEPT_LINES) this.#last.shift();
    for (const entry of this.#waiting) {
      const match = entry.pattern.exec(line);
      if (match === null) continue;
      this.#waiting.delete(entry);
      entry.found.resolve(match);
    }
  }

  #error(): Error {
    const telling = this.#last.filter((line) => this.#tells.test(line));
    return this.#errorOf(`${this.#failure}; ${telling.join("; ") || "it said nothing"}`);
  }
}

/** Ends a program and waits until it is gone; one that does not heed the signal is killed. */
export async function endProgram(child: ChildProcess, log: ProgramLog, signal: NodeJS.Signals): Promise<void> {
  if (child.exitCode === null && child.signalCode === null) child.kill(signal);
  const kill = setTimeout(() => child.kill("SIGKILL"), KILL_AFTER_MS);
  await log.ended;
  clearTimeout(kill);
}
