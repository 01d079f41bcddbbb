import { setTimeout as sleep } from "node:timers/promises";
import { type Call, type Moment, momentOf } from "./aims.ts";
import type { Clients } from "./clients.ts";
import type { Stage, Step } from "./stage.ts";

/** Requests sent at once when a step is hit. */
export const BURST = 16;
/** Between two requests while a service wakes and its routing changes, in ms. */
const TRAIL_PAUSE_MS = 100;
/** A sleep begins within this, or something is wrong. */
const SLEEP_WITHIN_MS = 90_000;
const SETTLED_WITHIN_MS = 60_000;
/** Longest delay of a call of the operator that nobody aims at. */
const STRAY_DELAY_MS = 200;

/** Lives through the cycles of one service: some use, quiet until it falls asleep, a burst at one step, a trail until it is awake. */
export class Driver {
  readonly stage: Stage;
  readonly #clients: Clients;
  readonly #nextAim: () => Step;
  readonly #stuck: (what: string) => void;
  #aim: { moment: Moment; fired: boolean } | undefined;
  #stopping = false;

  constructor(options: {
    stage: Stage;
    clients: Clients;
    /** The step that needs requests most. */
    nextAim: () => Step;
    /** Told when a service does not go on. */
    stuck: (what: string) => void;
  }) {
    this.stage = options.stage;
    this.#clients = options.clients;
    this.#nextAim = options.nextAim;
    this.#stuck = options.stuck;
  }

  /** A call of an operator is about to leave, or was answered: it waits for what this returns. */
  async onCall(call: Call, when: "before-send" | "after-answer"): Promise<void> {
    const aim = this.#aim;
    if (call === "zero" && when === "before-send") this.stage.onZero();
    this.stage.note(`operator: ${call}, ${when}`);
    if (
      aim !== undefined &&
      !aim.fired &&
      "during" in aim.moment &&
      aim.moment.during === call &&
      aim.moment.when === when
    ) {
      this.#fire(aim);
      // the requests are on their way, and what they set off may come first
      await sleep(20 + Math.random() * 380);
    } else if (call === "fence" ? when === "before-send" : Math.random() < 0.2) {
      await sleep(Math.random() * STRAY_DELAY_MS * (call === "fence" ? 3 : 1));
    }
  }

  async run(): Promise<void> {
    await this.#trail();
    while (!this.#stopping) await this.#cycle();
    this.#clients.close();
  }

  /** Lets the cycle that is under way come to an end. */
  stop(): void {
    this.#stopping = true;
  }

  async #cycle(): Promise<void> {
    const { stage } = this;
    const step = this.#nextAim();
    const aim = { moment: momentOf(step), fired: false };
    this.#aim = aim;
    stage.note(`aim: ${step} ${JSON.stringify(aim.moment)}`);
    const began = await stage.until(() => stage.phase === "Draining" || this.#stopping, SLEEP_WITHIN_MS);
    if (this.#stopping) return;
    if (!began) return this.#stuck(`${stage.key} does not fall asleep`);
    this.#clients.leavePods();
    const over = () => stage.phase === "Serving" || stage.phase === "Waking";
    const { moment } = aim;
    if ("in" in moment) {
      await stage.until(() => stage.step === moment.in || over(), SLEEP_WITHIN_MS);
      if (moment.upToMs > 0) await sleep(Math.random() * moment.upToMs);
      this.#fire(aim);
    } else {
      const asleep = () => stage.phase === "Asleep" && stage.podsGone && !stage.parked;
      await stage.until(() => aim.fired || over() || asleep(), SLEEP_WITHIN_MS);
      // the moment did not come: for a service that sleeps, now is as good
      this.#fire(aim);
    }
    await this.#trail();
  }

  #fire(aim: { fired: boolean }): void {
    if (aim.fired) return;
    aim.fired = true;
    this.stage.note(`burst in ${this.stage.step ?? "awake"}`);
    void this.#clients.burst(BURST);
  }

  /** Requests one after another until all nodes lead to the pods, then a few straight to them. */
  async #trail(): Promise<void> {
    const { stage } = this;
    const until = performance.now() + SETTLED_WITHIN_MS;
    for (let index = 0; !stage.settled || stage.phase !== "Serving"; index++) {
      if (performance.now() > until) return this.#stuck(`${stage.key} does not come back to its pods`);
      void this.#clients.send(index % 2 === 0);
      await sleep(TRAIL_PAUSE_MS * (0.5 + Math.random()));
    }
    for (let index = 0; index < 6 && stage.phase === "Serving"; index++) {
      void this.#clients.send(index % 3 !== 0);
      await sleep(30);
    }
  }
}
