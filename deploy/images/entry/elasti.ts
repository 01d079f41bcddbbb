import { clusterCommands } from "../../../packages/cli/src/cluster-commands.ts";
import { runCommand } from "../../../packages/cli/src/command-line.ts";
import { run } from "./run.ts";

run(() => runCommand(clusterCommands, process.argv.slice(2)));
