import { demo } from "./demo/demo.ts";
import { generate } from "./generate.ts";

/** A subcommand: takes its arguments, gives the exit code. */
type Command = { readonly summary: string; readonly run: (args: readonly string[]) => Promise<number> };

const commands: Readonly<Record<string, Command>> = {
  demo: { summary: "runs Elasti and a sample app on an embedded Kubernetes on this machine", run: demo },
  generate: {
    summary: "writes the CRD and the reference pages from the schemas; --check only compares",
    run: generate,
  },
};

/** Runs the command line. @returns the exit code */
export async function main(args: readonly string[]): Promise<number> {
  const [name, ...rest] = args;
  const command = name === undefined ? undefined : commands[name];
  if (command !== undefined) return await command.run(rest);
  const lines = Object.entries(commands).map(([key, { summary }]) => `  ${key.padEnd(10)} ${summary}`);
  const asked = name === undefined || name === "help" || name === "--help";
  if (!asked) process.stderr.write(`elasti: there is no command "${name}"\n`);
  (asked ? process.stdout : process.stderr).write(`usage: elasti <command>\n${lines.join("\n")}\n`);
  return asked ? 0 : 2;
}
