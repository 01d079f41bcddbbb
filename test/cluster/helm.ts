import { join } from "node:path";
import { repository } from "./places.ts";
import { run } from "./shell.ts";

/** The chart of this repository. */
export const chartFolder = join(repository, "deploy", "helm", "elasti");

/** The real helm, as the administrator of a cluster. */
export class Helm {
  readonly #program: string;
  readonly #environment: readonly string[];

  /** @param program path, as `ensureHelm` gives it @param kubeconfig left out for what needs no cluster */
  constructor(program: string, kubeconfig?: string) {
    this.#program = program;
    this.#environment = kubeconfig === undefined ? [] : [`--kubeconfig=${kubeconfig}`];
  }

  /** @throws an Error with what helm said */
  run(...args: string[]): Promise<string> {
    return run(this.#program, ...args, ...this.#environment);
  }
}
