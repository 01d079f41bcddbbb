import {
  createLogger,
  ElastiError,
  errorText,
  Metrics,
  readConfig,
  redactConfig,
  runUntilSignal,
  systemClock,
} from "@elasti/core";
import { createKubeClient, inClusterOf, loadCluster } from "@elasti/kube";
import { settings } from "./config.ts";
import { createResolver } from "./process.ts";

/** Runs the resolver until it is told to stop. @returns the exit code */
export async function main(env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const clock = systemClock;
  let logger = createLogger({ name: "elasti-resolver" });
  try {
    const config = readConfig(settings, env);
    logger = createLogger({ name: "elasti-resolver", level: config.logLevel, bindings: { pod: config.podName } });
    logger.info({ settings: redactConfig(settings, config) }, "starting");
    const metrics = new Metrics({ clock, process: true });
    const inCluster = inClusterOf(env);
    const cluster = await loadCluster({
      clock,
      ...(config.kubeconfig === "" ? {} : { kubeconfigPath: config.kubeconfig }),
      ...(inCluster === undefined ? {} : { inCluster }),
    });
    const client = createKubeClient({ cluster, logger, clock, metrics });
    try {
      return await runUntilSignal(createResolver(config, { client, clock, logger, metrics }), logger);
    } finally {
      await client.close();
    }
  } catch (error) {
    const details = error instanceof ElastiError ? error.details : {};
    logger.fatal({ error: errorText(error), ...details }, "cannot start");
    return 1;
  }
}
