import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { ElastiService } from "@elasti/api";
import { type Clock, type Logger, silentLogger, systemClock } from "@elasti/core";
import {
  elastiAccounts,
  type Installation,
  installElasti,
  type LocalCluster,
  type SampleApp,
  startLocalCluster,
  startPrometheus,
} from "@elasti/local";
import { AppMetrics } from "./app-metrics.ts";
import { Observer } from "./observer.ts";
import type { Moment } from "./timeline.ts";

/** Everything that the demo runs. */
export interface World extends AsyncDisposable {
  readonly cluster: LocalCluster;
  readonly installation: Installation;
  readonly app: SampleApp;
  readonly observer: Observer;
  /** Where the demo's own requests come from. */
  readonly clientAddress: string;
  readonly kubeconfigPath: string;
  readonly logDir: string;
  readonly idleDecision: "prometheus" | "traffic";
  readonly prometheusUrl: string | undefined;
  /** Leaves the logs behind, for whoever has to find out why. */
  keepLogs(): void;
}

export interface WorldOptions {
  readonly startMs: number;
  /** Path of Prometheus; without it the resolver stays in the path and counts. */
  readonly prometheus: string | undefined;
  readonly onMoment: (moment: Moment) => void;
  readonly say: (line: string) => void;
  /** Ends a start that is under way. */
  readonly signal: AbortSignal;
  readonly clock?: Clock;
  readonly logger?: Logger;
}

const NAME = "web";
const NAMESPACE = "default";
const APP_PORT = 8080;
const COOLDOWN_SECONDS = 3;
const GRACE_SECONDS = 2;
export const IDLE_QUERY = "sum(rate(app_requests_total[4s])) or vector(0)";

/** Starts the embedded Kubernetes, Elasti, the sample app at zero, and Prometheus where there is one. */
export async function startWorld(options: WorldOptions): Promise<World> {
  const { clock = systemClock, logger = silentLogger, prometheus, say, onMoment, signal } = options;
  const stack = new AsyncDisposableStack();
  try {
    const logDir = await mkdtemp(join(tmpdir(), "elasti-demo-"));
    let keepLogs = false;
    stack.defer(async () => {
      if (!keepLogs) await rm(logDir, { recursive: true, force: true });
    });

    const metrics = new AppMetrics({ logger, port: APP_PORT });
    const metricsAddress = await metrics.start();
    stack.defer(() => metrics.close());
    // Prometheus takes some seconds to find its targets, so it starts first
    const starting =
      prometheus === undefined
        ? undefined
        : startPrometheus({
            program: prometheus,
            scrapeIntervalMs: 1_000,
            scrapeTargets: [{ job: NAME, addresses: [metricsAddress] }],
          });
    if (starting !== undefined) {
      starting.catch(() => {});
      stack.defer(async () => await (await starting.catch(() => undefined))?.close());
    }

    say("starting an embedded Kubernetes with two nodes");
    let observer: Observer | undefined;
    const cluster = await startLocalCluster({
      nodes: 2,
      logger,
      accounts: elastiAccounts(),
      podLogDir: logDir,
      onPodLog: (line) => observer?.takeLog(line),
    });
    stack.defer(() => cluster.close());
    observer = new Observer({ client: cluster.client(), clock, logger, namespace: NAMESPACE, name: NAME, onMoment });

    const prometheusUrl = (await starting)?.url;
    say("installing Elasti: two operators, two resolvers");
    const installation = await installElasti({
      cluster,
      logDir,
      signal,
      ...(prometheusUrl === undefined ? {} : { prometheusUrl }),
      env: {
        operator: {
          POLLING_INTERVAL: "1s",
          ELASTI_SCRAPE_INTERVAL: "1s",
          // the timeline reads its steps
          ELASTI_LOG_LEVEL: "debug",
        },
      },
    });
    stack.defer(() => installation.close());

    const app = await installation.sampleApp({
      name: NAME,
      namespace: NAMESPACE,
      startMs: options.startMs,
      port: APP_PORT,
    });
    const clientAddress = cluster.clientAddress(1);
    await installation.elastiService({ namespace: NAMESPACE, spec: specOf(prometheusUrl !== undefined) });
    await observer.start();
    stack.defer(() => observer.close());
    metrics.pods = () => observer.pods;
    const kubeconfigPath = await cluster.kubeconfigPath();
    const made = stack.move();
    return {
      cluster,
      installation,
      app,
      observer,
      clientAddress,
      kubeconfigPath,
      logDir,
      prometheusUrl,
      keepLogs() {
        keepLogs = true;
        say(`the logs of all pods are kept in ${logDir}`);
      },
      idleDecision: prometheusUrl === undefined ? "traffic" : "prometheus",
      [Symbol.asyncDispose]: () => made.disposeAsync(),
    };
  } catch (error) {
    await stack.disposeAsync();
    throw error;
  }
}

function specOf(withPrometheus: boolean): ElastiService["spec"] {
  const common = {
    service: NAME,
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: NAME },
    minTargetReplicas: 1,
    cooldownPeriod: COOLDOWN_SECONDS,
  };
  if (!withPrometheus) return { ...common, routing: { graceSeconds: GRACE_SECONDS } };
  return {
    ...common,
    triggers: [
      {
        type: "prometheus",
        metadata: { query: IDLE_QUERY, threshold: "0.01", uptimeFilter: 'container="prometheus"' },
      },
    ],
    routing: { mode: "SelectorSwap", graceSeconds: GRACE_SECONDS },
  };
}
