import { type Clock, type Logger, systemClock } from "@elasti/core";
import { describeRequest, kubeErrors } from "./errors.ts";
import type { KubeRequest, KubeResponse, RawWatchEvent, Send, Transport } from "./transport.ts";
import type { KubeStatus, Resource } from "./types.ts";

/** Which requests a rule is for: all given fields must fit, or a predicate of your own. */
export type RequestMatch =
  | ((request: KubeRequest) => boolean)
  | {
      readonly kind?: KubeRequest["kind"];
      readonly verb?: KubeRequest["verb"];
      readonly resource?: Resource | string;
      readonly subresource?: string;
      readonly namespace?: string;
      readonly name?: string;
    };

/** A rule that is in force until it is removed or has acted `times` times. */
export interface FaultRule {
  /** How often it has acted. */
  readonly hits: number;
  /** Resolves with the first request that it acted on. */
  readonly hit: Promise<KubeRequest>;
  remove(): void;
}

/** A rule that stops requests until they are let go. */
export interface HoldRule extends FaultRule {
  /** Requests held now. */
  readonly held: number;
  /** Lets go of what is held, and removes the rule. */
  release(): void;
}

export interface FaultOptions {
  /** Acts on so many requests, then no more. */
  readonly times?: number;
}

type Effect = (request: KubeRequest, next: Send) => Promise<KubeResponse>;

/** Runs while a request is on its way: "kill here". */
export type RequestHook = (request: KubeRequest) => void | Promise<void>;

/**
 * Faults on the way to the API server, whichever one that is. Use `transport` as a layer of the client. Of several rules
 * that fit a request, the one added last is the outermost, and all of them act.
 */
export class FaultInjector {
  readonly #clock: Clock;
  readonly #logger: Logger | undefined;
  readonly #rules: Rule[] = [];
  readonly #openWatches = new Set<{ request: KubeRequest; cut: (error: unknown) => void }>();

  constructor(options: { clock?: Clock; logger?: Logger } = {}) {
    this.#clock = options.clock ?? systemClock;
    this.#logger = options.logger;
  }

  readonly transport: Transport = async (request, next) => {
    const acting = this.#rules.filter((rule) => rule.takes(request));
    for (const rule of acting) {
      this.#logger?.debug({ request: describeRequest(request), fault: rule.label }, "fault");
      rule.acted(request);
    }
    const send = acting.reduce<Send>(
      (inner, rule) => (passed) => rule.effect(passed, inner),
      (passed) => next(passed),
    );
    const response = await send(request);
    if (response.events === undefined) return response;
    return { ...response, events: this.#cuttable(request, response.events) };
  };

  /** Answers with this status instead of sending. */
  fail(
    match: RequestMatch,
    status: number,
    options: FaultOptions & { reason?: string; message?: string; retryAfterSeconds?: number } = {},
  ): FaultRule {
    const { reason, message = `injected ${status}`, retryAfterSeconds } = options;
    const body: KubeStatus = {
      kind: "Status",
      apiVersion: "v1",
      status: "Failure",
      code: status,
      message,
      ...(reason === undefined ? {} : { reason }),
      ...(retryAfterSeconds === undefined ? {} : { details: { retryAfterSeconds } }),
    };
    return this.#add(`fail ${status}`, match, options, async () => ({ status, body, retryAfterSeconds }));
  }

  /** Sends after a pause. */
  delay(match: RequestMatch, ms: number | ((request: KubeRequest) => number), options: FaultOptions = {}): FaultRule {
    return this.#add("delay", match, options, async (request, next) => {
      await this.#clock.sleep(typeof ms === "number" ? ms : ms(request), request.signal);
      return next(request);
    });
  }

  /** Loses the request before it leaves, or its answer after the server did what it asks (the caller cannot know which). */
  cut(match: RequestMatch, when: "before-send" | "after-send", options: FaultOptions = {}): FaultRule {
    return this.#add(`cut ${when}`, match, options, async (request, next) => {
      const sent = when === "after-send";
      if (sent) await endWatch(await next(request));
      throw cutError(request, sent);
    });
  }

  /**
   * Stops requests on their way to the server. What is released is sent even when the caller gave up meanwhile, as a packet
   * that was late would be; the caller's outcome is unknown from the beginning.
   */
  hold(match: RequestMatch, options: FaultOptions = {}): HoldRule {
    const gate = Promise.withResolvers<void>();
    let held = 0;
    const rule = this.#add("hold", match, options, async (request, next) => {
      request.progress.sent = true;
      held += 1;
      await gate.promise;
      held -= 1;
      return next(request.kind === "watch" ? request : { ...request, signal: new AbortController().signal });
    });
    return {
      get hits() {
        return rule.hits;
      },
      get held() {
        return held;
      },
      hit: rule.hit,
      remove: () => rule.remove(),
      release: () => {
        rule.remove();
        gate.resolve();
      },
    };
  }

  /** Calls `hook` before the request leaves, or after its answer came but before the caller has it. A throw is the outcome. */
  onRequest(
    match: RequestMatch,
    hook: RequestHook,
    options: FaultOptions & { when?: "before-send" | "after-answer" } = {},
  ): FaultRule {
    return this.#add("hook", match, options, async (request, next) => {
      if (options.when !== "after-answer") await hook(request);
      const response = await next(request);
      if (options.when === "after-answer") await hook(request);
      return response;
    });
  }

  /** Cuts the watches that are open now; gives their number. What they had not delivered is lost to them. */
  dropWatches(match: RequestMatch = {}): number {
    const found = [...this.#openWatches].filter(({ request }) => matches(match, request));
    for (const watch of found) watch.cut(cutError(watch.request, true));
    return found.length;
  }

  get openWatches(): number {
    return this.#openWatches.size;
  }

  /** Removes every rule; what is held stays held. */
  clear(): void {
    for (const rule of [...this.#rules]) rule.remove();
  }

  #add(label: string, match: RequestMatch, options: FaultOptions, effect: Effect): FaultRule {
    const rule = new Rule(label, match, options.times ?? Number.POSITIVE_INFINITY, effect, () => {
      const index = this.#rules.indexOf(rule);
      if (index >= 0) this.#rules.splice(index, 1);
    });
    this.#rules.push(rule);
    return rule;
  }

  async *#cuttable(request: KubeRequest, events: AsyncIterable<RawWatchEvent>): AsyncGenerator<RawWatchEvent> {
    const broken = Promise.withResolvers<never>();
    broken.promise.catch(() => {});
    let cut = false;
    const entry = {
      request,
      cut: (error: unknown) => {
        cut = true;
        broken.reject(error);
      },
    };
    this.#openWatches.add(entry);
    const iterator = events[Symbol.asyncIterator]();
    try {
      for (;;) {
        const next = iterator.next();
        next.catch(() => {});
        const item = await Promise.race([broken.promise, next]);
        if (item.done === true) return;
        yield item.value;
      }
    } finally {
      this.#openWatches.delete(entry);
      const left = iterator.return?.();
      // a generator that waits for its next event answers return() only after it: the socket is closed by the signal
      if (!cut) await left;
      else void left?.catch(() => {});
    }
  }
}

class Rule implements FaultRule {
  readonly label: string;
  readonly effect: Effect;
  readonly remove: () => void;
  readonly #match: RequestMatch;
  readonly #times: number;
  readonly #first = Promise.withResolvers<KubeRequest>();
  #hits = 0;

  constructor(label: string, match: RequestMatch, times: number, effect: Effect, remove: () => void) {
    this.label = label;
    this.effect = effect;
    this.remove = remove;
    this.#match = match;
    this.#times = times;
  }

  get hits(): number {
    return this.#hits;
  }

  get hit(): Promise<KubeRequest> {
    return this.#first.promise;
  }

  takes(request: KubeRequest): boolean {
    return this.#hits < this.#times && matches(this.#match, request);
  }

  acted(request: KubeRequest): void {
    this.#hits += 1;
    this.#first.resolve(request);
    if (this.#hits >= this.#times) this.remove();
  }
}

function matches(match: RequestMatch, request: KubeRequest): boolean {
  if (typeof match === "function") return match(request);
  const { resource, ...rest } = match;
  const plural = typeof resource === "object" ? resource.plural : resource;
  if (plural !== undefined && request.resource?.plural !== plural) return false;
  if (typeof resource === "object" && request.resource?.group !== resource.group) return false;
  return Object.entries(rest).every(
    ([key, value]) => value === undefined || request[key as keyof typeof rest] === value,
  );
}

function cutError(request: KubeRequest, sent: boolean): Error {
  request.progress.sent ||= sent;
  return kubeErrors.ELASTI_KUBE_UNAVAILABLE(`${describeRequest(request)}: connection was cut`, {
    details: { sent, reason: "injected" },
  });
}

async function endWatch(response: KubeResponse): Promise<void> {
  await response.events?.[Symbol.asyncIterator]().return?.();
}
