import type { ElastiError } from "@elasti/core";
import type { PodTarget } from "../contracts.ts";
import type { QueueNode } from "./hold-queue.ts";

/** Leave to send one request to one pod: a slot that is taken until the gate is told how it ended. */
export interface Admission {
  readonly pod: PodTarget;
  /** The service's epoch when it was given. */
  readonly epoch: number;
  /** Counts as traffic. */
  readonly counted: boolean;
  /** Clock time (monotonic ms) at which it was given. */
  readonly at: number;
  /** The place by arrival, for coming back after a refusal. */
  readonly seq: number;
  /** Set when it was held before: when that began (monotonic ms). */
  readonly heldSince: number | undefined;
  finished: boolean;
}

/** Whatever waits: a raw connection, a request, an upgrade. Exactly one of `release` and `fail` is called, once, unless it abandons. */
export interface Hold {
  release(admission: Admission): void;
  fail(error: ElastiError): void;
}

/** One wait of one hold in a gate. */
export interface Wait {
  readonly hold: Hold;
  readonly portName: string | undefined;
  readonly counted: boolean;
  /** Monotonic ms; the deadline counts from here. */
  readonly since: number;
}

export type Ticket = QueueNode<Wait>;

/** Holds of the whole process, and what is sent on and not finished, that of removed services too. */
export class HoldBudget {
  readonly max: number;
  used = 0;
  inFlight = 0;

  constructor(max: number) {
    this.max = max;
  }
}
