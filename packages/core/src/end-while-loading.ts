/** What a process exits with that is told to end before it can end by itself. */
const exitCodes = { SIGTERM: 143, SIGINT: 130 } as const;

/**
 * Lets the process end by a signal that comes before the program listens for it. The first process of a container would
 * overlook it otherwise, and be killed when its grace period is over. For the first lines of a program: it imports nothing.
 */
export function endWhileLoading(): void {
  for (const signal of ["SIGTERM", "SIGINT"] as const)
    process.once(signal, () => {
      if (process.listenerCount(signal) === 0) process.exit(exitCodes[signal]);
    });
}
