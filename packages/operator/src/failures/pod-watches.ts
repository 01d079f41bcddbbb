import type { Clock, Logger, Metrics, Timer } from "@elasti/core";
import { type KubeClient, type KubeObject, type Pod, Reflector, resources } from "@elasti/kube";
import type { CreateFailure, PodEvidence } from "./evidence.ts";
import { PodHistory, trimPod } from "./pod-history.ts";

/** Which pods, and whose failures to make pods. */
export interface WatchWish {
  readonly namespace: string;
  /** Labels of the pods: the selector of their Service. */
  readonly selector: Readonly<Record<string, string>>;
  /** The target, where nothing but Events tells that its pods cannot be made; undefined where its conditions do. */
  readonly eventsOf: { readonly kind: string; readonly name: string; readonly uid: string | undefined } | undefined;
}

export interface WatchedPods {
  readonly pods: readonly PodEvidence[];
  readonly createFailure: CreateFailure | undefined;
}

export interface PodWatchesDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
}

export interface PodWatchesOptions {
  /** Services whose pods are watched at once; others wait for their turn. */
  readonly max: number;
  /** How long a service keeps its turn while others wait, in ms. */
  readonly turnMs?: number;
  /** Something has changed about the pods of a service. */
  readonly onChange: (key: string) => void;
}

/** core/v1 Event, as far as it is used here. */
export interface SeenEvent extends KubeObject {
  involvedObject?: { kind?: string; name?: string; uid?: string };
  reason?: string;
  message?: string;
  firstTimestamp?: string | null;
  lastTimestamp?: string | null;
  eventTime?: string | null;
  series?: { lastObservedTime?: string } | null;
}

interface Open {
  readonly pods: Reflector<Pod>;
  readonly events: Reflector<SeenEvent> | undefined;
  readonly sinceMs: number;
}

interface Entry {
  wish: WatchWish;
  readonly history: PodHistory;
  open: Open | undefined;
}

/**
 * Watches the pods of services that wait for one, each by its own selector, only while it waits, and so many at once: the
 * pods of a whole cluster are never looked at. Who comes when all turns are taken waits in line; while somebody waits, whoever
 * has had a turn for long enough goes to the end of the line.
 */
export class PodWatches {
  readonly #deps: PodWatchesDeps;
  readonly #options: Required<PodWatchesOptions>;
  /** In the order in which their turns came or will come. */
  readonly #entries = new Map<string, Entry>();
  readonly #closing = new Set<Promise<void>>();
  #turn: Timer | undefined;
  #closed = false;

  constructor(deps: PodWatchesDeps, options: PodWatchesOptions) {
    this.#deps = deps;
    this.#options = { turnMs: 30_000, ...options };
    const counts = () => ({ open: this.#openCount, all: this.#entries.size });
    deps.metrics.gauge(
      "elasti_pod_watches",
      "Services that wake and whose pods are watched (open), or will be (waiting)",
      ["state"],
      function () {
        const { open, all } = counts();
        this.set({ state: "open" }, open);
        this.set({ state: "waiting" }, all - open);
      },
    );
  }

  /**
   * Wants the pods of a service to be watched from now on.
   * @returns what is known of them; undefined before the first list, and while it is not its turn
   */
  want(key: string, wish: WatchWish): WatchedPods | undefined {
    if (this.#closed) return undefined;
    let entry = this.#entries.get(key);
    if (entry !== undefined && JSON.stringify(entry.wish) !== JSON.stringify(wish)) {
      entry.wish = wish;
      if (entry.open !== undefined) {
        this.#shut(entry);
        entry.open = this.#begin(key, entry);
      }
    }
    if (entry === undefined) {
      entry = { wish, history: new PodHistory(), open: undefined };
      this.#entries.set(key, entry);
      this.#fill();
    }
    return this.#seen(entry);
  }

  /** What is remembered of the pods that are wanted, for what is asked about them elsewhere. */
  historyOf(key: string): PodHistory | undefined {
    return this.#entries.get(key)?.history;
  }

  release(key: string): void {
    const entry = this.#entries.get(key);
    if (entry === undefined) return;
    this.#entries.delete(key);
    this.#shut(entry);
    this.#fill();
  }

  clear(): void {
    for (const key of [...this.#entries.keys()]) this.release(key);
  }

  async close(): Promise<void> {
    this.#closed = true;
    this.clear();
    this.#turn?.cancel();
    await Promise.all(this.#closing);
  }

  get #openCount(): number {
    let count = 0;
    for (const { open } of this.#entries.values()) if (open !== undefined) count += 1;
    return count;
  }

  #seen({ open, wish, history }: Entry): WatchedPods | undefined {
    if (open === undefined || !open.pods.synced || open.events?.synced === false) return undefined;
    const now = this.#deps.clock.now();
    const pods = open.pods.store.list().filter(({ metadata }) => metadata.deletionTimestamp === undefined);
    return {
      pods: pods.map((pod) => history.evidenceOf(pod, now)),
      createFailure: newestFailure(open.events?.store.list() ?? [], wish.eventsOf),
    };
  }

  /** Gives turns to those who wait, as far as there are any. */
  #fill(): void {
    if (this.#closed) return;
    let free = this.#options.max - this.#openCount;
    for (const [key, entry] of this.#entries) {
      if (free <= 0) break;
      if (entry.open !== undefined) continue;
      entry.open = this.#begin(key, entry);
      free -= 1;
    }
    this.#armTurn();
  }

  #armTurn(): void {
    this.#turn?.cancel();
    this.#turn = undefined;
    if (this.#closed || this.#openCount === this.#entries.size) return;
    const { clock } = this.#deps;
    const oldest = [...this.#entries].find(([, { open }]) => open !== undefined);
    if (oldest === undefined) return;
    const [key, entry] = oldest;
    const leftMs = entry.open!.sinceMs + this.#options.turnMs - clock.monotonic();
    this.#turn = clock.after(Math.max(0, leftMs), () => {
      this.#shut(entry);
      this.#entries.delete(key);
      this.#entries.set(key, entry);
      this.#fill();
    });
  }

  #begin(key: string, { wish, history }: Entry): Open {
    const { client, clock, logger } = this.#deps;
    const { namespace, selector, eventsOf } = wish;
    const tell = () => this.#options.onChange(key);
    const common = { client, clock, logger, namespace };
    const pods = new Reflector<Pod>({
      ...common,
      resource: resources.pods,
      labelSelector: Object.entries(selector)
        .map(([label, value]) => `${label}=${value}`)
        .join(","),
      transform: trimPod,
    });
    pods.store.on("change", ({ type, object }) => {
      // of a pod that is made anew and fails anew, again and again, each is another one
      if (type === "deleted") history.forget(object);
      else history.see(object, clock.now());
      tell();
    });
    const events =
      eventsOf === undefined
        ? undefined
        : new Reflector<SeenEvent>({
            ...common,
            resource: resources.events,
            fieldSelector: "reason=FailedCreate",
          });
    events?.store.on("change", tell);
    const listed = () => {
      history.keep(new Set(pods.store.list().map(({ metadata }) => metadata.uid ?? "")));
      tell();
    };
    pods.start().then(listed, () => {});
    events?.start().then(tell, () => {});
    return { pods, events, sinceMs: clock.monotonic() };
  }

  #shut(entry: Entry): void {
    const { open } = entry;
    if (open === undefined) return;
    entry.open = undefined;
    const closing = Promise.all([open.pods.close(), open.events?.close()]).then(() => {
      this.#closing.delete(closing);
    });
    this.#closing.add(closing);
  }
}

/** The newest Event by which a controller says that it could not make a pod of the target. */
export function newestFailure(events: readonly SeenEvent[], target: WatchWish["eventsOf"]): CreateFailure | undefined {
  if (target === undefined) return undefined;
  let newest: CreateFailure | undefined;
  for (const event of events) {
    if (!isAbout(event, target)) continue;
    const sinceMs = timeOfEvent(event);
    if (newest === undefined || sinceMs > newest.sinceMs) newest = { message: event.message ?? "", sinceMs };
  }
  return newest;
}

/** Letters of the hash at the end of a ReplicaSet's name (rand.SafeEncodeString of apimachinery). */
const hashAtEnd = /^-[bcdfghjklmnpqrstvwxz2456789]{1,10}$/;

/** About the target itself, what has its name, or a ReplicaSet of its. */
function isAbout({ involvedObject }: SeenEvent, target: NonNullable<WatchWish["eventsOf"]>): boolean {
  const { kind = "", name = "", uid } = involvedObject ?? {};
  if (kind === target.kind)
    return target.uid === undefined || uid === undefined ? name === target.name : uid === target.uid;
  if (name === target.name) return true;
  return kind === "ReplicaSet" && name.startsWith(target.name) && hashAtEnd.test(name.slice(target.name.length));
}

export function timeOfEvent({ series, lastTimestamp, eventTime, firstTimestamp, metadata }: SeenEvent): number {
  const text = series?.lastObservedTime ?? lastTimestamp ?? eventTime ?? firstTimestamp ?? metadata.creationTimestamp;
  return text === undefined ? 0 : Date.parse(text);
}
