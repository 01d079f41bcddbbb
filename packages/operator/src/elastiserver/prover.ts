import { randomUUID } from "node:crypto";
import { keyOf } from "@elasti/api";
import type { Clock, Timer } from "@elasti/core";
import PQueue from "p-queue";
import {
  type Dial,
  defaultMatchOptions,
  dialCount,
  drawDurations,
  type Evidence,
  jitterOf,
  judge,
  largestScale,
  meanRoundMs,
  type SilentPeer,
} from "./proof.ts";
import type { DialledLine, SessionDirectory, SilentLine } from "./session-directory.ts";

export interface ProveRequest {
  readonly namespace: string;
  readonly service: string;
  /** Address of the Service, and one of its ports. */
  readonly address: string;
  readonly port: number;
  /** Pod names of the resolvers from whose nodes the way must be proven. */
  readonly resolvers: readonly string[];
  /** For all rounds together, from the moment the first begins. */
  readonly timeoutMs: number;
  /** Nobody waits for the outcome any more: others get their turn. */
  readonly signal?: AbortSignal;
}

export type ProveOutcome =
  | { readonly ok: true }
  | {
      readonly ok: false;
      readonly reason: "no-resolvers" | "no-session" | "session-lost" | "dial-failed" | "not-seen" | "closed";
      /** For people: which resolver, and what was seen. */
      readonly detail: string;
    };

/** After the last answer of a round, how long accepted connections may still be reported before it counts as failed. */
const lateReportsMs = 600;
/** Beyond the durations themselves, how long the dialling of one round may take: a part of them, and for the way there. */
const diallingSlack = 1.5;
const diallingSlackMs = 2_000;
const pauseMs = 250;
/** Connections that cannot be told by their address may jitter by so much more than those that can. */
const jitterMargin = 1.5;
/** Accepted connections kept per proof; the oldest go first. */
const maxAccepted = 2_000;

interface Round {
  /** Proof id of each resolver that dials in this round. */
  readonly proofs: ReadonlyMap<string, string>;
  readonly dials: Map<string, readonly Dial[]>;
  readonly accepted: SilentPeer[];
  readonly scale: number;
  /** Called at every line that concerns the round. */
  moved: () => void;
  lateTimer: Timer | undefined;
}

interface Proof {
  readonly key: string;
  readonly sessions: ReadonlyMap<string, number>;
  round: Round | undefined;
  readonly abort: AbortController;
  /** What went wrong last, by resolver. */
  readonly failures: Map<string, { reason: "dial-failed" | "not-seen"; detail: string }>;
}

type Failure = Extract<ProveOutcome, { ok: false }>;
const stopping: Failure = { ok: false, reason: "closed", detail: "the operator is stopping" };
const abandoned: Failure = { ok: false, reason: "closed", detail: "the sleep was given up" };

/**
 * Proves that new connections to a Service end at resolvers, by rounds of connections that carry no byte. A round that
 * fails is followed by another until the time is up: nodes learn of a change at their own pace.
 */
export class Prover {
  readonly #directory: SessionDirectory;
  readonly #clock: Clock;
  readonly #random: () => number;
  readonly #queue: PQueue;
  readonly #proofs = new Set<Proof>();
  /** Where the next proof begins: a machine that jitters does so for a while. */
  #scale = 1;
  #closed = false;

  /** @param concurrency proofs at once; more wait in a queue, outside their timeout */
  constructor(deps: { directory: SessionDirectory; clock: Clock; random: () => number }, concurrency = 32) {
    this.#directory = deps.directory;
    this.#clock = deps.clock;
    this.#random = deps.random;
    this.#queue = new PQueue({ concurrency });
  }

  prove(request: ProveRequest): Promise<ProveOutcome> {
    return this.#queue.add(() => this.#prove(request));
  }

  async #prove(request: ProveRequest): Promise<ProveOutcome> {
    const resolvers = [...new Set(request.resolvers)];
    if (this.#closed) return stopping;
    if (request.signal?.aborted) return abandoned;
    if (resolvers.length === 0) return { ok: false, reason: "no-resolvers", detail: "no resolver can dial" };
    const sessions = new Map<string, number>();
    for (const id of resolvers) {
      const serial = this.#directory.find(id)?.serial;
      if (serial === undefined) return { ok: false, reason: "no-session", detail: `${id} has no session here` };
      sessions.set(id, serial);
    }
    const key = keyOf(request.namespace, request.service);
    const proof: Proof = { key, sessions, round: undefined, abort: new AbortController(), failures: new Map() };
    const timer = this.#clock.after(request.timeoutMs, () => proof.abort.abort(timeUp(proof)));
    const onAbort = () => proof.abort.abort(abandoned);
    request.signal?.addEventListener("abort", onAbort, { once: true });
    this.#proofs.add(proof);
    try {
      const first = this.#scale;
      const until = this.#clock.monotonic() + request.timeoutMs;
      for (let open = resolvers, wanted = first; ; ) {
        // a round that cannot end in time proves nothing
        const fitting = (until - this.#clock.monotonic() - lateReportsMs) / meanRoundMs;
        const scale = Math.max(1, Math.min(wanted, fitting));
        const { still, scaleWanted } = await this.#round(request, proof, open, scale);
        open = still;
        wanted = scaleWanted;
        if (open.length === 0) {
          this.#scale = scale === first ? Math.max(1, scale / 2) : scale;
          break;
        }
        // also for others, and if this one ends in vain
        this.#scale = Math.max(this.#scale, wanted);
        await this.#clock.sleep(pauseMs, proof.abort.signal);
      }
      return { ok: true };
    } catch (error) {
      if (proof.abort.signal.aborted && error === proof.abort.signal.reason) return error as Failure;
      throw error;
    } finally {
      timer.cancel();
      request.signal?.removeEventListener("abort", onAbort);
      this.#proofs.delete(proof);
    }
  }

  /** @returns the resolvers that are not proven, and the scale that another round should have */
  async #round(request: ProveRequest, proof: Proof, resolvers: readonly string[], scale: number): Promise<Conclusion> {
    const { namespace, service, address, port } = request;
    const over = Promise.withResolvers<void>();
    const round: Round = {
      proofs: new Map(resolvers.map((id) => [id, randomUUID()])),
      dials: new Map(),
      accepted: [],
      scale,
      moved: () => {},
      lateTimer: undefined,
    };
    const { signal } = proof.abort;
    signal.throwIfAborted();
    const onAbort = () => over.reject(signal.reason);
    signal.addEventListener("abort", onAbort, { once: true });
    let dialMs = 0;
    proof.round = round;
    round.moved = () => {
      if (round.dials.size < resolvers.length) return;
      round.lateTimer ??= this.#clock.after(lateReportsMs, over.resolve);
      const failed = [...round.dials.values()].some((dials) => dials.length === 0);
      if (failed || unproven(round) === 0) over.resolve();
    };
    for (const [id, name] of round.proofs) {
      const openMs = drawDurations(this.#random, scale);
      const totalMs = openMs.reduce((sum, ms) => sum + ms, 0);
      dialMs = Math.max(dialMs, totalMs * diallingSlack);
      const line = { type: "prove", namespace, service, proof: name, address, port, openMs } as const;
      if (this.#directory.find(id)?.send(line) !== true) this.gone(id, proof.sessions.get(id)!);
    }
    const dialTimer = this.#clock.after(dialMs + diallingSlackMs, () => {
      for (const id of resolvers) {
        if (!round.dials.has(id)) noteFailure(proof, id, "dial-failed", "it did not answer in time");
      }
      over.resolve();
    });
    try {
      await over.promise;
    } finally {
      dialTimer.cancel();
      round.lateTimer?.cancel();
      signal.removeEventListener("abort", onAbort);
      proof.round = undefined;
    }
    return conclude(proof, round, resolvers);
  }

  dialled(resolver: string, line: DialledLine): void {
    for (const proof of this.#proofs) {
      const { round } = proof;
      if (round === undefined || round.proofs.get(resolver) !== line.proof || round.dials.has(resolver)) continue;
      round.dials.set(resolver, line.dials);
      if (line.error !== undefined) {
        noteFailure(proof, resolver, "dial-failed", line.error);
        // what was dialled before the error proves nothing about the rest
        round.dials.set(resolver, []);
      } else if (line.dials.length < dialCount) {
        noteFailure(proof, resolver, "dial-failed", "it opened fewer connections than it was asked to");
        round.dials.set(resolver, []);
      }
      round.moved();
    }
  }

  silent(resolver: string, line: SilentLine): void {
    const key = keyOf(line.namespace, line.service);
    for (const { key: proven, round } of this.#proofs) {
      if (proven !== key || round === undefined) continue;
      for (const peer of line.peers) round.accepted.push({ ...peer, acceptedBy: resolver });
      if (round.accepted.length > maxAccepted) round.accepted.splice(0, round.accepted.length - maxAccepted);
      round.moved();
    }
  }

  gone(resolver: string, serial: number): void {
    for (const proof of this.#proofs) {
      if (proof.sessions.get(resolver) !== serial) continue;
      const failure: Failure = { ok: false, reason: "session-lost", detail: `the session of ${resolver} broke` };
      proof.abort.abort(failure);
    }
  }

  close(): void {
    this.#closed = true;
    for (const proof of this.#proofs) proof.abort.abort(stopping);
  }
}

function noteFailure(proof: Proof, id: string, reason: "dial-failed" | "not-seen", what: string): void {
  proof.failures.set(id, { reason, detail: `${id}: ${what.slice(0, 200)}` });
}

function timeUp(proof: Proof): Failure {
  const [first] = proof.failures.values();
  const detail = [...proof.failures.values()].map((failure) => failure.detail).join("; ");
  return { ok: false, reason: first?.reason ?? "not-seen", detail: detail === "" ? "no round came to an end" : detail };
}

const matchOptionsOf = (round: Round) => ({
  ...defaultMatchOptions,
  toleranceMs: defaultMatchOptions.toleranceMs * round.scale,
});

const proven = (evidence: Evidence | undefined): boolean => evidence === "exact" || evidence === "durations";

/** How many resolvers' dials are not all accounted for yet. */
function unproven(round: Round): number {
  const evidence = judge(round.dials, round.accepted, matchOptionsOf(round));
  return [...evidence.values()].filter((value) => !proven(value)).length;
}

/** The resolvers that are not proven, and the scale that another round should have. */
interface Conclusion {
  readonly still: string[];
  readonly scaleWanted: number;
}

function conclude(proof: Proof, round: Round, resolvers: readonly string[]): Conclusion {
  const { dials, accepted, scale } = round;
  const evidence = judge(dials, accepted, matchOptionsOf(round));
  if (resolvers.every((id) => proven(evidence.get(id)))) return { still: [], scaleWanted: scale };
  // where fewer arrived than were opened, some went elsewhere, and it helps nobody to keep them open for longer
  const opened = dials.values().reduce((sum, own) => sum + own.length, 0);
  const allArrived = accepted.length >= opened;
  let missing = false;
  for (const id of resolvers) {
    const count = dials.get(id)?.length ?? 0;
    if (proven(evidence.get(id))) proof.failures.delete(id);
    else if (count > 0) {
      missing ||= evidence.get(id) === "missing";
      const seen = allArrived
        ? `its ${count} connections cannot be told among ${accepted.length} that arrived, by how long they were open`
        : `of its ${count} connections not all arrived at a resolver`;
      noteFailure(proof, id, "not-seen", seen);
    }
  }
  const jitterScale = (jitterMargin * (jitterOf(dials, accepted) ?? 0)) / defaultMatchOptions.toleranceMs;
  return {
    // who is known by durations only dials again, too, where its evidence may be what another one misses
    still: resolvers.filter((id) => (allArrived ? !proven(evidence.get(id)) : evidence.get(id) !== "exact")),
    scaleWanted: missing && allArrived ? Math.min(largestScale, Math.max(2 * scale, jitterScale)) : scale,
  };
}
