import { existsSync } from "node:fs";
import { join } from "node:path";
import { type ElastiService, wantedRoutingMode } from "@elasti/api";
import type { Clock, Component, Logger, Metrics } from "@elasti/core";
import { type EventRecorder, type KubeClient, reviewToken, TokenKeys } from "@elasti/kube";
import type { HistoryEntry, Policies } from "@elasti/policies";
import type { ScaleHandler } from "@elasti/scaling";
import type { FastifyPluginAsync } from "fastify";
import type { AutoscalerWatch } from "../autoscalers/autoscaler-watch.ts";
import type { OperatorConfig } from "../config.ts";
import type { TargetCache } from "../controller/target-cache.ts";
import type { SessionHub } from "../elastiserver/session-hub.ts";
import type { ClusterView } from "../lifecycle/cluster-view.ts";
import type { Journal, JournalEntry } from "../policy-hooks.ts";
import type { Waker } from "../waker.ts";
import { WatchedElastiServices } from "./elasti-service-states.ts";
import { trafficReader } from "./traffic-reader.ts";
import { VoteTable } from "./vote-table.ts";
import { WatchedSources } from "./watched-sources.ts";

/** The path below which the policy API is served. */
const apiPrefix = "/api/v1/scaling";
/** Entries that are kept until the engine is loaded. */
const maxEarly = 1_000;

export interface PolicyEngineDeps {
  readonly client: KubeClient;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  readonly view: ClusterView;
  readonly autoscalers: AutoscalerWatch;
  readonly cache: TargetCache;
  readonly scale: ScaleHandler;
  readonly hub: SessionHub;
  readonly events: EventRecorder;
  readonly watched: (namespace: string) => boolean;
  /** Names of every resolver that may carry a request. */
  readonly requiredResolvers: () => readonly string[];
  readonly waker: () => Pick<Waker, "wake">;
  /** Replicas that a wake asks for. */
  readonly wanted: (es: ElastiService) => { readonly replicas: number };
}

/**
 * The policy engine inside the operator. Nothing of it is loaded before it starts, and nothing at all where it is off: an operator
 * without policies is to stay as small as it is.
 */
export class OperatorPolicies implements Component, Journal {
  readonly votes: VoteTable;
  readonly #config: OperatorConfig;
  readonly #deps: PolicyEngineDeps;
  readonly #loaded = Promise.withResolvers<Policies>();
  #policies: Policies | undefined;
  readonly #early: HistoryEntry[] = [];

  constructor(config: OperatorConfig, deps: PolicyEngineDeps) {
    this.#config = config;
    this.#deps = deps;
    this.votes = new VoteTable({
      ofTarget: (namespace, target) => deps.view.elastiServicesOfTarget(namespace, target),
      all: () => deps.view.stores.elastiServices.list(),
    });
    // who waits for it is told, and nobody may be waiting
    this.#loaded.promise.catch(() => {});
  }

  /** To be registered on the server; it waits until the engine is loaded. */
  get api(): { readonly prefix: string; readonly routes: FastifyPluginAsync } {
    return {
      prefix: apiPrefix,
      routes: async (app, options) => {
        const { routes } = await this.#loaded.promise;
        await routes(app, options);
      },
    };
  }

  /** @throws ELASTI_POLICY_SETTINGS */
  async start(): Promise<void> {
    try {
      const { openPolicies } = await import("@elasti/policies");
      this.#policies = await openPolicies(settingsOf(this.#config), this.#wired());
    } catch (error) {
      this.#loaded.reject(error);
      throw error;
    }
    for (const entry of this.#early.splice(0)) this.#policies.record(entry);
    this.#deps.view.stores.elastiServices.on("change", (event) => {
      const { type, object } = event;
      // what was suppressed may be done now
      if (type === "modified" && event.old.status?.phase !== object.status?.phase)
        for (const id of this.votes.policiesOf(object)) this.#policies?.hurry(id);
    });
    this.#loaded.resolve(this.#policies);
  }

  /** Evaluates until `signal` aborts. */
  lead(signal: AbortSignal, mayWrite: () => boolean): void {
    this.#policies?.lead(signal, mayWrite);
  }

  /** Why nothing is evaluated that is this replica's to evaluate; undefined where all is well, or another leads. */
  notEvaluated(): string | undefined {
    const health = this.#policies?.health;
    if (health?.state !== "paused") return undefined;
    return `policies are not evaluated since ${new Date(health.sinceMs).toISOString()}: ${health.message}`;
  }

  record(entry: JournalEntry): void {
    const line = historyOf(entry);
    if (this.#policies !== undefined) this.#policies.record(line);
    else if (this.#early.length < maxEarly) this.#early.push(line);
  }

  async close(): Promise<void> {
    await this.#policies?.close();
  }

  #wired() {
    const { client, clock, logger, metrics, view, autoscalers, scale, hub, events, watched } = this.#deps;
    const { requiredResolvers, wanted, waker, cache } = this.#deps;
    return {
      ...{ client, clock, logger, metrics },
      sources: new WatchedSources({ view, autoscalers, cache, scale, watched }),
      writer: scale,
      votes: this.votes,
      events: {
        record: (
          { namespace, name, apiVersion, kind }: { namespace: string; name: string; apiVersion: string; kind: string },
          type: "Normal" | "Warning",
          reason: string,
          message: string,
        ) => {
          const about = { apiVersion, kind, metadata: { namespace, name } };
          if (type === "Normal") events.normal(about, reason, message);
          else events.warning(about, reason, message);
        },
      },
      traffic: trafficReader({
        hub,
        required: requiredResolvers,
        bypass: (namespace, service) =>
          view.elastiServicesOf(namespace, service).some(({ spec }) => wantedRoutingMode(spec) === "Always")
            ? undefined
            : `clients of ${namespace}/${service} reach its pods without a resolver: routing.mode Always has all of them counted`,
      }),
      // to review tokens is a right for the whole cluster; without it those of service accounts are checked by the keys that sign them
      reviewer:
        this.#config.tokenCheck === "review"
          ? { review: (token: string, audiences: readonly string[]) => reviewToken(client, token, audiences) }
          : new TokenKeys({ client, clock }),
      elastiServices: (resolver: ConstructorParameters<typeof WatchedElastiServices>[1]) =>
        new WatchedElastiServices(
          { view, hub, watched, wanted, waker: { wake: (notification) => waker().wake(notification) } },
          resolver,
        ),
      wrote: (object: Parameters<typeof autoscalers.wrote>[0]) => autoscalers.wrote(object),
    };
  }
}

function settingsOf(config: OperatorConfig) {
  const { scalingPrometheusUrl, defaultServer, defaultAuthorization, allowedServers } = config;
  const prometheusUrl = scalingPrometheusUrl === "" ? defaultServer : scalingPrometheusUrl;
  const docsFolder = docsFolderOf();
  return {
    databaseUrl: config.databaseUrl,
    sqliteFile: config.scalingSqliteFile,
    intervalMs: config.scalingIntervalMs,
    defaultCooldownSeconds: config.scalingDefaultCooldown,
    dryRun: config.scalingDryRun,
    targetTypes: config.scalingTargetTypes,
    metrics: config.scalingMetrics,
    sqlConnections: config.scalingSqlConnections,
    token: config.scalingToken,
    retentionMs: config.scalingRetentionMs,
    prometheusUrl,
    // a header is for the server that it was given for
    prometheusAuthorization: prometheusUrl === defaultServer ? defaultAuthorization : "",
    allowedServers: [...allowedServers, ...(defaultServer === "" ? [] : [defaultServer])],
    audiences: config.scalingAudiences,
    namespaces: config.watchNamespaces,
    ...(docsFolder === undefined ? {} : { docsFolder }),
  };
}

/** The files of the page to try the API on: beside the program in an image, among the packages elsewhere. */
function docsFolderOf(): string | undefined {
  const folders = [join(import.meta.dirname ?? "", "swagger-ui")];
  const found = folders.find((folder) => existsSync(join(folder, "swagger-ui-bundle.js")));
  if (found !== undefined) return found;
  try {
    return join(import.meta.resolve("swagger-ui-dist/package.json").replace("file://", ""), "..");
  } catch {
    return undefined;
  }
}

/** What the operator did, as history has it. */
function historyOf(entry: JournalEntry): HistoryEntry {
  const { namespace = "", name } = entry.es.metadata;
  return {
    id: crypto.randomUUID(),
    kind: "action",
    policy_id: null,
    policy_name: "",
    action: entry.action,
    outcome: "executed",
    target_type: "elastiservice",
    target_id: null,
    target_ref: { namespace, name },
    previous_replicas: entry.previousReplicas,
    new_replicas: entry.newReplicas,
    reason: entry.reason,
    triggered_by: entry.triggeredBy,
    dry_run: false,
    details: { target: entry.es.spec.scaleTargetRef },
    executed_at: new Date(entry.atMs).toISOString(),
  };
}
