import type { WorkloadReference } from "../targets/cluster-sources.ts";

/** What a policy asks of the ElastiServices that name its target. */
export interface Vote {
  /** Rules or a schedule ask for zero. */
  readonly idle: boolean;
  /** A window asks that the target be awake with so many; 0: it does not. */
  readonly floor: number;
  /** Least of a wake, whoever wakes it. */
  readonly awake: number;
  readonly reason: string;
}

/** The sleep machine, as far as policies have a say in it. */
export interface VoteSink {
  /** Replaces what the policy asked before; undefined: nothing any more. */
  vote(policyId: string, workload: WorkloadReference | undefined, vote: Vote | undefined): void;
  /** Whether every policy has had its say since this replica leads. Until then nobody knows what a policy would forbid. */
  settled(known: boolean): void;
}

/** Tells people who describe an object what was done to it. */
export interface TargetEvents {
  record(
    target: WorkloadReference,
    type: "Normal" | "Warning",
    reason: "PolicyScaled" | "PolicyFailed",
    message: string,
  ): void;
}
