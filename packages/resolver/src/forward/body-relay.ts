import type { IncomingMessage } from "node:http";
import { Readable } from "node:stream";

/**
 * The body of a request, as the engine reads it. It stands between the two so that whatever the engine does to its stream
 * (it destroys it after an early answer) does not touch the client's connection, and so that nothing of the request is read
 * before the engine asks for it.
 */
export class BodyRelay extends Readable {
  readonly #request: IncomingMessage;
  readonly #onWanted: () => void;
  #attached = false;
  #taken = false;

  /** @param onWanted called once, when the body is asked for: the moment to answer `Expect: 100-continue` */
  constructor(request: IncomingMessage, onWanted: () => void) {
    super();
    this.#request = request;
    this.#onWanted = onWanted;
    // the engine takes its own listener away before it destroys
    this.on("error", () => {});
  }

  /** Whether anything of the request has been read, its end included. */
  get taken(): boolean {
    return this.#taken;
  }

  readonly #onData = (chunk: Buffer): void => {
    this.#taken = true;
    if (!this.push(chunk)) this.#request.pause();
  };
  readonly #onEnd = (): void => {
    this.#taken = true;
    this.push(null);
  };
  readonly #onClose = (): void => {
    if (!this.#request.complete) this.destroy(new Error("the client left inside its body"));
  };

  override _read(): void {
    if (this.#attached) {
      this.#request.resume();
      return;
    }
    this.#attached = true;
    this.#request.on("data", this.#onData).on("end", this.#onEnd).on("close", this.#onClose);
    this.#onWanted();
    this.#request.resume();
  }

  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.#request.off("data", this.#onData).off("end", this.#onEnd).off("close", this.#onClose);
    if (this.#attached && !this.#request.complete) this.#request.pause();
    callback(error);
  }
}
