/**
 * `npm run test:metrics`: the real metrics-server beside Elasti, on a whole real Kubernetes that is made for it and removed after. A
 * part of `npm run verify:full`; the gate has the double, which is held to the same rules. Ends with the line `N passed, M failed`.
 * It wants what `npm run test:cluster` wants; metrics-server is built from its Go module once, which takes about two minutes.
 */
import { join } from "node:path";
import { ensureMetricsServer } from "../../cluster/binaries.ts";
import { runInside } from "../../cluster/inside.ts";
import { Missing } from "../../cluster/requirements.ts";
import { metricsServerEnvironment } from "./metrics-server.ts";

const say = (line: string) => console.log(line);
try {
  Object.assign(process.env, metricsServerEnvironment(await ensureMetricsServer(say)));
  const runner = join(import.meta.dirname, "..", "..", "run-files.ts");
  const files = process.argv.length > 2 ? process.argv.slice(2) : ["test/metrics/real/real-metrics.test.ts"];
  process.exitCode = await runInside([runner, "--one-by-one", ...files], { name: "metrics", say });
} catch (error) {
  console.error(error instanceof Missing ? error.message : error);
  console.log("0 passed, 1 failed");
  process.exitCode = 1;
}
