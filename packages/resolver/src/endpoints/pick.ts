import type { Pick } from "../contracts.ts";

export interface PickOptions {
  /** From 0 to 1, without 1. */
  readonly random?: () => number;
}

/**
 * Power of two choices: of two pods drawn at random the one with less in flight, on a tie the first drawn. With the load
 * known to one resolver alone this comes close to the least loaded and never sends a whole burst to the same pod.
 */
export function pickOfTwo(options: PickOptions = {}): Pick {
  const { random = Math.random } = options;
  return (pods, inFlightOf) => {
    const count = pods.length;
    if (count <= 1) return pods[0];
    const first = Math.floor(random() * count);
    const second = (first + 1 + Math.floor(random() * (count - 1))) % count;
    const a = pods[first]!;
    const b = pods[second]!;
    return inFlightOf(b) < inFlightOf(a) ? b : a;
  };
}
