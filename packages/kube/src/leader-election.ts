import { type Clock, errorText, type Logger } from "@elasti/core";
import { isAlreadyExists, isConflict, isNotFound } from "./errors.ts";
import { type Lease, resources } from "./resources.ts";
import type { KubeClient } from "./types.ts";

export interface LeaderElectorOptions {
  client: KubeClient;
  clock: Clock;
  logger: Logger;
  /** The Lease that candidates compete for. */
  namespace: string;
  name: string;
  /** Of this candidate; never the same for two processes, e.g. the pod's name and a random part. */
  identity: string;
  /** Followers take over when they saw no renewal for so long. */
  leaseDurationMs?: number;
  /** The leader gives up when it could not renew for so long; less than the lease, so that two never lead. */
  renewDeadlineMs?: number;
  /** Between two attempts. */
  retryPeriodMs?: number;
  /** What a leader does; its signal aborts when leadership ends. Its end or failure does not end leadership. */
  onStartedLeading: (signal: AbortSignal) => void | Promise<void>;
  onStoppedLeading?: () => void;
  random?: () => number;
}

/** metav1.MicroTime */
function microTime(ms: number): string {
  return new Date(ms).toISOString().replace("Z", "000Z");
}

/**
 * Lets one of several candidates lead, by a Lease, as client-go does. Clocks are never compared between machines: a follower
 * counts from the moment at which it saw the Lease change.
 */
export class LeaderElector {
  readonly #options: LeaderElectorOptions;
  readonly #logger: Logger;
  readonly #leaseDurationMs: number;
  readonly #renewDeadlineMs: number;
  readonly #retryPeriodMs: number;
  readonly #stop = new AbortController();
  #running: Promise<void> | undefined;
  /** The Lease as last read or written, and when its spec was first seen so. */
  #observed: { lease: Lease; spec: string; at: number } | undefined;
  #leader: string | undefined;
  #leading = false;
  /** When the last successful renewal was begun: from then on the lease is ours for its duration. */
  #renewedAt = Number.NEGATIVE_INFINITY;

  constructor(options: LeaderElectorOptions) {
    this.#options = options;
    this.#leaseDurationMs = options.leaseDurationMs ?? 15_000;
    this.#renewDeadlineMs = options.renewDeadlineMs ?? 10_000;
    this.#retryPeriodMs = options.retryPeriodMs ?? 2_000;
    if (!(this.#retryPeriodMs < this.#renewDeadlineMs && this.#renewDeadlineMs < this.#leaseDurationMs)) {
      throw new TypeError("retryPeriodMs < renewDeadlineMs < leaseDurationMs must hold");
    }
    this.#logger = options.logger.child({ lease: `${options.namespace}/${options.name}`, identity: options.identity });
  }

  /** Whether this candidate leads now. False as soon as the renewal is overdue, even before the loop has noticed. */
  get isLeader(): boolean {
    return this.#leading && this.#options.clock.monotonic() - this.#renewedAt < this.#renewDeadlineMs;
  }

  /** Who leads, as far as seen. */
  get leader(): string | undefined {
    return this.#leader;
  }

  /** Begins to compete; does not wait for leadership. */
  start(): void {
    if (this.#stop.signal.aborted) return;
    this.#running ??= this.#run();
  }

  /** Ends leading, waits for what `onStartedLeading` began (no longer than the lease lasts), and gives the Lease back. */
  async close(): Promise<void> {
    if (!this.#stop.signal.aborted) this.#stop.abort(new Error("leader election is closed"));
    await this.#running;
  }

  async #run(): Promise<void> {
    const { signal } = this.#stop;
    while (!signal.aborted) {
      if (await this.#attempt()) await this.#lead();
      else await this.#pause(1 + 0.2 * (this.#options.random ?? Math.random)());
    }
  }

  async #pause(factor: number): Promise<void> {
    await this.#options.clock.sleep(this.#retryPeriodMs * factor, this.#stop.signal).catch(() => {});
  }

  async #lead(): Promise<void> {
    const { onStartedLeading, onStoppedLeading } = this.#options;
    const term = new AbortController();
    this.#leading = true;
    this.#logger.info({ reason: "acquired" }, "leading");
    const work = Promise.resolve()
      .then(() => onStartedLeading(term.signal))
      .catch((error: unknown) => {
        if (!term.signal.aborted) this.#logger.error({ error: errorText(error) }, "leader's work failed");
      });
    const lost = await this.#renewUntilLost();
    this.#leading = false;
    term.abort(new Error(`leadership ended: ${lost}`));
    this.#logger[lost === "closed" ? "info" : "warn"]({ reason: lost }, "no longer leading");
    onStoppedLeading?.();
    // a Lease given back while the work goes on would let two lead
    if ((await this.#finished(work)) && lost === "closed") await this.#release();
  }

  /** Renews every retry period; says why it ended. */
  async #renewUntilLost(): Promise<"closed" | "overdue" | "taken"> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    for (;;) {
      const left = this.#renewedAt + this.#renewDeadlineMs - clock.monotonic();
      await clock.sleep(Math.max(0, Math.min(this.#retryPeriodMs, left)), signal).catch(() => {});
      if (signal.aborted) return "closed";
      const overdueIn = this.#renewedAt + this.#renewDeadlineMs - clock.monotonic();
      if (overdueIn <= 0) return "overdue";
      await this.#attempt(overdueIn);
      if (signal.aborted) return "closed";
      const holder = this.#observed?.lease.spec.holderIdentity;
      if (holder !== undefined && holder !== this.#options.identity) return "taken";
    }
  }

  /** Tries to acquire or to renew once; true when the Lease is ours now. Never throws. */
  async #attempt(atMostMs = Number.POSITIVE_INFINITY): Promise<boolean> {
    const { clock } = this.#options;
    const beganAt = clock.monotonic();
    const timeoutMs = Math.min(this.#renewDeadlineMs / 2, atMostMs);
    try {
      // the leader knows its Lease: one conditional write renews it, and only a conflict leads to reading it again
      const mine = this.#leading && this.#observed?.lease.spec.holderIdentity === this.#options.identity;
      const lease = mine ? this.#observed!.lease : await this.#read(timeoutMs);
      if (!(await this.#write(lease, timeoutMs))) return false;
      this.#renewedAt = beganAt;
      return true;
    } catch (error) {
      if (this.#stop.signal.aborted) return false;
      if (isConflict(error) || isAlreadyExists(error) || isNotFound(error)) {
        await this.#read(timeoutMs).catch(() => {});
        this.#logger.debug({ error: errorText(error) }, "another candidate was faster");
      } else {
        this.#logger.warn({ error: errorText(error) }, "lease could not be acquired or renewed");
      }
      return false;
    }
  }

  async #read(timeoutMs: number): Promise<Lease | undefined> {
    const { client, namespace, name } = this.#options;
    try {
      const lease = await client.get<Lease>(resources.leases, namespace, name, {
        timeoutMs,
        signal: this.#stop.signal,
      });
      this.#observe(lease);
      return lease;
    } catch (error) {
      if (!isNotFound(error)) throw error;
      this.#observed = undefined;
      return undefined;
    }
  }

  #observe(lease: Lease): void {
    const spec = JSON.stringify(lease.spec ?? {});
    const at = this.#observed?.spec === spec ? this.#observed.at : this.#options.clock.monotonic();
    this.#observed = { lease: { ...lease, spec: lease.spec ?? {} }, spec, at };
    const holder = lease.spec?.holderIdentity;
    if (holder !== undefined && holder !== null && holder !== "") this.#leader = holder;
  }

  /** Writes our name and the time into the Lease where it is free, ours or expired. */
  async #write(lease: Lease | undefined, timeoutMs: number): Promise<boolean> {
    const { client, clock, namespace, name, identity } = this.#options;
    const now = microTime(clock.now());
    const holder = lease?.spec?.holderIdentity ?? "";
    const spec: Lease["spec"] = {
      holderIdentity: identity,
      leaseDurationSeconds: Math.ceil(this.#leaseDurationMs / 1_000),
      acquireTime: now,
      renewTime: now,
      leaseTransitions: 0,
    };
    const options = { timeoutMs, signal: this.#stop.signal };
    if (lease === undefined) {
      const fresh: Lease = {
        apiVersion: "coordination.k8s.io/v1",
        kind: "Lease",
        metadata: { name, namespace },
        spec,
      };
      this.#observe(await client.create(resources.leases, fresh, options));
      return true;
    }
    if (holder !== identity && holder !== "") {
      const seenMs = clock.monotonic() - this.#observed!.at;
      // the holder's own duration counts: it may have been started with another setting than ours
      const durationMs = Math.max((lease.spec.leaseDurationSeconds ?? 0) * 1_000, this.#leaseDurationMs);
      if (seenMs < durationMs) return false;
    }
    const transitions = lease.spec?.leaseTransitions ?? 0;
    if (holder === identity) {
      spec.acquireTime = lease.spec.acquireTime ?? now;
      spec.leaseTransitions = transitions;
    } else {
      spec.leaseTransitions = transitions + 1;
    }
    this.#observe(await client.replace(resources.leases, { ...lease, spec }, options));
    return true;
  }

  /** Gives the Lease back, so that another candidate need not wait for its end. */
  async #release(): Promise<void> {
    const { client, clock, namespace, name, identity } = this.#options;
    const timeoutMs = this.#renewDeadlineMs / 2;
    try {
      for (let attempt = 0; attempt < 2; attempt++) {
        // a renewal that was on its way when we stopped may have moved the Lease
        const lease =
          attempt === 0
            ? this.#observed?.lease
            : await client.get<Lease>(resources.leases, namespace, name, { timeoutMs });
        if (lease?.spec.holderIdentity !== identity) return;
        const now = microTime(clock.now());
        const spec = { ...lease.spec, holderIdentity: "", leaseDurationSeconds: 1, renewTime: now, acquireTime: now };
        try {
          await client.replace(resources.leases, { ...lease, spec }, { timeoutMs });
          return;
        } catch (error) {
          if (!isConflict(error) || attempt > 0) throw error;
        }
      }
    } catch (error) {
      this.#logger.warn({ error: errorText(error) }, "lease could not be given back, it will expire");
    }
  }

  /** Waits for the leader's work; once closed, no longer than the Lease lasts. Says whether it ended. */
  async #finished(work: Promise<void>): Promise<boolean> {
    const { clock } = this.#options;
    const { signal } = this.#stop;
    const late = Promise.withResolvers<boolean>();
    let timer: { cancel(): void } | undefined;
    const bound = () => {
      const leftMs = this.#renewedAt + this.#leaseDurationMs - clock.monotonic();
      timer = clock.after(Math.max(0, leftMs), () => late.resolve(false));
    };
    if (signal.aborted) bound();
    else signal.addEventListener("abort", bound, { once: true });
    const finished = await Promise.race([work.then(() => true), late.promise]);
    signal.removeEventListener("abort", bound);
    timer?.cancel();
    return finished;
  }
}
