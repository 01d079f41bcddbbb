import { Backoff, ElastiError, errorCode, errorText, type Logger } from "@elasti/core";
import { apiVersionOf } from "./client.ts";
import { isForbidden, isGone, kubeErrors, retryAfterMs } from "./errors.ts";
import { type KubeMetrics, kubeMetrics } from "./metrics.ts";
import type { ReflectorOptions } from "./reflector.ts";
import type { Store } from "./store.ts";
import type { KubeObject } from "./types.ts";

/** Whatever a server asks for: nobody knows meanwhile what has changed. */
const longestAskedMs = 60_000;

/**
 * Keeps the part of a store that one namespace, or all, has equal to what the API server holds: lists, then watches from there; a
 * watch that ends goes on where it was, one whose version is gone leads to a new list, from which deletions are worked out.
 */
export class ListWatch<T extends KubeObject> {
  readonly #store: Store<T>;
  readonly #namespace: string | undefined;
  readonly #options: ReflectorOptions<T>;
  readonly #logger: Logger;
  readonly #metrics: KubeMetrics | undefined;
  readonly #backoff: Backoff;
  readonly #random: () => number;
  readonly #stop = new AbortController();
  readonly #firstList = Promise.withResolvers<void>();
  #running: Promise<void> | undefined;
  #synced = false;
  readonly #mayBeLeftOut: boolean;
  #leftOut = false;
  #lastError: unknown;
  /** Failures since something last arrived. */
  #failures = 0;
  /** Where the next watch starts; undefined leads to a list. */
  #resourceVersion: string | undefined;

  /**
   * @param namespace the only one; all, or none for what has none, when left out
   * @param mayBeLeftOut whether nobody waits for a list that is forbidden
   */
  constructor(options: ReflectorOptions<T>, store: Store<T>, namespace: string | undefined, mayBeLeftOut = false) {
    const { resource, backoff = { minMs: 50, maxMs: 30_000 } } = options;
    this.#options = options;
    this.#store = store;
    this.#namespace = namespace;
    this.#mayBeLeftOut = mayBeLeftOut;
    this.#logger = options.logger.child({
      resource: resource.plural,
      ...(namespace === undefined ? {} : { namespace }),
    });
    this.#metrics = options.metrics === undefined ? undefined : kubeMetrics(options.metrics);
    this.#random = options.random ?? Math.random;
    this.#backoff = new Backoff(backoff.minMs, backoff.maxMs, this.#random);
    // whoever never calls start() is not to be told of a failure
    this.#firstList.promise.catch(() => {});
  }

  /** Whether the first list is in. */
  get synced(): boolean {
    return this.#synced;
  }

  /** Whether the first list is forbidden, and nobody waits for it. */
  get leftOut(): boolean {
    return this.#leftOut;
  }

  /** Why the last attempt failed, or undefined when it did not. */
  get lastError(): unknown {
    return this.#lastError;
  }

  /** Resolves when the first list is in the store; tries for as long as that takes. Rejects when closed before. */
  start(): Promise<void> {
    if (this.#stop.signal.aborted) return Promise.reject(closed());
    this.#running ??= this.#run();
    return this.#firstList.promise;
  }

  async close(): Promise<void> {
    if (!this.#stop.signal.aborted) this.#stop.abort(closed());
    this.#firstList.reject(closed());
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    let reason = "start";
    while (!signal.aborted) {
      try {
        if (this.#resourceVersion === undefined) await this.#list(reason);
        await this.#watch();
      } catch (error) {
        if (signal.aborted) break;
        reason = errorCode(error) ?? "error";
        this.#lastError = error;
        this.#failures += 1;
        const { onFailure } = this.#options;
        if (this.#mayBeLeftOut && !this.#synced && isForbidden(error)) this.#leaveOut(error);
        else if (isGone(error)) this.#logger.info({ reason }, "watch is too old, listing again");
        else if (onFailure !== undefined) onFailure(error);
        else this.#logger.warn({ reason, error: errorText(error) }, "list or watch failed");
        // a version that the server refuses in ways of its own (restored from a backup) is given up after a while
        if (!mayGoOn(error) || this.#failures >= 5) this.#resourceVersion = undefined;
        // 410 is no trouble of the server: the new list is made at once, unless the last one ended so too
        if (!isGone(error) || this.#failures > 1) await this.#pause(retryAfterMs(error));
      }
    }
  }

  #leaveOut(error: unknown): void {
    if (!this.#leftOut) this.#logger.warn({ error: errorText(error) }, "left out until it may be listed");
    this.#leftOut = true;
    this.#firstList.resolve();
  }

  async #pause(atLeastMs = 0): Promise<void> {
    const ms = Math.max(this.#backoff.next(), Math.min(atLeastMs, longestAskedMs));
    await this.#options.clock.sleep(ms, this.#stop.signal).catch(() => {});
  }

  async #list(reason: string): Promise<void> {
    const { client, resource, labelSelector, fieldSelector, pageSize = 500 } = this.#options;
    const namespace = this.#namespace;
    const { signal } = this.#stop;
    this.#metrics?.relists.inc({ resource: resource.plural, reason });
    const objects: T[] = [];
    let limit: number | undefined = pageSize;
    let next: string | undefined;
    let resourceVersion: string;
    for (;;) {
      try {
        const page = await client.list<T>(resource, {
          namespace,
          labelSelector,
          fieldSelector,
          signal,
          ...(limit === undefined ? {} : { limit }),
          ...(next === undefined ? {} : { continue: next }),
        });
        for (const item of page.items) objects.push(this.#kept(item));
        resourceVersion = page.metadata.resourceVersion;
        next = page.metadata.continue;
        if (next === undefined || next === "") break;
      } catch (error) {
        if (!isGone(error) || next === undefined) throw error;
        // the continue token outlived its snapshot: all in one page has no token
        objects.length = 0;
        next = undefined;
        limit = undefined;
      }
    }
    signal.throwIfAborted();
    this.#resourceVersion = resourceVersion;
    this.#store.replaceAll(objects, namespace);
    this.#metrics?.objects.set({ resource: resource.plural }, this.#store.size);
    this.#lastError = undefined;
    if (!this.#synced) {
      this.#synced = true;
      this.#leftOut = false;
      this.#logger.debug({ objects: objects.length }, "first list is in");
      this.#firstList.resolve();
    }
  }

  /** One watch; returns when the server ends it in good order or it falls silent. */
  async #watch(): Promise<void> {
    const { client, resource, labelSelector, fieldSelector, clock, silenceMs = 90_000 } = this.#options;
    const namespace = this.#namespace;
    const end = new AbortController();
    const onStop = () => end.abort();
    this.#stop.signal.addEventListener("abort", onStop, { once: true });
    let silent = false;
    const listen = () =>
      clock.after(silenceMs, () => {
        silent = true;
        end.abort();
      });
    let timer = listen();
    this.#metrics?.watches.inc({ resource: resource.plural });
    let events = 0;
    try {
      // the server ends watches after 5 to 10 minutes, at different times, as client-go asks for
      const timeoutSeconds = Math.round(300 + 300 * this.#random());
      const stream = client.watch<T>(resource, {
        namespace,
        labelSelector,
        fieldSelector,
        ...(this.#resourceVersion === undefined ? {} : { resourceVersion: this.#resourceVersion }),
        timeoutSeconds,
        signal: end.signal,
      });
      for await (const event of stream) {
        timer.cancel();
        timer = listen();
        events += 1;
        if (events === 1) this.#backoff.reset();
        this.#failures = 0;
        this.#lastError = undefined;
        const { object } = event;
        if (event.type === "DELETED") this.#store.remove(this.#kept(object));
        else if (event.type !== "BOOKMARK") this.#store.upsert(this.#kept(object));
        if (object.metadata.resourceVersion !== undefined) this.#resourceVersion = object.metadata.resourceVersion;
        if (event.type !== "BOOKMARK") this.#metrics?.objects.set({ resource: resource.plural }, this.#store.size);
      }
    } finally {
      timer.cancel();
      this.#stop.signal.removeEventListener("abort", onStop);
    }
    if (this.#stop.signal.aborted) return;
    if (silent) this.#logger.debug({ reason: "silence", silenceMs }, "watch fell silent, opening it anew");
    // a server that accepts watches and ends them at once must not be asked in a tight loop
    else if (events === 0) await this.#pause();
  }

  #kept(object: T): T {
    const { resource, transform } = this.#options;
    if (object.apiVersion === undefined || object.kind === undefined) {
      object.apiVersion = apiVersionOf(resource);
      object.kind = resource.kind;
    }
    if (transform !== undefined) return transform(object);
    delete object.metadata.managedFields;
    return object;
  }
}

function closed(): ElastiError {
  return kubeErrors.ELASTI_KUBE_CLOSED("reflector is closed");
}

/** Whether a watch can go on from its version after this: a lost socket, or a server that is busy. */
function mayGoOn(error: unknown): boolean {
  return (
    error instanceof ElastiError &&
    (error.code === "ELASTI_KUBE_UNAVAILABLE" ||
      error.code === "ELASTI_KUBE_TIMEOUT" ||
      error.code === "ELASTI_KUBE_TOO_MANY_REQUESTS" ||
      error.code === "ELASTI_KUBE_UNAUTHORIZED")
  );
}
