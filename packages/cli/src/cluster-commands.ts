import type { Command } from "./command-line.ts";
import type { Place } from "./place.ts";

/**
 * What a cluster with Elasti on it is looked after with. The operator's image has these and no other command: nothing that is
 * imported from here may lead to the embedded Kubernetes of the demo.
 */
export const clusterCommands: Readonly<Record<string, Command>> = {
  doctor: {
    summary: "looks at an installation and its services, and says what is wrong and how to mend it",
    run: async (args) => {
      const { doctor } = await import("./doctor/doctor.ts");
      return await untilSignal((place) => doctor(args, place));
    },
  },
  policies: {
    summary: "keeps scaling policies as files: apply, diff, get, delete, history",
    run: async (args) => {
      const { policies } = await import("./policies/policies.ts");
      return await untilSignal((place) => policies(args, place));
    },
  },
  restore: {
    summary: "puts back every Service, target and autoscaler, with no operator running",
    run: async (args) => {
      const { restore } = await import("./restore/restore.ts");
      return await untilSignal((place) => restore(args, place));
    },
  },
};

/** Runs a command in this process; SIGINT and SIGTERM let it end early. */
async function untilSignal(run: (place: Place) => Promise<number>): Promise<number> {
  const stop = new AbortController();
  const onSignal = () => stop.abort(new Error("interrupted"));
  process.once("SIGINT", onSignal);
  process.once("SIGTERM", onSignal);
  try {
    return await run({
      env: process.env,
      write: (text) => process.stdout.write(text),
      writeError: (text) => process.stderr.write(text),
      signal: stop.signal,
    });
  } finally {
    process.off("SIGINT", onSignal);
    process.off("SIGTERM", onSignal);
  }
}
