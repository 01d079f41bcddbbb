import { runInside } from "../cluster/inside.ts";
import { Missing } from "../cluster/requirements.ts";
import { tell } from "./figures.ts";

/** Which Kubernetes a benchmark runs on. @throws RangeError */
export function clusterOf(text: string): "embedded" | "real" {
  if (text !== "embedded" && text !== "real") throw new RangeError(`--cluster ${text}: expected embedded or real`);
  return text;
}

/**
 * Brings a real cluster up, runs this very program again inside of it, and ends with its exit code; returns at once for that
 * second run. Name of the cluster: `bench`.
 */
export async function insideReal(): Promise<void> {
  if (process.env.ELASTI_TEST_NODE !== undefined) return;
  try {
    process.exit(
      await runInside(process.argv.slice(1), { name: "bench", helm: process.argv.includes("--installed"), say: tell }),
    );
  } catch (error) {
    tell(error instanceof Missing ? error.message : String(error));
    process.exit(1);
  }
}
