import { clusterCommands } from "./cluster-commands.ts";
import { type Command, runCommand } from "./command-line.ts";
import { demo } from "./demo/demo.ts";
import { generate } from "./generate.ts";

const commands: Readonly<Record<string, Command>> = {
  ...clusterCommands,
  demo: { summary: "runs Elasti and a sample app on an embedded Kubernetes on this machine", run: demo },
  generate: {
    summary: "writes the CRD and the reference pages from the schemas; --check only compares",
    run: generate,
  },
};

/** Runs the command line. @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  return await runCommand(commands, args);
}
