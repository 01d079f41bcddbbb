/** What can happen to the service, in the order of one cycle. */
export const stages = {
  // waking
  held: "waking",
  scaled: "waking",
  notified: "waking",
  started: "waking",
  ready: "waking",
  answered: "waking",
  swapped: "waking",
  direct: "waking",
  active: "waking",
  unsure: "waking",
  // falling asleep
  idle: "sleeping",
  drained: "sleeping",
  proven: "sleeping",
  sealed: "sleeping",
  zero: "sleeping",
  gone: "sleeping",
  unparked: "sleeping",
  undone: "sleeping",
} as const;

export type Stage = keyof typeof stages;

/** Something that happened. */
export interface Moment {
  readonly stage: Stage;
  /** Milliseconds since the epoch. */
  readonly at: number;
  /** In words. */
  readonly detail: string;
}

type Half = "awake" | "waking" | "asleep" | "sleeping";

/**
 * Turns moments into lines for people: two blocks a cycle, each line with the time since the block began and since the line
 * before. Of several moments of one stage in a block the first counts.
 */
export class Timeline {
  readonly #write: (line: string) => void;
  #half: Half = "asleep";
  #cycle = 0;
  #originAt = 0;
  #lastAt = 0;
  readonly #seen = new Set<Stage>();
  #requests = 0;
  #direct = 0;

  constructor(write: (line: string) => void) {
    this.#write = write;
  }

  /** Counts an answered request; the next block tells how many there were. */
  count(direct: boolean): void {
    this.#requests += 1;
    if (direct) this.#direct += 1;
  }

  /** A line outside of the order. */
  note(text: string): void {
    this.#write(`  ${text}`);
  }

  take(moment: Moment): void {
    const { stage } = moment;
    // a wake may come before the last pods of before have left
    const down = this.#half === "asleep" || (this.#half === "sleeping" && this.#seen.has("zero"));
    if (stages[stage] === "waking" && down) {
      if (stage !== "held" && stage !== "scaled") return;
      this.#cycle += 1;
      this.#begin("waking", moment.at, `cycle ${this.#cycle}: a request wakes the service`);
    } else if (stage === "idle") {
      const counted =
        this.#requests === 0
          ? ""
          : `, after ${this.#requests} request${this.#requests === 1 ? "" : "s"}, ${this.#direct} of them with no resolver in between`;
      this.#requests = 0;
      this.#direct = 0;
      this.#begin("sleeping", moment.at, `cycle ${this.#cycle}: the service falls asleep${counted}`);
    } else if (stages[stage] === "sleeping" && !this.#fallsAsleep) {
      return;
    }
    if (this.#seen.has(stage)) return;
    this.#seen.add(stage);
    this.#line(moment);
    if (stage === "undone") this.#half = "awake";
    else if (stage === "gone") this.#half = "asleep";
  }

  /** In a block of falling asleep, the end of which may trail. */
  get #fallsAsleep(): boolean {
    return this.#half === "sleeping" || (this.#half === "asleep" && this.#seen.has("idle"));
  }

  #begin(half: Half, at: number, title: string): void {
    this.#half = half;
    this.#originAt = at;
    this.#lastAt = at;
    this.#seen.clear();
    this.#write("");
    this.#write(title);
  }

  #line({ stage, at, detail }: Moment): void {
    const offset = shortDuration(Math.max(0, at - this.#originAt));
    const delta = at > this.#lastAt ? `+${shortDuration(at - this.#lastAt)}` : "";
    this.#lastAt = Math.max(this.#lastAt, at);
    this.#write(`  ${offset.padStart(8)} ${delta.padStart(9)}  ${stage.padEnd(9)} ${detail}`.trimEnd());
  }
}

/** `12 ms`, `1.02 s`: with the digits by which two lines differ. */
function shortDuration(ms: number): string {
  return ms < 1_000 ? `${Math.round(ms)} ms` : `${(ms / 1_000).toFixed(2)} s`;
}
