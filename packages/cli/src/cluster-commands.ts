import type { Command } from "./command-line.ts";

/**
 * What a cluster with Elasti on it is looked after with. The operator's image has these and no other command: nothing that is
 * imported from here may lead to the embedded Kubernetes of the demo.
 */
export const clusterCommands: Readonly<Record<string, Command>> = {};
