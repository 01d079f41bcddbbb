import type { ElastiService } from "@elasti/api";
import type { Memory } from "./performer.ts";
import type { Ruling } from "./ruling.ts";
import type { Run } from "./sleep-run.ts";

/** What a leader remembers of one service. */
export interface ServiceMemory extends Memory {
  /** Last activity that this process learned of, wall clock in ms. */
  lastActiveMs: number;
  /** Sleeps in a row that were undone for another reason than activity. */
  failures: number;
  /** Not before this time is another sleep begun. */
  notBeforeMs: number;
  /** When slice or park of ours were last seen; undefined before the first look. Wall clock in ms. */
  routedAtMs: number | undefined;
  /** Passes in a row that ended by a conflict. */
  conflicts: number;
  /** Epoch of the phase Asleep in which this process has seen the target at zero: only then does it know that others raised it. */
  seenAtZero: number | undefined;
  /** A right that was missing to let it sleep. */
  missingRight: string | undefined;
  /** `intent` of the override's replicas that were written last: what others make of them stands. */
  overrideDone: string | undefined;
  /** The record for which the target was read before anything was decided on it. */
  overrideRead: string | undefined;
  /** The expired record that was taken off; put there again, it stays. */
  overrideRemoved: string | undefined;
  /** Why routing by the resolvers could not be proven. */
  routingProblem: { reason: string; message: string } | undefined;
}

/** The memories of all services; emptied when leadership ends. */
export class Memories {
  readonly #byKey = new Map<string, ServiceMemory>();

  of(key: string): ServiceMemory {
    let memory = this.#byKey.get(key);
    if (memory === undefined) {
      memory = {
        run: undefined,
        fence: undefined,
        parkedUid: undefined,
        lastActiveMs: 0,
        failures: 0,
        notBeforeMs: 0,
        routedAtMs: undefined,
        conflicts: 0,
        seenAtZero: undefined,
        missingRight: undefined,
        overrideDone: undefined,
        overrideRead: undefined,
        overrideRemoved: undefined,
        routingProblem: undefined,
      };
      this.#byKey.set(key, memory);
    }
    return memory;
  }

  forget(key: string): void {
    this.#byKey.get(key)?.run?.end();
    this.#byKey.delete(key);
  }

  clear(): void {
    for (const key of [...this.#byKey.keys()]) this.forget(key);
  }
}

/** The sleep that is being led, unless it was begun for another spec than there is now, or by an order that is over. */
export function runOf(es: ElastiService, { run }: Memory, ordered?: Ruling["sleep"]): Run | undefined {
  if (run?.ordered !== undefined && run.ordered !== ordered) return undefined;
  return run?.generation === es.metadata.generation ? run : undefined;
}

const firstPauseMs = 30_000;
const longestPauseMs = 600_000;

/** Takes note of a sleep that was undone; other reasons than activity make the next one wait longer and longer. */
export function noteUndone(memory: ServiceMemory, nowMs: number, byActivity: boolean): void {
  if (byActivity) {
    memory.lastActiveMs = Math.max(memory.lastActiveMs, nowMs);
    return;
  }
  memory.notBeforeMs = nowMs + Math.min(longestPauseMs, firstPauseMs * 2 ** Math.min(memory.failures, 10));
  memory.failures += 1;
}

/** A sleep succeeded. */
export function noteAsleep(memory: ServiceMemory): void {
  memory.failures = 0;
  memory.notBeforeMs = 0;
  memory.routingProblem = undefined;
  memory.missingRight = undefined;
}
