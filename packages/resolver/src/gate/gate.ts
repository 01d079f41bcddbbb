import type { Clock, ElastiError, Timer } from "@elasti/core";
import type { Pick, PodTarget, WakeFailure } from "../contracts.ts";
import { errors } from "../errors.ts";
import type { PodsByPort } from "../port-names.ts";
import type { ServiceState } from "../service-state.ts";
import type { Admission, Hold, HoldBudget, Ticket, Wait } from "./hold.ts";
import { HoldQueue, queueNode } from "./hold-queue.ts";
import type { ReleaseWindow } from "./release-window.ts";

/** Releases per turn of the event loop, so that the first ones are on their way while the others wait. */
const RELEASE_BATCH = 64;

export interface GateSettings {
  /** Most holds of this service. */
  readonly maxRequests: number;
  /** Longest wait in ms. */
  readonly timeoutMs: number;
}

/** How a hold ended, for metrics. */
export const holdEnds = ["released", "expired", "failed", "left"] as const;
export type HoldEnd = (typeof holdEnds)[number];

export interface GateDependencies {
  readonly state: ServiceState;
  readonly pods: PodsByPort;
  readonly pick: Pick;
  readonly clock: Clock;
  readonly budget: HoldBudget;
  /** The settings now in force. */
  readonly settings: () => GateSettings;
  readonly newWindow: () => ReleaseWindow;
  /** Holds wait for a pod (true), or no longer do (false). Told only of changes. */
  readonly onWanting: (wanting: boolean) => void;
  readonly lastFailure: () => WakeFailure | undefined;
  /** Why nothing is to be held now: no pod can come, as things are. */
  readonly hopeless: () => ElastiError | undefined;
  readonly onHoldEnd: (end: HoldEnd, waitedMs: number) => void;
  /** Runs later in this turn of the loop; setImmediate unless a test says otherwise. */
  readonly defer?: (fn: () => void) => void;
}

interface PodLoad {
  inFlight: number;
  readonly window: ReleaseWindow;
}

/**
 * The waiting room of one service and the only door to its pods.
 *
 *   admit ──▶ pod          nothing waits, a pod is usable and has room
 *   hold ──▶ queue ──▶ release(admission)   in order of arrival, as pods become usable or have room again
 *                 └──▶ fail(error)          deadline, certain failure, close
 *
 * Every admission is finished exactly once; in between it counts as in flight.
 */
export class Gate {
  readonly #deps: GateDependencies;
  readonly #lanes = new Map<string | undefined, HoldQueue<Wait>>();
  readonly #loads = new Map<string, PodLoad>();
  readonly #loadOf = (pod: PodTarget): number => this.#loads.get(pod.uid)?.inFlight ?? 0;
  readonly #stopListening: () => void;
  #seq = 0;
  #held = 0;
  #wanting = false;
  #releasing = false;
  #again = false;
  #timer: Timer | undefined;
  #timerAt = 0;
  #closed = false;

  constructor(deps: GateDependencies) {
    this.#deps = deps;
    this.#stopListening = deps.pods.onChange(() => {
      this.#forgetIdlePods();
      this.evaluate();
    });
  }

  get held(): number {
    return this.#held;
  }

  /** Whether a request on this port would be admitted now. */
  isOpen(portName: string | undefined): boolean {
    const { state, pods } = this.#deps;
    if (!state.mayForward() || (this.#lanes.get(portName)?.length ?? 0) > 0) return false;
    return this.#choose(pods.usable(portName)) !== undefined;
  }

  /** A slot on a pod, or undefined when the request has to be held. */
  admit(portName: string | undefined, counted: boolean): Admission | undefined {
    if ((this.#lanes.get(portName)?.length ?? 0) > 0 || !this.#deps.state.mayForward()) return undefined;
    const pod = this.#choose(this.#deps.pods.usable(portName));
    return pod === undefined ? undefined : this.#admission(pod, counted, this.#seq++, undefined);
  }

  /**
   * Another pod for a request that its first one refused, before all others that wait.
   * @param refused the admission that came to nothing; must be finished
   */
  readmit(portName: string | undefined, refused: Admission): Admission | undefined {
    if (!this.#deps.state.mayForward()) return undefined;
    const others = this.#deps.pods.usable(portName).filter((pod) => pod.uid !== refused.pod.uid);
    const pod = this.#choose(others);
    return pod === undefined
      ? undefined
      : this.#admission(pod, refused.counted, refused.seq, refused.heldSince ?? refused.at);
  }

  /**
   * Ends an admission; a second call does nothing.
   * @param outcome refused: the pod could not be connected to; busy: it has as many connections as it may
   */
  finish(admission: Admission, outcome: "answered" | "refused" | "busy" | "left"): void {
    if (admission.finished) return;
    admission.finished = true;
    const { state, clock, budget } = this.#deps;
    budget.inFlight -= 1;
    const load = this.#loads.get(admission.pod.uid);
    if (load !== undefined) {
      load.inFlight -= 1;
      if (outcome === "answered") load.window.answered(clock.monotonic() - admission.at);
      // What was refused is tried again as soon as the pod is usable: what is under way there may take hours.
      else if (outcome === "refused") load.window.refused(load.inFlight + 1);
      else if (outcome === "busy") load.window.refused(load.inFlight);
    }
    state.endForward(admission.counted, outcome === "answered" ? Math.max(0, admission.epoch) : 0);
    if (this.#held > 0) this.evaluate();
  }

  /**
   * Makes a request wait.
   * @param refused the finished admission of a request that comes back: it keeps its place and its deadline, and is let in
   * even when the gate is full, because it had its place before
   * @returns what `abandon` takes, or the error to answer with
   */
  hold(hold: Hold, portName: string | undefined, counted: boolean, refused?: Admission): Ticket | ElastiError {
    const { settings, budget, clock } = this.#deps;
    if (this.#closed) return errors.ELASTI_SERVICE_REMOVED("the ElastiService of this Service has been deleted");
    const hopeless = this.#deps.hopeless();
    if (hopeless !== undefined && this.#deps.pods.usable(portName).length === 0) return hopeless;
    const { maxRequests } = settings();
    if (refused === undefined) {
      if (this.#held >= maxRequests)
        return errors.ELASTI_GATE_FULL(`${maxRequests} requests wait already (queue.maxRequests)`);
      if (budget.used >= budget.max)
        return errors.ELASTI_GATE_FULL(`${budget.max} requests wait at this resolver already (ELASTI_MAX_HOLDS)`);
    }
    const since = refused === undefined ? clock.monotonic() : (refused.heldSince ?? refused.at);
    const ticket = queueNode<Wait>({ hold, portName, counted, since }, refused?.seq ?? this.#seq++);
    let lane = this.#lanes.get(portName);
    if (lane === undefined) {
      lane = new HoldQueue<Wait>();
      this.#lanes.set(portName, lane);
    }
    if (refused === undefined) lane.push(ticket);
    else lane.restore(ticket);
    this.#setHeld(+1);
    this.#arm();
    this.evaluate();
    return ticket;
  }

  /** The client left. */
  abandon(ticket: Ticket): void {
    if (!this.#remove(ticket)) return;
    this.#deps.onHoldEnd("left", this.#waited(ticket));
    this.#settle();
  }

  /** Something that decides about holding has changed: releases what may go. */
  evaluate(): void {
    this.#again = true;
    // A release may end at once and come back here; the loop below goes on with it.
    if (this.#releasing) return;
    this.#releasing = true;
    let room = RELEASE_BATCH;
    while (this.#again && room > 0) {
      this.#again = false;
      room = this.#release(room);
    }
    if (room > 0) this.#releasing = false;
    else
      (this.#deps.defer ?? setImmediate)(() => {
        this.#releasing = false;
        this.evaluate();
      });
    this.#settle();
  }

  /** Ends every hold with this error. */
  failAll(error: ElastiError): void {
    for (const lane of this.#lanes.values()) {
      for (let ticket = lane.head; ticket !== undefined; ticket = lane.head) this.#fail(ticket, error, "failed");
    }
    this.#settle();
  }

  /** No pod can come, as things are: ends what waits for one with this error. What waits for room at a pod goes on. */
  failHopeless(error: ElastiError): void {
    for (const [portName, lane] of this.#lanes) {
      if (this.#deps.pods.usable(portName).length > 0) continue;
      for (let ticket = lane.head; ticket !== undefined; ticket = lane.head) this.#fail(ticket, error, "failed");
    }
    this.#settle();
  }

  /** The settings have changed: deadlines may come earlier. */
  retime(): void {
    this.#arm();
    this.evaluate();
  }

  /** The service is gone: fails what waits and admits nothing new. Requests under way may still be finished. */
  close(error: ElastiError): void {
    this.#closed = true;
    this.#stopListening();
    this.failAll(error);
  }

  /** Releases at most `room` holds; returns what is left of it. */
  #release(room: number): number {
    const { state, pods } = this.#deps;
    let left = room;
    for (const [portName, lane] of this.#lanes) {
      while (lane.length > 0 && left > 0 && state.mayForward()) {
        const pod = this.#choose(pods.usable(portName));
        if (pod === undefined) break;
        left -= 1;
        const ticket = lane.head!;
        this.#remove(ticket);
        this.#deps.onHoldEnd("released", this.#waited(ticket));
        const { counted, since, hold } = ticket.value;
        hold.release(this.#admission(pod, counted, ticket.seq, since));
      }
    }
    return left;
  }

  #choose(usable: readonly PodTarget[]): PodTarget | undefined {
    if (usable.length === 0) return undefined;
    const picked = this.#deps.pick(usable, this.#loadOf);
    if (picked === undefined || this.#hasRoom(picked)) return picked;
    return usable.find((pod) => this.#hasRoom(pod));
  }

  #hasRoom(pod: PodTarget): boolean {
    const load = this.#loads.get(pod.uid) ?? this.#addLoad(pod);
    return load.window.hasRoom(load.inFlight);
  }

  #addLoad(pod: PodTarget): PodLoad {
    const load: PodLoad = { inFlight: 0, window: this.#deps.newWindow() };
    this.#loads.set(pod.uid, load);
    return load;
  }

  #admission(pod: PodTarget, counted: boolean, seq: number, heldSince: number | undefined): Admission {
    const load = this.#loads.get(pod.uid) ?? this.#addLoad(pod);
    load.inFlight += 1;
    const { state, clock, budget } = this.#deps;
    budget.inFlight += 1;
    return { pod, epoch: state.beginForward(), counted, at: clock.monotonic(), seq, heldSince, finished: false };
  }

  #forgetIdlePods(): void {
    for (const [uid, load] of this.#loads) if (load.inFlight === 0) this.#loads.delete(uid);
  }

  #remove(ticket: Ticket): boolean {
    const removed = this.#lanes.get(ticket.value.portName)?.remove(ticket) ?? false;
    if (removed) this.#setHeld(-1);
    return removed;
  }

  #fail(ticket: Ticket, error: ElastiError, end: HoldEnd): void {
    this.#remove(ticket);
    this.#deps.onHoldEnd(end, this.#waited(ticket));
    ticket.value.hold.fail(error);
  }

  #waited(ticket: Ticket): number {
    return this.#deps.clock.monotonic() - ticket.value.since;
  }

  #setHeld(change: 1 | -1): void {
    this.#held += change;
    this.#deps.budget.used += change;
    this.#deps.state.setHeld(this.#held);
  }

  /** Tells who wakes and who probes whether somebody waits; drops the timer when nobody does. */
  #settle(): void {
    const { state, pods } = this.#deps;
    let wanting = false;
    if (this.#held > 0) {
      const may = state.mayForward();
      for (const [portName, lane] of this.#lanes)
        wanting ||= lane.length > 0 && (!may || pods.usable(portName).length === 0);
    } else {
      this.#timer?.cancel();
      this.#timer = undefined;
    }
    if (wanting === this.#wanting) return;
    this.#wanting = wanting;
    this.#deps.onWanting(wanting);
  }

  #nextDeadline(): number {
    const { timeoutMs } = this.#deps.settings();
    let next = Number.POSITIVE_INFINITY;
    for (const lane of this.#lanes.values())
      if (lane.head !== undefined) next = Math.min(next, lane.head.value.since + timeoutMs);
    return next;
  }

  /** One timer for all holds, at the earliest deadline. */
  #arm(): void {
    if (this.#held === 0) return;
    const at = this.#nextDeadline();
    if (this.#timer !== undefined && this.#timerAt <= at) return;
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#deps.clock.after(Math.max(1, at - this.#deps.clock.monotonic()), () => {
      this.#timer = undefined;
      this.#expire();
      this.#arm();
    });
  }

  #expire(): void {
    const { settings, clock, lastFailure } = this.#deps;
    const { timeoutMs } = settings();
    const now = clock.monotonic();
    for (const lane of this.#lanes.values()) {
      let ticket = lane.head;
      if (ticket === undefined || ticket.value.since + timeoutMs > now) continue;
      const failure = lastFailure();
      const why = failure === undefined ? "no pod became ready" : `${failure.reason}: ${failure.detail}`;
      const error = errors.ELASTI_HOLD_TIMEOUT(`waited ${timeoutMs / 1_000} s (queue.timeoutSeconds); ${why}`);
      for (; ticket !== undefined && ticket.value.since + timeoutMs <= now; ticket = lane.head)
        this.#fail(ticket, error, "expired");
    }
    this.#settle();
  }
}
