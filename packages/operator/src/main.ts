import {
  type Clock,
  createLogger,
  ElastiError,
  errorText,
  Lifecycle,
  Metrics,
  readConfig,
  runUntilSignal,
  systemClock,
} from "@elasti/core";
import { createKubeClient, inClusterOf, type KubeClient, loadCluster, reviewToken, TokenKeys } from "@elasti/kube";
import { configProblems, type OperatorConfig, operatorSettings } from "./config.ts";
import { AbsentNamespaces, findAbsent } from "./controller/absent-namespaces.ts";
import {
  type Authenticator,
  defaultAccount,
  StaticAuthenticator,
  TokenReviewAuthenticator,
  type TokenReviewer,
} from "./elastiserver/auth.ts";
import { operatorErrors } from "./errors.ts";
import { createOperator } from "./operator.ts";

/** Who says whose a token is. */
function reviewerOf(how: OperatorConfig["tokenCheck"], client: KubeClient, clock: Clock): TokenReviewer {
  if (how === "keys") return new TokenKeys({ client, clock });
  return { review: (token, audiences) => reviewToken(client, token, audiences) };
}

/** Runs the operator until it is told to stop. @returns the exit code */
export async function main(env: NodeJS.ProcessEnv = process.env): Promise<number> {
  const clock = systemClock;
  let logger = createLogger({ name: "elasti-operator" });
  try {
    const config = readConfig(operatorSettings, env);
    const problems = configProblems(config);
    if (problems.length > 0) {
      throw operatorErrors.ELASTI_BAD_SETTINGS(problems.map(({ field, message }) => `${field} ${message}`).join("; "), {
        details: { errors: problems },
      });
    }
    logger = createLogger({ name: "elasti-operator", level: config.logLevel, bindings: { pod: config.podName } });
    const metrics = new Metrics({ clock, process: true });
    const inCluster = inClusterOf(env);
    const cluster = await loadCluster({
      clock,
      ...(config.kubeconfig === "" ? {} : { kubeconfigPath: config.kubeconfig }),
      ...(inCluster === undefined ? {} : { inCluster }),
    });
    const client = createKubeClient({
      cluster,
      logger,
      clock,
      metrics,
      requestTimeoutMs: config.kubeTimeoutMs,
      maxConnections: config.kubeConnections,
    });
    const leaseClient = createKubeClient({ cluster, logger, clock, maxConnections: 1 });
    const allowedAccounts =
      config.allowedAccounts.length > 0 ? config.allowedAccounts : [defaultAccount(config.podNamespace)];
    const authenticator: Authenticator =
      Object.keys(config.staticTokens).length > 0
        ? new StaticAuthenticator(config.staticTokens, allowedAccounts)
        : new TokenReviewAuthenticator(
            { reviewer: reviewerOf(config.tokenCheck, client, clock), clock, logger },
            { allowedAccounts },
          );
    const lifecycle = new Lifecycle(logger, { clock });
    const absent = await findAbsent(client, config.watchNamespaces);
    const watchNamespaces = config.watchNamespaces.filter((name) => !absent.includes(name));
    const deps = { client, leaseClient, authenticator, clock, logger, metrics };
    lifecycle.add("operator", createOperator({ ...config, watchNamespaces }, deps));
    // started again it lists everything before it does anything, as it must
    const onThere = () => void process.kill(process.pid, "SIGTERM");
    lifecycle.add("absent-namespaces", new AbsentNamespaces({ client, clock, logger, onThere }, absent));
    return await runUntilSignal(lifecycle, logger);
  } catch (error) {
    const details = error instanceof ElastiError ? error.details : {};
    logger.fatal({ error: errorText(error), ...details }, "cannot start");
    return 1;
  }
}
