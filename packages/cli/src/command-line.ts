/** A subcommand: takes its arguments, gives the exit code. */
export interface Command {
  readonly summary: string;
  readonly run: (args: readonly string[]) => Promise<number>;
}

/** Runs the command that the first argument names. @returns the exit code; 2 where there is no such command */
export async function runCommand(
  commands: Readonly<Record<string, Command>>,
  args: readonly string[],
): Promise<number> {
  const [name, ...rest] = args;
  const command = name === undefined || !Object.hasOwn(commands, name) ? undefined : commands[name];
  if (command !== undefined) return await command.run(rest);
  const lines = Object.entries(commands).map(([key, { summary }]) => `  ${key.padEnd(10)} ${summary}`);
  const asked = name === undefined || name === "help" || name === "--help";
  if (!asked) process.stderr.write(`elasti: there is no command "${name}"\n`);
  (asked ? process.stdout : process.stderr).write(`usage: elasti <command>\n${lines.join("\n")}\n`);
  return asked ? 0 : 2;
}
