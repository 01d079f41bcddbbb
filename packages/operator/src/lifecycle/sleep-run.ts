import type { SleepRun } from "./phases.ts";
import type { Ruling } from "./ruling.ts";

/** A sleep that this process leads, as it changes. */
export class Run implements SleepRun {
  readonly drainEpoch: number;
  /** Of the spec that it was begun for; an edit ends the sleep. */
  readonly generation: number | undefined;
  /** By an override, whatever the triggers said: it ends when that is over. */
  readonly ordered: Ruling["sleep"];
  parkWritten = false;
  proof: SleepRun["proof"] = "none";
  /** Why the proof failed. */
  proofDetail = "";
  grace: SleepRun["grace"] = "none";
  /** Wall-clock ms at which the grace was over; samples of the second look must not be older. */
  graceOverAtMs = 0;
  look: SleepRun["look"] = "none";
  seal: SleepRun["seal"] = "none";
  sealDetail = "";
  /** Resource version of the target, read before Sealed was written. */
  targetVersion: string | undefined;
  /** Replicas that the target had before the write to zero. */
  replicasBefore: number | undefined;
  zero: SleepRun["zero"] = "none";
  zeroTries = 0;
  /** The error that the write to zero was refused with. */
  zeroRefusal: unknown;
  readonly #requestsSeen: () => number;
  readonly #aborted = new AbortController();

  /** @param requestsSeen requests that resolvers have seen since the run began */
  constructor(
    drainEpoch: number,
    generation: number | undefined,
    requestsSeen: () => number,
    ordered?: Ruling["sleep"],
  ) {
    this.drainEpoch = drainEpoch;
    this.generation = generation;
    this.ordered = ordered;
    this.#requestsSeen = requestsSeen;
  }

  get targetRead(): boolean {
    return this.targetVersion !== undefined;
  }

  get requestsSeen(): number {
    return this.#requestsSeen();
  }

  /** Aborted when the run ends, however it ends. */
  get signal(): AbortSignal {
    return this.#aborted.signal;
  }

  end(): void {
    this.#aborted.abort();
  }
}
