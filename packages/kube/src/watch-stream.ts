import { kubeErrors } from "./errors.ts";
import type { RawWatchEvent } from "./transport.ts";

/** Above this many undelivered events the socket is paused, below the lower one it is resumed. */
const pauseAbove = 256;
const resumeBelow = 64;
/** The largest event accepted; etcd refuses objects over 1.5 MB by default. */
const maxLineBytes = 16 * 1024 * 1024;

/** Turns the chunks of a watch (one JSON document a line) into events, with back-pressure. One consumer. */
export class WatchStream implements AsyncIterable<RawWatchEvent> {
  readonly #queue: RawWatchEvent[] = [];
  readonly #flow: { pause(): void; resume(): void; stop(): void };
  #rest: Buffer[] = [];
  #restBytes = 0;
  #paused = false;
  #end: { error?: unknown } | undefined;
  #wake: (() => void) | undefined;

  /** @param flow controls of the socket; `stop` is called when the consumer leaves early */
  constructor(flow: { pause(): void; resume(): void; stop(): void }) {
    this.#flow = flow;
  }

  push(chunk: Buffer): void {
    let from = 0;
    for (let at = chunk.indexOf(10); at >= 0; at = chunk.indexOf(10, from)) {
      this.#line(chunk.subarray(from, at));
      from = at + 1;
    }
    if (from < chunk.length) {
      this.#rest.push(chunk.subarray(from));
      this.#restBytes += chunk.length - from;
      if (this.#restBytes > maxLineBytes) this.fail(kubeErrors.ELASTI_KUBE_BAD_RESPONSE("watch event is too large"));
    }
    if (this.#queue.length > pauseAbove && !this.#paused) {
      this.#paused = true;
      this.#flow.pause();
    }
  }

  /** The server ended the stream. A half line means that it was cut. */
  end(): void {
    if (this.#restBytes > 0) this.fail(kubeErrors.ELASTI_KUBE_UNAVAILABLE("watch was cut inside an event"));
    this.#finish({});
  }

  /** What is already queued is delivered first. */
  fail(error: unknown): void {
    if (this.#end !== undefined) return;
    this.#finish({ error });
    this.#flow.stop();
  }

  #finish(end: { error?: unknown }): void {
    this.#end ??= end;
    this.#rest = [];
    this.#restBytes = 0;
    this.#wake?.();
  }

  #line(tail: Buffer): void {
    const line = this.#rest.length === 0 ? tail : Buffer.concat([...this.#rest, tail]);
    this.#rest = [];
    this.#restBytes = 0;
    if (line.length === 0 || this.#end !== undefined) return;
    let event: unknown;
    try {
      event = JSON.parse(line.toString("utf8"));
    } catch (cause) {
      this.fail(kubeErrors.ELASTI_KUBE_BAD_RESPONSE("watch event is not JSON", { cause }));
      return;
    }
    if (typeof event !== "object" || event === null || !("type" in event) || typeof event.type !== "string") {
      this.fail(kubeErrors.ELASTI_KUBE_BAD_RESPONSE("watch event has no type"));
      return;
    }
    this.#queue.push({ type: event.type, object: "object" in event ? event.object : undefined });
    this.#wake?.();
  }

  async *[Symbol.asyncIterator](): AsyncGenerator<RawWatchEvent> {
    try {
      for (;;) {
        const batch = this.#queue.splice(0);
        if (this.#paused && this.#queue.length < resumeBelow) {
          this.#paused = false;
          this.#flow.resume();
        }
        yield* batch;
        if (this.#queue.length > 0) continue;
        if (this.#end !== undefined) {
          if ("error" in this.#end) throw this.#end.error;
          return;
        }
        await new Promise<void>((resolve) => {
          this.#wake = resolve;
        });
        this.#wake = undefined;
      }
    } finally {
      if (this.#end === undefined) {
        this.#finish({});
        this.#flow.stop();
      }
    }
  }
}
