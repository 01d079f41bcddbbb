/**
 * The process that is measured: the policy engine with its store, its metrics, its executors and its API, put together as the
 * operator does it, on watches of its own.
 */
import type { AddressInfo } from "node:net";
import { systemClock as clock, createLogger, Metrics, silentLogger } from "@elasti/core";
import {
  createKubeClient,
  EventRecorder,
  type KubeObject,
  keyOf,
  Reflector,
  resources,
  ScaleClient,
} from "@elasti/kube";
import {
  BoundsExecutor,
  Catalogue,
  type ClusterSources,
  type ConditionResult,
  Evaluator,
  KubeAccess,
  MetricSources,
  openStore,
  POLICY_API,
  PolicyEngine,
  PrometheusSource,
  policyRoutes,
  policyServices,
  Releaser,
  ScaleExecutor,
  TargetResolver,
  TargetTypes,
  TokenCallers,
} from "@elasti/policies";
import { QueryClient, ScaleHandler, ServerPolicy } from "@elasti/scaling";
import Fastify from "fastify";
import { serve } from "./child.ts";

export interface EngineOptions {
  readonly databaseUrl: string;
  readonly prometheusUrl: string;
  readonly apiUrl: string;
  readonly apiToken: string;
  /** Of whoever asks the API of the policies. */
  readonly token: string;
  readonly intervalMs: number;
}
export interface EngineReady {
  readonly url: string;
}
/** Since the start. */
export interface EngineAnswer {
  readonly state: string;
  readonly evaluations: number;
  /** Those that failed, and those that were not done in time. */
  readonly failed: number;
  readonly late: number;
  /** Comparisons whose metric was not known. */
  readonly unknown: number;
  /** Time in which at least one evaluation was under way, in ms. */
  readonly busyMs: number;
}

interface Scaled extends KubeObject {
  readonly spec?: { readonly replicas?: number };
}

serve<EngineOptions>(async ({ databaseUrl, prometheusUrl, apiUrl, apiToken, token, intervalMs }) => {
  const logger = createLogger({ name: "bench", level: "warn" }, process.stderr);
  const metrics = new Metrics();
  const store = await openStore({ url: databaseUrl, clock, logger });
  const client = createKubeClient({ cluster: { server: apiUrl, token: async () => apiToken }, clock, logger });
  const deployments = new Reflector<Scaled>({
    ...{ client, clock, logger, resource: resources.deployments },
    transform: ({ apiVersion, kind, metadata: { name, namespace = "", resourceVersion = "" }, spec }) => ({
      ...{ apiVersion, kind, metadata: { name, namespace, resourceVersion } },
      spec: { replicas: spec?.replicas ?? 1 },
    }),
  });
  const scale = new ScaleHandler({
    ...{ client: new ScaleClient(client), clock, logger: silentLogger },
    targets: {
      cached: ({ namespace, name }) => {
        const { metadata, spec } = deployments.store.get(namespace, name) ?? {};
        const resourceVersion = metadata?.resourceVersion;
        return resourceVersion === undefined ? undefined : { replicas: spec?.replicas ?? 1, resourceVersion };
      },
    },
  });
  const sources = watched(deployments, scale);
  const prometheusPolicy = new ServerPolicy([prometheusUrl]);
  const queries = new QueryClient({
    clock,
    policy: prometheusPolicy,
    keepMs: 0.9 * intervalMs,
    concurrency: 16,
    maxEntries: 20_000,
  });
  const settings = { defaultServer: prometheusUrl, defaultAuthorization: "" };
  const reader = new MetricSources({
    ...{ clock, catalogue: Catalogue.parse(), prometheus: new PrometheusSource({ client: queries, settings }) },
  });
  const types = TargetTypes.parse();
  const resolver = new TargetResolver(types, sources);
  const bounds = new BoundsExecutor({ client, sources });
  const recorder = new EventRecorder({ client, clock, logger, component: "bench" });
  const votes = { vote: () => undefined, settled: () => undefined };
  const evaluator = new Evaluator({
    ...{ clock, logger, resolver, sources, metrics: reader, votes, intervalMs, dryRun: false },
    executors: { scale: new ScaleExecutor(sources, scale), hpa: bounds, keda: bounds },
    events: {
      record: ({ namespace, name, apiVersion, kind }, type, reason, message) =>
        recorder.record({ apiVersion, kind, metadata: { namespace, name } }, type, reason, message),
    },
  });
  const counted = new Counted(evaluator);
  const engine = new PolicyEngine({
    ...{ store, evaluator: counted, sources, votes, clock, logger, metrics, intervalMs },
    releaser: new Releaser({ sources, resolver, bounds, logger, dryRun: false }),
    retentionMs: 366 * 86_400_000,
  });
  const services = policyServices({
    ...{ store, evaluator: engine, clock, logger },
    context: { targetTypes: types.references, catalogue: [] },
    elastiServices: {
      of: () => undefined,
      namespaces: () => [],
      wake: () => Promise.reject(new Error("there is none")),
      serving: () => Promise.resolve(false),
    },
    overrides: {
      get: () => Promise.resolve({ state: "none" }),
      put: () => Promise.reject(new Error("there are none")),
      delete: () => Promise.resolve(false),
    },
    access: new KubeAccess({ client, clock, logger }, { namespaces: [] }),
  });
  const callers = new TokenCallers({ clock, logger }, { audiences: [], staticToken: token });
  const app = Fastify({ logger: false });
  await app.register(policyRoutes({ services, callers, logger }), { prefix: POLICY_API });
  await app.listen({ host: "127.0.0.1", port: 0 });
  await deployments.start();
  const term = new AbortController();
  engine.lead(term.signal, () => !term.signal.aborted);
  const ready: EngineReady = {
    url: `http://127.0.0.1:${(app.server.address() as AddressInfo).port}${POLICY_API}`,
  };
  return {
    ready,
    answer: (): EngineAnswer => ({ state: engine.health.state, ...counted.counts }),
    close: async () => {
      term.abort(new Error("the benchmark is over"));
      await engine.close();
      await app.close();
      await recorder.close();
      await Promise.all([reader.close(), queries.close(), deployments.close(), scale.close()]);
      await client.close();
      await store.close();
    },
  };
});

/** What the engine sees of the cluster: Deployments, and nothing else that has a say. */
function watched(deployments: Reflector<Scaled>, scale: ScaleHandler): ClusterSources {
  return {
    elastiService: () => undefined,
    elastiServicesOf: () => [],
    scaledObject: () => undefined,
    autoscalersOf: () => ({ scaledObjects: [], hpas: [] }),
    touchedAutoscalers: () => [],
    workload: ({ namespace, name }) => {
      const { metadata } = deployments.store.get(namespace, name) ?? {};
      const ref = { namespace, name, resource: resources.deployments };
      const latest = metadata === undefined ? undefined : scale.latest(ref);
      if (latest === undefined) return { kind: "missing", message: `${keyOf(namespace, name)} does not exist` };
      return { kind: "found", ref, replicas: latest.replicas, resourceVersion: latest.resourceVersion };
    },
    want: () => undefined,
    forget: () => undefined,
    onChange: () => () => undefined,
  };
}

/** Counts evaluations, and the time in which one is under way. */
class Counted {
  readonly #evaluator: Evaluator;
  #counts = { evaluations: 0, failed: 0, late: 0, unknown: 0, busyMs: 0 };
  #atWork = 0;
  #since = 0;

  constructor(evaluator: Evaluator) {
    this.#evaluator = evaluator;
  }

  get counts(): Omit<EngineAnswer, "state"> {
    const goesOnFor = this.#atWork === 0 ? 0 : performance.now() - this.#since;
    return { ...this.#counts, busyMs: this.#counts.busyMs + goesOnFor };
  }

  look(...given: Parameters<Evaluator["look"]>): ReturnType<Evaluator["look"]> {
    return this.#evaluator.look(...given);
  }

  async run(...given: Parameters<Evaluator["run"]>): ReturnType<Evaluator["run"]> {
    if (this.#atWork === 0) this.#since = performance.now();
    this.#atWork += 1;
    const counts = this.#counts;
    try {
      const evaluated = await this.#evaluator.run(...given);
      counts.evaluations += 1;
      for (const { condition } of evaluated.decision.rules) counts.unknown += unknownOf(condition);
      if (evaluated.outcome === "failed") counts.failed += 1;
      return evaluated;
    } catch (error) {
      counts[given[2].signal.aborted ? "late" : "failed"] += 1;
      throw error;
    } finally {
      this.#atWork -= 1;
      if (this.#atWork === 0) counts.busyMs += performance.now() - this.#since;
    }
  }
}

const unknownOf = ({ unknown, parts = [] }: ConditionResult): number =>
  parts.length > 0 ? parts.reduce((sum, part) => sum + unknownOf(part), 0) : unknown === undefined ? 0 : 1;
