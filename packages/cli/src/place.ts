import type { Environment } from "./cluster-access.ts";

/** Where a command writes, and what it is told by its environment. */
export interface Place {
  readonly env: Environment;
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** Ends it early. */
  readonly signal: AbortSignal;
}
