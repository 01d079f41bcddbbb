import type { SessionDown, SessionUp } from "@elasti/api";

/** A session as those see it who talk through it. */
export interface SessionHandle {
  /** Pod name of the resolver. */
  readonly id: string;
  /** Differs between two sessions of one resolver. */
  readonly serial: number;
  /** False when the session has ended. */
  send(line: SessionDown): boolean;
}

/** Finds the present session of a resolver. */
export interface SessionDirectory {
  find(resolver: string): SessionHandle | undefined;
}

export type SealedLine = Extract<SessionUp, { type: "sealed" }>;
export type DialledLine = Extract<SessionUp, { type: "dialled" }>;
export type SilentLine = Extract<SessionUp, { type: "silent" }>;
