import { readFile } from "node:fs/promises";
import { type Clock, errorText } from "@elasti/core";
import { kubeErrors } from "./errors.ts";

/** The kubelet rotates a pod's token when 80% of its life is over: a minute is early enough. */
const freshMs = 60_000;
/** After a refusal the file is read again, but not in a stream of refusals. */
const refusedMs = 1_000;

/**
 * A file that somebody else renews: read again at most once a minute, or once a second while what it says is refused. A read
 * that fails, or finds nothing, leaves the former text.
 */
export class RenewedFile {
  readonly #path: string;
  readonly #what: string;
  readonly #clock: Clock;
  #known: string | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  #freshMs = freshMs;
  #reading: Promise<string> | undefined;

  /** @param what what the file has, for errors: `token` */
  constructor(path: string, what: string, clock: Clock) {
    this.#path = path;
    this.#what = what;
    this.#clock = clock;
  }

  /** @throws ELASTI_KUBE_BAD_KUBECONFIG when the file could never be read */
  async text(): Promise<string> {
    if (this.#known !== undefined && this.#clock.monotonic() - this.#readAt < this.#freshMs) return this.#known;
    this.#reading ??= this.#read();
    return await this.#reading;
  }

  /** What was read is not accepted: somebody may have renewed it since. */
  refused(): void {
    this.#freshMs = refusedMs;
  }

  async #read(): Promise<string> {
    try {
      const text = (await readFile(this.#path, "utf8")).trim();
      // half of a rotation must not be taken for a token
      if (text !== "") this.#known = text;
    } catch (cause) {
      if (this.#known === undefined) {
        throw kubeErrors.ELASTI_KUBE_BAD_KUBECONFIG(`${this.#what} file cannot be read: ${errorText(cause)}`, {
          cause,
        });
      }
    } finally {
      this.#readAt = this.#clock.monotonic();
      this.#freshMs = freshMs;
      this.#reading = undefined;
    }
    if (this.#known === undefined)
      throw kubeErrors.ELASTI_KUBE_BAD_KUBECONFIG(`${this.#what} file ${this.#path} is empty`);
    return this.#known;
  }
}
