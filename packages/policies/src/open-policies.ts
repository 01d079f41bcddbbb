import { type Clock, ElastiError, type Logger, type Metrics } from "@elasti/core";
import type { KubeClient } from "@elasti/kube";
import { QueryClient, ServerPolicy } from "@elasti/scaling";
import type { FastifyPluginAsync } from "fastify";
import { TokenCallers, type TokenReviewer } from "./access/callers.ts";
import { KubeAccess } from "./access/kube-access.ts";
import { OverrideAnnotations } from "./access/override-annotations.ts";
import type { HistoryEntry } from "./contracts.ts";
import type { TargetEvents, VoteSink } from "./engine/contracts.ts";
import { Evaluator } from "./engine/evaluator.ts";
import { type EngineHealth, PolicyEngine } from "./engine/policy-engine.ts";
import { Releaser } from "./engine/releaser.ts";
import { policyErrors } from "./errors.ts";
import { type AutoscalerObject, BoundsExecutor } from "./executors/bounds-executor.ts";
import { type ReplicaWriter, ScaleExecutor } from "./executors/scale-executor.ts";
import { POLICY_API } from "./http/operations.ts";
import { policyRoutes } from "./http/plugin.ts";
import { Catalogue } from "./metrics/catalogue.ts";
import { MetricSources } from "./metrics/metric-sources.ts";
import { PrometheusSource } from "./metrics/prometheus-source.ts";
import { policyQueryMetrics } from "./metrics/query-metrics.ts";
import { ResourceSource } from "./metrics/resource-source.ts";
import { readSqlConnection } from "./metrics/sql-connection.ts";
import { SqlSource } from "./metrics/sql-source.ts";
import { type TrafficReader, TrafficSource } from "./metrics/traffic-source.ts";
import type { ElastiServiceStates } from "./service/elasti-services.ts";
import { policyServices } from "./service/services.ts";
import { openStore } from "./store/index.ts";
import type { ClusterSources } from "./targets/cluster-sources.ts";
import { TargetResolver } from "./targets/target-resolver.ts";
import { TargetTypes } from "./targets/target-types.ts";

/** Everything that the policy engine can be told. */
export interface PoliciesSettings {
  /** Address of a PostgreSQL; or `sqliteFile`; the other is empty. */
  readonly databaseUrl: string;
  readonly sqliteFile: string;
  readonly intervalMs: number;
  readonly defaultCooldownSeconds: number;
  readonly dryRun: boolean;
  readonly targetTypes: Readonly<Record<string, unknown>>;
  /** The catalogue of metrics. */
  readonly metrics: Readonly<Record<string, unknown>>;
  readonly sqlConnections: Readonly<Record<string, string>>;
  /** A token that may do everything; empty: there is none. */
  readonly token: string;
  readonly retentionMs: number;
  /** The server of metrics that name none; empty: there is none. */
  readonly prometheusUrl: string;
  readonly prometheusAuthorization: string;
  /** Other servers that metrics may name. */
  readonly allowedServers: readonly string[];
  /** Audiences that tokens of callers may be meant for; none: the API server's own. */
  readonly audiences: readonly string[];
  /** Those that the operator has rights in; empty: all. */
  readonly namespaces: readonly string[];
  /** Where the files of swagger-ui-dist are; left out: no page to try the API on. */
  readonly docsFolder?: string;
}

/** What the engine needs of the operator around it. */
export interface PoliciesDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly sources: ClusterSources;
  readonly writer: ReplicaWriter;
  readonly votes: VoteSink;
  readonly events: TargetEvents;
  readonly traffic: TrafficReader;
  /** Says who asks; left out: only the token of the installation is good. */
  readonly reviewer?: TokenReviewer;
  /** The ElastiServices, given what says which target a policy is about. */
  readonly elastiServices: (resolver: TargetResolver) => ElastiServiceStates;
  /** Lays a write to an autoscaler over what the watch has not seen yet. */
  readonly wrote?: (object: AutoscalerObject) => void;
}

export interface Policies {
  /** Of the API, to be registered under `prefix`. */
  readonly routes: FastifyPluginAsync;
  readonly prefix: string;
  readonly health: EngineHealth;
  /** Evaluates until `signal` aborts. @param mayWrite whether this replica leads at this very moment */
  lead(signal: AbortSignal, mayWrite: () => boolean): void;
  /** Something about the target of a policy has changed: it is evaluated soon. */
  hurry(policyId: string): void;
  /** Records what others have done; on every replica. */
  record(entry: HistoryEntry): void;
  close(): Promise<void>;
}

/** What is recorded by others is written so much later at most. */
const recordMs = 1_000;
/** An answer stands for this part of an interval, so that policies that ask the same at different times ask once. */
const roundPart = 0.9;

/**
 * Puts the policy engine together. The database need not be there yet: it is waited for.
 * @throws ELASTI_POLICY_SETTINGS with `details.errors: {field, message}[]`, all problems at once
 */
export async function openPolicies(settings: PoliciesSettings, deps: PoliciesDeps): Promise<Policies> {
  const { client, clock, logger, metrics, sources, votes } = deps;
  const { intervalMs, dryRun } = settings;
  const { types, catalogue } = parsed(settings);
  const { prometheusUrl, allowedServers } = settings;
  const allowed = new ServerPolicy([...allowedServers, ...(prometheusUrl === "" ? [] : [prometheusUrl])]);
  const keepMs = roundPart * intervalMs;
  const store = await openStore({
    ...(settings.databaseUrl === "" ? { file: settings.sqliteFile } : { url: settings.databaseUrl }),
    clock,
    logger,
    eager: false,
  });
  const queries = new QueryClient({
    ...{ clock, keepMs, policy: allowed, metrics: policyQueryMetrics(metrics), concurrency: 16, maxEntries: 20_000 },
  });
  const reader = new MetricSources({
    clock,
    catalogue,
    prometheus: new PrometheusSource({
      client: queries,
      settings: { defaultServer: prometheusUrl, defaultAuthorization: settings.prometheusAuthorization },
    }),
    resource: new ResourceSource({ client, sources, clock, keepMs }),
    sql: new SqlSource({ connections: settings.sqlConnections, client, policy: allowed, clock, keepMs }),
    traffic: new TrafficSource(deps.traffic),
  });
  const resolver = new TargetResolver(types, sources);
  const bounds = new BoundsExecutor({ client, sources, ...(deps.wrote === undefined ? {} : { wrote: deps.wrote }) });
  const scale = new ScaleExecutor(sources, deps.writer);
  const evaluator = new Evaluator({
    clock,
    logger,
    resolver,
    sources,
    executors: { scale, hpa: bounds, keda: bounds },
    metrics: reader,
    votes,
    events: deps.events,
    intervalMs,
    dryRun,
  });
  const releaser = new Releaser({ sources, resolver, bounds, logger, dryRun });
  const { retentionMs } = settings;
  const engine = new PolicyEngine({
    ...{ store, evaluator, releaser, sources, votes, clock, logger, metrics, intervalMs, retentionMs },
  });
  const services = policyServices({
    store,
    context: {
      targetTypes: types.references,
      catalogue: catalogue.names,
      hasPrometheus: prometheusUrl !== "",
      defaultCooldownSeconds: settings.defaultCooldownSeconds,
    },
    evaluator: engine,
    elastiServices: deps.elastiServices(resolver),
    overrides: new OverrideAnnotations(client, clock),
    access: new KubeAccess({ client, clock, logger }, { namespaces: settings.namespaces }),
    clock,
    logger,
  });
  const callers = new TokenCallers(
    { clock, logger, ...(deps.reviewer === undefined ? {} : { reviewer: deps.reviewer }) },
    { audiences: settings.audiences, staticToken: settings.token },
  );
  const { docsFolder } = settings;
  const recorder = new Recorder(engine, clock);
  return {
    prefix: POLICY_API,
    routes: policyRoutes({ services, callers, logger, ...(docsFolder === undefined ? {} : { docsFolder }) }),
    get health() {
      return engine.health;
    },
    lead: (signal, mayWrite) => engine.lead(signal, mayWrite),
    hurry: (policyId) => engine.hurry(policyId),
    record: (entry) => recorder.record(entry),
    close: async () => {
      recorder.close();
      await engine.close();
      await Promise.all([reader.close(), queries.close()]);
      await store.close();
    },
  };
}

/** What others have done goes to the database soon, whether or not this replica leads. */
class Recorder {
  readonly #engine: PolicyEngine;
  readonly #clock: Clock;
  #timer: { cancel(): void } | undefined;
  #closed = false;

  constructor(engine: PolicyEngine, clock: Clock) {
    this.#engine = engine;
    this.#clock = clock;
  }

  record(entry: HistoryEntry): void {
    this.#engine.history.add(entry);
    this.#arm();
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
  }

  #arm(): void {
    if (this.#timer !== undefined || this.#closed) return;
    this.#timer = this.#clock.after(recordMs, () => {
      this.#timer = undefined;
      // the store tells when the database goes and comes
      this.#engine.history.flush().catch(() => this.#arm());
    });
  }
}

/** The settings that are texts of their own, all problems at once. */
function parsed(settings: PoliciesSettings): { types: TargetTypes; catalogue: Catalogue } {
  const problems: { field: string; message: string }[] = [];
  const tried = <T>(read: () => T): T | undefined => {
    try {
      return read();
    } catch (error) {
      if (!(error instanceof ElastiError) || !Array.isArray(error.details.errors)) throw error;
      problems.push(...(error.details.errors as typeof problems));
      return undefined;
    }
  };
  const types = tried(() => TargetTypes.parse(settings.targetTypes));
  const catalogue = tried(() => Catalogue.parse(settings.metrics));
  for (const [name, url] of Object.entries(settings.sqlConnections)) {
    const read = readSqlConnection(url);
    if (typeof read === "string") problems.push({ field: `ELASTI_SCALING_SQL_CONNECTIONS.${name}`, message: read });
  }
  if (types !== undefined && catalogue !== undefined && problems.length === 0) return { types, catalogue };
  throw policyErrors.ELASTI_POLICY_SETTINGS(problems.map(({ field, message }) => `${field} ${message}`).join("; "), {
    details: { errors: problems },
  });
}
