import { keyOf } from "@elasti/api";
import type { Clock, Timer } from "@elasti/core";
import type { SealedLine, SessionDirectory } from "./session-directory.ts";

export interface SealRequest {
  readonly namespace: string;
  readonly service: string;
  /** Epoch of the phase Sealed. */
  readonly epoch: number;
  /** Epoch of the phase Draining before it. */
  readonly drainEpoch: number;
  /** Pod names of the resolvers that must agree. */
  readonly resolvers: readonly string[];
  readonly timeoutMs: number;
}

export type SealOutcome =
  | { readonly ok: true }
  | {
      readonly ok: false;
      /**
       * What the resolver said (in-flight, request-seen, held, unknown-epoch, unknown-service), or no-resolvers, no-session,
       * session-lost, timeout, closed.
       */
      readonly reason: string;
      /** The resolver that is the reason; empty where none is. */
      readonly by: string;
    };

interface Pending {
  readonly key: string;
  readonly epoch: number;
  /** Serial of the session that was asked, by resolver; those that agreed stay until all have. */
  readonly sessions: ReadonlyMap<string, number>;
  readonly waiting: Set<string>;
  readonly finish: (outcome: SealOutcome) => void;
}

/** Asks resolvers to hold from now on. All must agree within one session each; anything else is a no. */
export class Sealer {
  readonly #directory: SessionDirectory;
  readonly #clock: Clock;
  readonly #pending = new Set<Pending>();

  constructor(deps: { directory: SessionDirectory; clock: Clock }) {
    this.#directory = deps.directory;
    this.#clock = deps.clock;
  }

  seal(request: SealRequest): Promise<SealOutcome> {
    const { namespace, service, epoch, drainEpoch } = request;
    const resolvers = [...new Set(request.resolvers)];
    if (resolvers.length === 0) return Promise.resolve({ ok: false, reason: "no-resolvers", by: "" });
    const handles = resolvers.map((id) => ({ id, handle: this.#directory.find(id) }));
    const absent = handles.find(({ handle }) => handle === undefined);
    if (absent !== undefined) return Promise.resolve({ ok: false, reason: "no-session", by: absent.id });

    const { promise, resolve } = Promise.withResolvers<SealOutcome>();
    let timer: Timer | undefined;
    const pending: Pending = {
      key: keyOf(namespace, service),
      epoch,
      sessions: new Map(handles.map(({ id, handle }) => [id, handle!.serial])),
      waiting: new Set(resolvers),
      finish: (outcome) => {
        if (!this.#pending.delete(pending)) return;
        timer?.cancel();
        resolve(outcome);
      },
    };
    this.#pending.add(pending);
    timer = this.#clock.after(request.timeoutMs, () => {
      const [by = ""] = pending.waiting;
      pending.finish({ ok: false, reason: "timeout", by });
    });
    for (const { id, handle } of handles) {
      if (!handle!.send({ type: "seal", namespace, service, epoch, drainEpoch })) {
        pending.finish({ ok: false, reason: "session-lost", by: id });
      }
    }
    return promise;
  }

  answered(resolver: string, serial: number, line: SealedLine): void {
    const key = keyOf(line.namespace, line.service);
    for (const pending of [...this.#pending]) {
      if (pending.key !== key || pending.epoch !== line.epoch || pending.sessions.get(resolver) !== serial) continue;
      if (!line.ok) {
        pending.finish({ ok: false, reason: line.reason ?? "refused", by: resolver });
        continue;
      }
      pending.waiting.delete(resolver);
      if (pending.waiting.size === 0) pending.finish({ ok: true });
    }
  }

  /** A broken session is a silent resolver, even if it has agreed. */
  gone(resolver: string, serial: number): void {
    for (const pending of [...this.#pending]) {
      if (pending.sessions.get(resolver) === serial) {
        pending.finish({ ok: false, reason: "session-lost", by: resolver });
      }
    }
  }

  close(): void {
    for (const pending of [...this.#pending]) pending.finish({ ok: false, reason: "closed", by: "" });
  }
}
