import { type Bit, NONE, noWrite, READY, SERVING, type State } from "./state.ts";

/** What the environment can be told not to do, to see that it matters. */
export type Guard =
  /** The proof is taken as made. */
  | "proof"
  /** The second look says idle without looking. */
  | "second look"
  /** Resolvers count as holding without being asked. */
  | "seal"
  /** Leaving Sealed does not move the target's resourceVersion. */
  | "fence of the target"
  /** Taking the slice away does not move the Service's resourceVersion. */
  | "fence of the Service"
  /** The write to zero carries no resourceVersion. */
  | "precondition"
  /** Phases are written without a resourceVersion. */
  | "epoch"
  /** The write to zero takes the resourceVersion that the target has at that moment. */
  | "target read before the seal"
  /** Resolvers trust every ready pod after a wake overtook a sleep. */
  | "taint"
  /** Resolvers distrust pods of before only when they have seen Asleep themselves. */
  | "taint without having seen Asleep"
  /** A replica that comes to lead decides first on what its watch showed before the last phase. */
  | "a new leader reads afresh"
  /** A sleep may begin while nodes have yet to learn how the last one ended. */
  | "settled nodes";

export interface World {
  readonly name: string;
  readonly mode: "SelectorSwap" | "Always";
  readonly trustsReady: boolean;
  readonly requests: number;
  readonly sleeps: number;
  /** Times that the leader is deposed; a call of its may land at any later time. */
  readonly depositions: number;
  /** Calls whose answer is lost, and that may land at any later time. */
  readonly lost: number;
  /** Restarts of resolvers. */
  readonly restarts: number;
  readonly removed?: Guard;
}

/** Changes that a kube-proxy may be behind by. */
export const LAG = 3;

/** Who makes a transition: the world and the leader and the other replica move in their time; chance need not happen. */
export type Mover = "world" | "leader" | "waker" | "chance";

export type Emit = (label: string, mover: Mover, next: State, violation?: string) => void;

/** @returns the first state of all: awake, served by its pod directly. */
export function start(w: World): State {
  const always: Bit = w.mode === "Always" ? 1 : 0;
  const resolver = {
    phase: SERVING,
    epoch: 2,
    gone: 0,
    drained: 0,
    counted: 0,
    sealed: 0,
    askEpoch: 0,
    askDrain: 0,
    acked: 0,
    taint: 0,
  } as const;
  return {
    phase: SERVING,
    epoch: 2,
    drain: 0,
    gone: 0,
    parked: always,
    fenced: 1,
    slice: always,
    kube: always ? 0 : 5,
    replicas: 1,
    controller: 1,
    pods: [READY, NONE],
    table: [always ? 4 : 1],
    requests: Array.from({ length: w.requests }, () => 0),
    resolvers: [resolver, resolver],
    run: undefined,
    fence: 0,
    leader: noWrite,
    wakerFence: 0,
    waker: noWrite,
    late: noWrite,
    busy: 0,
    answered: 0,
    sleeps: w.sleeps,
    depositions: w.depositions,
    lost: w.lost,
    restarts: w.restarts,
    newcomer: 0,
  };
}
