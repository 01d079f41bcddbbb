import type { EventEmitter } from "node:events";

/** One call that an operator makes, as the proxy on its way sees it. */
export interface OutboundCall {
  readonly via: "api" | "prometheus" | "session";
  /** HTTP method; for a line of a session its type. */
  readonly method: string;
  /** Path without query. */
  readonly path: string;
  readonly query: string;
  readonly body: string;
}

/** A call that is stopped on its way: before it reaches whom it is for, or with the answer on its way back. */
export class Stop {
  readonly when: "before" | "after";
  readonly #arrived = Promise.withResolvers<OutboundCall>();
  readonly #decided = Promise.withResolvers<"send" | "drop">();
  readonly #status = Promise.withResolvers<number>();
  readonly #senderGone = Promise.withResolvers<void>();

  constructor(when: "before" | "after") {
    this.when = when;
    this.#status.promise.catch(() => {});
  }

  /** Resolves when the call is there. */
  get arrived(): Promise<OutboundCall> {
    return this.#arrived.promise;
  }

  /** Resolves when whoever sent it has closed its connection: killed, or no longer waiting for the answer. */
  get senderGone(): Promise<void> {
    return this.#senderGone.promise;
  }

  /** Lets it go on, even when its sender is gone; resolves with the answer's status, 0 for a line of a session. */
  release(): Promise<number> {
    this.#decided.resolve("send");
    return this.#status.promise;
  }

  /** It never arrives, or its answer never does. */
  drop(): void {
    this.#decided.resolve("drop");
  }

  /** @throws when it was dropped */
  async pass<T>(
    call: OutboundCall,
    sender: EventEmitter,
    send: () => Promise<T>,
    statusOf: (answer: T) => number,
  ): Promise<T> {
    sender.once("close", () => this.#senderGone.resolve());
    const wait = async () => {
      this.#arrived.resolve(call);
      if ((await this.#decided.promise) === "drop") throw new Error("dropped");
    };
    try {
      if (this.when === "before") await wait();
      const answer = await send();
      if (this.when === "after") await wait();
      this.#status.resolve(statusOf(answer));
      return answer;
    } catch (error) {
      this.#status.reject(error);
      throw error;
    }
  }
}

/** Sees a call, and may want it stopped. */
export type CallRule = (call: OutboundCall) => Stop | undefined;

/** What several proxies on the ways out of an operator ask about each call. */
export class Stops {
  readonly #rules = new Set<CallRule>();
  readonly #standing = new Set<Stop>();

  /** Every rule sees every call; the first that wants to stop it does. @returns takes the rule away */
  add(rule: CallRule): () => void {
    this.#rules.add(rule);
    return () => void this.#rules.delete(rule);
  }

  /** Stops the next call that fits. */
  next(when: Stop["when"], fits: (call: OutboundCall) => boolean): Stop {
    const stop = new Stop(when);
    const remove = this.add((call) => {
      if (!fits(call)) return undefined;
      remove();
      return stop;
    });
    return stop;
  }

  /** @param sender emits `close` when the sender is gone */
  async pass<T>(
    call: OutboundCall,
    sender: EventEmitter,
    send: () => Promise<T>,
    statusOf: (answer: T) => number,
  ): Promise<T> {
    let stop: Stop | undefined;
    for (const rule of [...this.#rules]) {
      const wanted = rule(call);
      stop ??= wanted;
    }
    if (stop === undefined) return await send();
    this.#standing.add(stop);
    try {
      return await stop.pass(call, sender, send, statusOf);
    } finally {
      this.#standing.delete(stop);
    }
  }

  /** Drops what is stopped. */
  close(): void {
    this.#rules.clear();
    for (const stop of this.#standing) stop.drop();
  }
}
