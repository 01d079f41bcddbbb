import type { ElastiService } from "@elasti/api";

/** What scaling policies say of an ElastiService now. */
export interface PolicyVote {
  /**
   * Rules or a schedule ask for zero, and why. It stands in for the cooldown; an Active or Unknown verdict, a hold, or traffic
   * outranks it.
   */
  readonly idle?: string;
  /** A window asks for at least so many, 1 or more: it wakes, and sleeping is not allowed. */
  readonly floor?: { readonly replicas: number; readonly message: string };
  /** What policies ask for is not known: sleeping is not allowed until it is. */
  readonly unknown?: string;
  /** Least of a wake, for whomever: what policies ask for while it is awake. */
  readonly awake?: number;
}

/** Asked whenever a service is looked at, on every replica: a look-up in memory that never throws. */
export interface PolicyVotes {
  of(es: ElastiService): PolicyVote;
  /** @param listener told of each ElastiService of which something else is said from now on, as `namespace/name` */
  onChange(listener: (key: string) => void): void;
}

/** Without a policy engine. */
export const noVotes: PolicyVotes = { of: () => ({}), onChange: () => {} };

/** What the operator itself did to the replicas of a target. */
export interface JournalEntry {
  readonly action: "sleep" | "wake" | "scale_up" | "scale_down";
  readonly es: ElastiService;
  /** null: not known. */
  readonly previousReplicas: number | null;
  readonly newReplicas: number | null;
  readonly reason: string;
  /** `operator`, `override:<who>`, or `manual` where somebody else had done it. */
  readonly triggeredBy: string;
  /** Wall clock. */
  readonly atMs: number;
}

/** Keeps what was done. Takes it at once, never throws, and never makes anybody wait. */
export interface Journal {
  record(entry: JournalEntry): void;
}

export const noJournal: Journal = { record: () => {} };
