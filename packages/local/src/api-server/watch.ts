import type { ServerResponse } from "node:http";
import type { Clock, Logger, Timer } from "@elasti/core";
import { type ApiObject, jsonText } from "./json.ts";
import { apiVersionOf, collectionOf, type Kind } from "./kind.ts";
import { optionsProblem, parseRevision, parseSelection } from "./list.ts";
import { StatusError } from "./status-error.ts";
import type { Store, StoreEvent } from "./store.ts";

/** How objects of a watch are written; a Table watch, for one, writes rows. */
export type WatchEncoder = (object: ApiObject) => string;

interface Watcher {
  readonly kind: Kind;
  readonly selected: (object: ApiObject) => boolean;
  readonly encode: WatchEncoder;
  readonly response: ServerResponse;
  readonly bookmarks: boolean;
  /** Unread bytes that are not held against the watcher: the state or the past it asked for when it came. */
  allowance: number;
  /** Events up to this revision are not for this watcher. */
  after: number;
}

export interface WatchSettings {
  /** Pause between bookmarks of one watch, in ms. */
  readonly bookmarkIntervalMs: number;
  /** A watcher that leaves more than this unread is cut, so that a slow client cannot hold the server's memory. */
  readonly maxUnreadBytes: number;
}

/** Length of a watch whose client names none; the real server draws 30 to 60 minutes. */
const defaultTimeoutSeconds = 1_800;

/** All open watches. Events go out as they happen, in the order of their revisions. */
export class WatchHub {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #logger: Logger;
  readonly #settings: WatchSettings;
  readonly #watchers = new Map<string, Set<Watcher>>();
  readonly #unsubscribe: () => void;
  readonly #endings = new Set<() => void>();
  #bookmarkTimer: Timer | undefined;

  constructor(options: { store: Store; clock: Clock; logger: Logger; settings: WatchSettings }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#logger = options.logger;
    this.#settings = options.settings;
    this.#unsubscribe = this.#store.subscribe((event) => this.#dispatch(event));
  }

  get size(): number {
    return this.#endings.size;
  }

  /** Answers a watch request. Throws what is wrong with its options; everything later is said in the stream. */
  serve(
    kind: Kind,
    namespace: string | undefined,
    query: URLSearchParams,
    response: ServerResponse,
    encode: WatchEncoder,
  ): void {
    const selected = parseSelection(kind, namespace, query);
    const asked = parseRevision(query.get("resourceVersion"));
    const initialEvents = parseInitialEvents(query);
    const collection = collectionOf(kind.resource);
    const bookmarks = isTrue(query.get("allowWatchBookmarks"));
    const watcher: Watcher = {
      kind,
      selected,
      encode,
      response,
      bookmarks,
      allowance: Number.POSITIVE_INFINITY,
      after: this.#store.revision,
    };
    response.writeHead(200, { "Content-Type": "application/json", "Cache-Control": "no-cache, private" });
    response.flushHeaders();
    try {
      const withState = initialEvents ?? (asked === undefined || asked === 0);
      if (withState) this.#sendState(watcher, collection, namespace);
      else if (asked !== undefined && asked > 0) {
        for (const event of this.#store.since(collection, asked)) this.#send(watcher, event);
        watcher.after = Math.max(asked, this.#store.revision);
      }
      if (initialEvents === true && bookmarks) this.#bookmark(watcher, { "k8s.io/initial-events-end": "true" });
    } catch (error) {
      if (!(error instanceof StatusError)) throw error;
      response.end(`${JSON.stringify({ type: "ERROR", object: error.body })}\n`);
      return;
    }
    watcher.allowance = response.writableLength;
    this.#register(collection, watcher, Number(query.get("timeoutSeconds") ?? "0") || defaultTimeoutSeconds);
  }

  /** Ends every watch, as a server that shuts down does. */
  close(): void {
    this.#unsubscribe();
    this.#bookmarkTimer?.cancel();
    this.#bookmarkTimer = undefined;
    for (const end of [...this.#endings]) end();
  }

  #register(collection: string, watcher: Watcher, timeoutSeconds: number): void {
    const { response } = watcher;
    let group = this.#watchers.get(collection);
    if (group === undefined) {
      group = new Set();
      this.#watchers.set(collection, group);
    }
    group.add(watcher);
    const forget = () => {
      timer.cancel();
      this.#watchers.get(collection)?.delete(watcher);
      this.#endings.delete(end);
    };
    const end = () => {
      forget();
      if (watcher.bookmarks) this.#bookmark(watcher);
      response.end();
    };
    const timer = this.#clock.after(timeoutSeconds * 1_000, end);
    this.#endings.add(end);
    response.once("close", forget);
    if (watcher.bookmarks) this.#scheduleBookmarks();
  }

  #sendState(watcher: Watcher, collection: string, namespace: string | undefined): void {
    for (const object of this.#store.values(collection, namespace)) {
      if (watcher.selected(object)) this.#write(watcher, "ADDED", object);
    }
  }

  #dispatch(event: StoreEvent): void {
    for (const watcher of this.#watchers.get(event.collection) ?? []) {
      if (event.revision > watcher.after) this.#send(watcher, event);
    }
  }

  /** An object that comes to match is ADDED, one that ceases to is DELETED with its last matching state. */
  #send(watcher: Watcher, event: StoreEvent): void {
    const before = event.previous !== undefined && watcher.selected(event.previous);
    const now = event.type !== "DELETED" && watcher.selected(event.object);
    if (now) this.#write(watcher, before ? "MODIFIED" : "ADDED", event.object);
    else if (before) this.#write(watcher, "DELETED", lastState(event));
  }

  #write(watcher: Watcher, type: string, object: ApiObject): void {
    const { response } = watcher;
    if (response.destroyed) return;
    response.write(`{"type":"${type}","object":${watcher.encode(object)}}\n`);
    if (response.writableLength - watcher.allowance <= this.#settings.maxUnreadBytes) return;
    this.#logger.warn({ resource: watcher.kind.resource.plural, reason: "slow-watcher" }, "watch cut");
    response.destroy();
  }

  #bookmark(watcher: Watcher, annotations?: Record<string, string>): void {
    const { resource } = watcher.kind;
    const object = {
      kind: resource.kind,
      apiVersion: apiVersionOf(resource),
      metadata: {
        resourceVersion: String(this.#store.revision),
        creationTimestamp: null,
        ...(annotations === undefined ? {} : { annotations }),
      },
    };
    if (!watcher.response.destroyed) {
      watcher.response.write(`${JSON.stringify({ type: "BOOKMARK", object })}\n`);
    }
  }

  #scheduleBookmarks(): void {
    this.#bookmarkTimer ??= this.#clock.after(this.#settings.bookmarkIntervalMs, () => {
      this.#bookmarkTimer = undefined;
      let any = false;
      for (const group of this.#watchers.values()) {
        for (const watcher of group) {
          if (!watcher.bookmarks) continue;
          any = true;
          this.#bookmark(watcher);
        }
      }
      if (any) this.#scheduleBookmarks();
    });
  }
}

function isTrue(text: string | null): boolean {
  return text === "true" || text === "1";
}

function lastState(event: StoreEvent): ApiObject {
  if (event.type === "DELETED" || event.previous === undefined) return event.object;
  const { resourceVersion = "" } = event.object.metadata;
  return { ...event.previous, metadata: { ...event.previous.metadata, resourceVersion } };
}

function parseInitialEvents(query: URLSearchParams): boolean | undefined {
  const text = query.get("sendInitialEvents");
  const match = query.get("resourceVersionMatch") ?? "";
  if (text === null || text === "") {
    if (match !== "") {
      const message = "Forbidden: resourceVersionMatch is forbidden for watch unless sendInitialEvents is provided";
      throw optionsProblem("resourceVersionMatch", "FieldValueForbidden", message);
    }
    return undefined;
  }
  if (match !== "NotOlderThan") {
    const message = `Forbidden: sendInitialEvents requires setting resourceVersionMatch to NotOlderThan`;
    throw optionsProblem("resourceVersionMatch", "FieldValueForbidden", message);
  }
  return isTrue(text);
}

/** The encoder of plain JSON watches. */
export const plainEncoder: WatchEncoder = (object) => jsonText(object);
