import { readFile } from "node:fs/promises";
import { type Clock, errorText, type Logger } from "@elasti/core";

/** A projected token is renewed long before it ends; reading it once a minute is early enough. */
const rereadMs = 60_000;

/** The bearer token of this process, from a file that Kubernetes renews. */
export class TokenFile {
  readonly #path: string;
  readonly #clock: Clock;
  readonly #logger: Logger;
  #token: string | undefined;
  #readAt = Number.NEGATIVE_INFINITY;
  #reading: Promise<void> | undefined;

  /** @param path empty for no token at all */
  constructor(path: string, deps: { clock: Clock; logger: Logger }) {
    this.#path = path;
    this.#clock = deps.clock;
    this.#logger = deps.logger;
  }

  /** The token, read at most once a minute; the last one that could be read while the file cannot. */
  async token(): Promise<string | undefined> {
    if (this.#path === "") return undefined;
    if (this.#clock.monotonic() - this.#readAt >= rereadMs) {
      this.#reading ??= this.#read().finally(() => {
        this.#reading = undefined;
      });
      await this.#reading;
    }
    return this.#token;
  }

  async #read(): Promise<void> {
    try {
      const text = (await readFile(this.#path, "utf8")).trim();
      // anything else cannot be sent in a header
      if (!/^[\x21-\x7e]*$/.test(text)) throw new Error("what is in it is not one token");
      if (text !== "") this.#token = text;
      this.#readAt = this.#clock.monotonic();
    } catch (error) {
      // without any token there is nothing to go on with: the next call reads again
      if (this.#token !== undefined) this.#readAt = this.#clock.monotonic();
      this.#logger.warn({ reason: "token-unreadable", path: this.#path, error: errorText(error) }, "token not read");
    }
  }
}
