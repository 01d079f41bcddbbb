import v8 from "node:v8";
import { systemClock } from "../../../packages/core/src/clock.ts";
import { IdleMemory } from "../../../packages/core/src/idle-memory.ts";

/** Runs a program that has been loaded as this process. */
export function run(main: () => Promise<number>): void {
  v8.setFlagsFromString("--semi-space-growth-factor=2");
  const memory = new IdleMemory({ clock: systemClock });
  memory.start();
  void main().then((code) => {
    memory.close();
    process.exitCode = code;
  });
}
