import type { Clock, Logger } from "@elasti/core";
import { BackgroundWork } from "./background-work.ts";
import { collectionOf } from "./kind.ts";
import { eventKind } from "./kinds/events-and-leases.ts";
import { keyOf, type Store } from "./store.ts";

const collection = collectionOf(eventKind.resource);

/**
 * Removes Events an hour after they were created, as the real server does by default, and the oldest ones earlier when
 * there are more than `maxEvents`. It looks whenever an Event is added, so an idle server keeps what it has.
 */
export class EventExpiry {
  readonly #store: Store;
  readonly #clock: Clock;
  readonly #maxEvents: number;
  readonly #ttlMs = 3_600_000;
  readonly #work: BackgroundWork;
  readonly #unsubscribe: () => void;
  #count = 0;

  constructor(options: { store: Store; clock: Clock; logger: Logger; maxEvents: number }) {
    this.#store = options.store;
    this.#clock = options.clock;
    this.#maxEvents = options.maxEvents;
    this.#work = new BackgroundWork("event-expiry", options.logger);
    this.#unsubscribe = this.#store.subscribe((event) => {
      if (event.collection !== collection || event.type === "MODIFIED") return;
      this.#count += event.type === "ADDED" ? 1 : -1;
      if (event.type === "ADDED") this.#work.run(() => this.#sweep());
    });
  }

  close(): void {
    this.#unsubscribe();
    this.#work.close();
  }

  #sweep(): void {
    const oldest = this.#clock.now() - this.#ttlMs;
    // the store yields objects in the order in which they were created
    for (const event of this.#store.values(collection)) {
      const created = Date.parse(event.metadata.creationTimestamp ?? "");
      if (created > oldest && this.#count <= this.#maxEvents) return;
      this.#store.remove(collection, keyOf(event));
    }
  }
}
