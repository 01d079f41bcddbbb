import { keyOf } from "@elasti/api";
import { Backoff, type Clock, type Logger, type Timer } from "@elasti/core";
import type { Activation, WakeFailure } from "./contracts.ts";
import type { Notifier } from "./operator-client.ts";

export interface OperatorActivationOptions {
  readonly notifier: Notifier;
  /** Calls its listener when replicas of the operator come or go. */
  readonly onOperatorChange: (listener: () => void) => () => void;
  readonly clock: Clock;
  readonly logger: Logger;
  /** While holds wait, the operator is told again after this: its window in which it scales once more if need be. */
  readonly renotifyMs?: number;
  readonly random?: () => number;
}

const retryMinMs = 250;
const retryMaxMs = 15_000;
/** Whatever an operator asks for: requests are held meanwhile, and another replica may be able to. */
const longestAskedMs = 30_000;
/** Services whose last outcome is remembered after nobody waits any more; the oldest are forgotten first. */
const maxRemembered = 10_000;

interface Entry {
  readonly namespace: string;
  readonly service: string;
  readonly backoff: Backoff;
  held: () => number;
  epoch: () => number;
  /** Somebody waits, as far as we were told. */
  active: boolean;
  sending: boolean;
  /** Began to wait while a notification for those before was under way. */
  again: boolean;
  timer: Timer | undefined;
  failure: WakeFailure | undefined;
  acceptedAt: number | undefined;
}

/**
 * Pushes a notification as soon as somebody waits, one at a time per service, again with back-off when it failed, and every
 * `renotifyMs` while holds remain.
 */
export class OperatorActivation implements Activation {
  readonly #options: OperatorActivationOptions;
  readonly #renotifyMs: number;
  readonly #random: () => number;
  readonly #entries = new Map<string, Entry>();
  readonly #listeners = new Set<(namespace: string, service: string, failure: WakeFailure) => void>();
  readonly #stopListening: () => void;
  #closed = false;

  constructor(options: OperatorActivationOptions) {
    this.#options = options;
    this.#renotifyMs = options.renotifyMs ?? 30_000;
    this.#random = options.random ?? Math.random;
    this.#stopListening = options.onOperatorChange(() => this.#onOperatorChange());
  }

  request(namespace: string, service: string, held: () => number, epoch: () => number): void {
    if (this.#closed) return;
    const entry = this.#entry(namespace, service);
    entry.held = held;
    entry.epoch = epoch;
    if (entry.active) return;
    entry.active = true;
    entry.acceptedAt = undefined;
    if (entry.sending) entry.again = true;
    else void this.#send(entry);
  }

  stop(namespace: string, service: string): void {
    const entry = this.#entries.get(keyOf(namespace, service));
    if (entry === undefined) return;
    entry.active = false;
    entry.again = false;
    entry.timer?.cancel();
    entry.timer = undefined;
    entry.backoff.reset();
  }

  lastFailure(namespace: string, service: string): WakeFailure | undefined {
    return this.#entries.get(keyOf(namespace, service))?.failure;
  }

  acceptedAt(namespace: string, service: string): number | undefined {
    return this.#entries.get(keyOf(namespace, service))?.acceptedAt;
  }

  onFailure(listener: (namespace: string, service: string, failure: WakeFailure) => void): () => void {
    const own: typeof listener = (...args) => listener(...args);
    this.#listeners.add(own);
    return () => void this.#listeners.delete(own);
  }

  close(): void {
    this.#closed = true;
    this.#stopListening();
    this.#listeners.clear();
    for (const entry of this.#entries.values()) entry.timer?.cancel();
    this.#entries.clear();
  }

  #entry(namespace: string, service: string): Entry {
    const key = keyOf(namespace, service);
    let entry = this.#entries.get(key);
    if (entry !== undefined) return entry;
    entry = {
      namespace,
      service,
      backoff: new Backoff(retryMinMs, retryMaxMs, this.#random),
      held: () => 0,
      epoch: () => 0,
      active: false,
      sending: false,
      again: false,
      timer: undefined,
      failure: undefined,
      acceptedAt: undefined,
    };
    if (this.#entries.size >= maxRemembered) {
      for (const [old, { active, sending }] of this.#entries) {
        if (active || sending) continue;
        this.#entries.delete(old);
        break;
      }
    }
    this.#entries.set(key, entry);
    return entry;
  }

  async #send(entry: Entry): Promise<void> {
    const { notifier, clock, logger } = this.#options;
    const { namespace, service } = entry;
    const count = entry.held();
    entry.timer = undefined;
    // whoever waited has left, and told nobody
    if (count === 0) {
      entry.active = false;
      return;
    }
    entry.sending = true;
    const result = await notifier.notify({ count, svc: service, namespace, epoch: entry.epoch() }).catch((error) => ({
      ok: false as const,
      reason: "ELASTI_OPERATOR_UNREACHABLE",
      detail: String(error),
      certain: false,
      retryAfterMs: undefined,
    }));
    entry.sending = false;
    if (this.#closed) return;
    if (result.ok) {
      if (entry.failure !== undefined) logger.info({ namespace, service }, "notification accepted again");
      entry.failure = undefined;
      entry.acceptedAt ??= clock.monotonic();
      entry.backoff.reset();
    } else {
      const { reason, detail, certain } = result;
      // one line per reason, not one per attempt
      if (entry.failure?.reason !== reason) logger.warn({ namespace, service, reason, detail }, "notification failed");
      entry.failure = { reason, detail, certain };
      for (const listener of [...this.#listeners]) listener(namespace, service, entry.failure);
    }
    if (!entry.active) return;
    if (entry.again) {
      entry.again = false;
      void this.#send(entry);
      return;
    }
    const wait = result.ok
      ? this.#renotifyMs * (1 + 0.1 * this.#random())
      : Math.max(entry.backoff.next(), Math.min(result.retryAfterMs ?? 0, longestAskedMs));
    entry.timer = clock.after(wait, () => void this.#send(entry));
  }

  /** A replica has come: those that could not be told try at once. */
  #onOperatorChange(): void {
    for (const entry of this.#entries.values()) {
      if (!entry.active || entry.sending || entry.failure === undefined) continue;
      entry.timer?.cancel();
      void this.#send(entry);
    }
  }
}
