import { type Clock, errorText, type Logger, type Metrics } from "@elasti/core";
import { isAlreadyExists, isNotFound } from "./errors.ts";
import { type KubeMetrics, kubeMetrics } from "./metrics.ts";
import { resources } from "./resources.ts";
import type { KubeClient, KubeObject } from "./types.ts";

/** The object that an Event is about. */
export interface EventSubject {
  readonly apiVersion: string;
  readonly kind: string;
  readonly metadata: {
    readonly name: string;
    readonly namespace?: string | undefined;
    readonly uid?: string | undefined;
    readonly resourceVersion?: string | undefined;
  };
}

/** core/v1 Event, as far as it is written here. */
export interface KubeEvent extends KubeObject {
  involvedObject: {
    apiVersion: string;
    kind: string;
    name: string;
    namespace?: string;
    uid?: string;
    resourceVersion?: string;
  };
  type: "Normal" | "Warning";
  reason: string;
  message: string;
  count: number;
  firstTimestamp: string;
  lastTimestamp: string;
  source: { component: string; host?: string };
  reportingComponent: string;
  reportingInstance: string;
}

export interface EventRecorderOptions {
  client: KubeClient;
  clock: Clock;
  logger: Logger;
  metrics?: Metrics;
  /** Who reports, e.g. `elasti-operator`. */
  component: string;
  /** Which replica reports. */
  instance?: string;
  /** Events about one object that may come at once, and how many more a minute. */
  burst?: number;
  perMinute?: number;
  /** Events that wait to be written; above it further ones are dropped. */
  maxQueued?: number;
}

/** Events remembered, so that the next same one raises their count, and objects whose rate is watched. */
const maxRemembered = 4_096;
/** The API server refuses longer messages. */
const maxMessage = 1_024;

interface Pending {
  readonly key: string;
  readonly subject: EventSubject;
  readonly type: "Normal" | "Warning";
  readonly reason: string;
  readonly message: string;
  count: number;
  firstMs: number;
  lastMs: number;
}

interface Written {
  readonly namespace: string;
  readonly name: string;
  count: number;
}

/**
 * Writes Events on objects, for people who run `kubectl describe`. Never waits and never throws: what cannot be written is
 * counted and dropped. The same event again raises the count of the one that is there.
 */
export class EventRecorder {
  readonly #options: EventRecorderOptions;
  readonly #metrics: KubeMetrics | undefined;
  readonly #queue = new Map<string, Pending>();
  readonly #written = new Map<string, Written>();
  readonly #buckets = new Map<string, { tokens: number; at: number }>();
  readonly #stop = new AbortController();
  #draining: Promise<void> | undefined;
  #closing: Promise<void> | undefined;
  #sequence = 0;

  constructor(options: EventRecorderOptions) {
    this.#options = options;
    this.#metrics = options.metrics === undefined ? undefined : kubeMetrics(options.metrics);
  }

  normal(subject: EventSubject, reason: string, message: string): void {
    this.record(subject, "Normal", reason, message);
  }

  warning(subject: EventSubject, reason: string, message: string): void {
    this.record(subject, "Warning", reason, message);
  }

  /** @param reason one CamelCase word that machines may match @param message for people */
  record(subject: EventSubject, type: "Normal" | "Warning", reason: string, message: string): void {
    if (this.#closing !== undefined) return;
    const { clock, maxQueued = 1_000 } = this.#options;
    const text = message.length > maxMessage ? `${message.slice(0, maxMessage - 1)}…` : message;
    const { namespace = "", name, uid = "" } = subject.metadata;
    const object = [subject.kind, namespace, name, uid].join("/");
    const key = [object, type, reason, text].join("\n");
    const now = clock.now();
    const queued = this.#queue.get(key);
    if (queued !== undefined) {
      queued.count += 1;
      queued.lastMs = now;
      return;
    }
    const refused = this.#queue.size >= maxQueued ? "queue" : this.#take(object) ? undefined : "rate";
    if (refused !== undefined) {
      this.#drop(refused);
      return;
    }
    this.#queue.set(key, { key, subject, type, reason, message: text, count: 1, firstMs: now, lastMs: now });
    this.#draining ??= this.#drain().finally(() => {
      this.#draining = undefined;
    });
  }

  /** Writes what waits, for no longer than `deadlineMs` (2 s). */
  close(options: { deadlineMs?: number } = {}): Promise<void> {
    this.#closing ??= (async () => {
      if (this.#draining === undefined) return;
      const timer = this.#options.clock.after(options.deadlineMs ?? 2_000, () => {
        this.#stop.abort(new Error("event recorder is closed"));
      });
      await this.#draining;
      timer.cancel();
    })();
    return this.#closing;
  }

  #drop(reason: string): void {
    this.#metrics?.eventsDropped.inc({ reason });
  }

  /** One token of the object's bucket, where one is left. */
  #take(object: string): boolean {
    const { clock, burst = 25, perMinute = 6 } = this.#options;
    const now = clock.monotonic();
    const bucket = this.#buckets.get(object) ?? { tokens: burst, at: now };
    bucket.tokens = Math.min(burst, bucket.tokens + ((now - bucket.at) / 60_000) * perMinute);
    bucket.at = now;
    remember(this.#buckets, object, bucket);
    if (bucket.tokens < 1) return false;
    bucket.tokens -= 1;
    return true;
  }

  async #drain(): Promise<void> {
    // the caller goes on first, so that what it says twice in one go becomes one write
    await Promise.resolve();
    for (let next = this.#shift(); next !== undefined; next = this.#shift()) {
      if (this.#stop.signal.aborted) {
        this.#drop("closed");
        continue;
      }
      try {
        await this.#write(next);
      } catch (error) {
        this.#drop("failed");
        const { namespace, name } = next.subject.metadata;
        this.#options.logger.debug(
          { namespace, object: name, reason: next.reason, error: errorText(error) },
          "event lost",
        );
      }
    }
  }

  #shift(): Pending | undefined {
    const first = this.#queue.values().next().value;
    if (first !== undefined) this.#queue.delete(first.key);
    return first;
  }

  async #write(event: Pending): Promise<void> {
    const { client } = this.#options;
    const { signal } = this.#stop;
    const known = this.#written.get(event.key);
    if (known !== undefined) {
      const count = known.count + event.count;
      const patch = { count, lastTimestamp: timestamp(event.lastMs) };
      try {
        await client.patch<KubeEvent>(resources.events, known.namespace, known.name, "merge", patch, { signal });
        known.count = count;
        remember(this.#written, event.key, known);
        return;
      } catch (error) {
        // the API server forgets events after an hour
        if (!isNotFound(error)) throw error;
        this.#written.delete(event.key);
      }
    }
    for (let attempt = 0; ; attempt++) {
      const object = this.#object(event);
      try {
        await client.create(resources.events, object, { signal });
        const { namespace, name } = object.metadata;
        remember(this.#written, event.key, { namespace: namespace!, name, count: event.count });
        return;
      } catch (error) {
        if (!isAlreadyExists(error) || attempt >= 2) throw error;
      }
    }
  }

  #object(event: Pending): KubeEvent {
    const { component, instance } = this.#options;
    const { subject, type, reason, message, count } = event;
    const { name, namespace, uid, resourceVersion } = subject.metadata;
    this.#sequence += 1;
    // as client-go: the subject's name and a number that does not come again
    const suffix = (BigInt(event.firstMs) * 1_000_000n + BigInt(this.#sequence % 1_000_000)).toString(16);
    return {
      apiVersion: "v1",
      kind: "Event",
      metadata: { name: `${name.slice(0, 200)}.${suffix}`, namespace: namespace ?? "default" },
      involvedObject: {
        apiVersion: subject.apiVersion,
        kind: subject.kind,
        name,
        ...(namespace === undefined ? {} : { namespace }),
        ...(uid === undefined ? {} : { uid }),
        ...(resourceVersion === undefined ? {} : { resourceVersion }),
      },
      type,
      reason,
      message,
      count,
      firstTimestamp: timestamp(event.firstMs),
      lastTimestamp: timestamp(event.lastMs),
      source: { component, ...(instance === undefined ? {} : { host: instance }) },
      reportingComponent: component,
      reportingInstance: instance ?? "",
    };
  }
}

/** metav1.Time: whole seconds. */
function timestamp(ms: number): string {
  return new Date(ms).toISOString().replace(/\.\d+Z$/, "Z");
}

/** Sets the newest entry of a map whose oldest ones go when it is full. */
function remember<V>(map: Map<string, V>, key: string, value: V): void {
  map.delete(key);
  map.set(key, value);
  if (map.size > maxRemembered) map.delete(map.keys().next().value!);
}
