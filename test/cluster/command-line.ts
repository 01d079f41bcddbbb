import { execFile, spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, rm, symlink, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { delimiter, join } from "node:path";
import { createInterface } from "node:readline";
import { stateOf } from "./cluster.ts";
import { repository } from "./places.ts";

export interface Ended {
  readonly code: number;
  /** Of both streams. */
  readonly said: string;
}

const timeoutMs = 150_000;

/** The shell of somebody who has kubectl, helm and elasti, and whose kubeconfig leads to the cluster of the tests. */
export class CommandLine {
  /** Where its commands run; removed at the end. */
  readonly folder: string;
  readonly #environment: NodeJS.ProcessEnv;

  private constructor(folder: string, environment: NodeJS.ProcessEnv) {
    this.folder = folder;
    this.#environment = environment;
  }

  /** @param more further variables */
  static async open(more: Readonly<Record<string, string>> = {}): Promise<CommandLine> {
    const { ELASTI_TEST_HELM: helm, ELASTI_TEST_KUBECONFIG: kubeconfig, ELASTI_TEST_NODE: node } = process.env;
    const state = stateOf(node);
    if (helm === undefined || state === undefined) throw new Error("run this by npm run test:cluster");
    const folder = await mkdtemp(join(tmpdir(), "elasti-commands-"));
    await symlink(helm, join(folder, "helm"));
    await symlink(join(state.binaries, "kubectl"), join(folder, "kubectl"));
    const cli = join(repository, "packages", "cli", "bin", "elasti.mjs");
    await writeFile(join(folder, "elasti"), `#!/bin/sh\nexec ${process.execPath} ${cli} "$@"\n`, { mode: 0o755 });
    const PATH = [folder, process.env.PATH ?? ""].join(delimiter);
    return new CommandLine(folder, { PATH, HOME: folder, KUBECONFIG: kubeconfig, ...more });
  }

  /** Runs a script to its end. @returns its output @throws an Error that shows both, where a command of it fails */
  async run(script: string): Promise<string> {
    const { code, said } = await this.ends(script);
    if (code !== 0) throw new Error(`${script}\n${said}`);
    return said;
  }

  /** The same, whatever comes of it. */
  ends(script: string): Promise<Ended> {
    const options = { cwd: this.folder, env: this.#environment, timeout: timeoutMs };
    return new Promise((resolve) => {
      execFile("bash", ["--norc", "-euo", "pipefail", "-c", script], options, (error, stdout, stderr) => {
        const code = error === null ? 0 : typeof error.code === "number" ? error.code : 1;
        resolve({ code, said: stdout + stderr });
      });
    });
  }

  /** Starts one command that goes on. Resolves once it has said so. @returns what ends it */
  async start(command: string, said: RegExp): Promise<{ stop(): Promise<void> }> {
    const child = spawn("bash", ["--norc", "-c", `exec ${command}`], {
      cwd: this.folder,
      env: this.#environment,
      stdio: ["ignore", "pipe", "inherit"],
    });
    const exited = once(child, "exit");
    const found = Promise.withResolvers<void>();
    createInterface({ input: child.stdout }).on("line", (line) => said.test(line) && found.resolve());
    const early = exited.then(([code]) => {
      throw new Error(`${command}: ended with ${code}`);
    });
    early.catch(() => {});
    await Promise.race([found.promise, early]);
    return {
      stop: async () => {
        child.kill();
        await exited;
      },
    };
  }

  async close(): Promise<void> {
    await rm(this.folder, { recursive: true, force: true });
  }
}
