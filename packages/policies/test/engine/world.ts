import type { ElastiService } from "@elasti/api";
import { Metrics, silentLogger } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import { type HorizontalPodAutoscaler, type KubeClient, kubeErrors, resources, type ScaledObject } from "@elasti/kube";
import type { SetRequest, SetResult } from "@elasti/scaling";
import {
  type AutoscalerObject,
  BoundsExecutor,
  type ClusterSources,
  Evaluator,
  type HistoryEntry,
  type MetricReader,
  type MetricSample,
  type NewPolicy,
  normalizePolicy,
  openStore,
  type Policy,
  PolicyEngine,
  Releaser,
  ScaleExecutor,
  type Store,
  TargetResolver,
  TargetTypes,
  type Vote,
  type WorkloadReference,
} from "../../src/index.ts";

interface Workload {
  replicas: number;
  version: number;
  override?: string;
}

const isHpa = (object: AutoscalerObject): object is HorizontalPodAutoscaler => object.kind !== "ScaledObject";

/** Workloads and autoscalers with resource versions, as the API server has them. */
export class Cluster implements ClusterSources {
  readonly workloads = new Map<string, Workload>();
  readonly autoscalers: AutoscalerObject[] = [];
  readonly elastiServices: ElastiService[] = [];
  /** Every write that was accepted. */
  readonly writes: string[] = [];
  readonly wanted = new Map<string, string>();
  /** It is not known which autoscalers there are. */
  unsynced = false;
  /** Called before a write to `/scale` is looked at. */
  beforeSet: (() => Promise<void> | void) | undefined;
  /** Called after it was accepted, and before anybody is told. */
  afterSet: (() => Promise<void> | void) | undefined;

  /** No workload has been seen yet. */
  pending = false;
  readonly #listeners = new Set<(user: string) => void>();

  workload({ namespace, name }: WorkloadReference) {
    if (this.pending) return { kind: "unknown" as const, message: "is being looked up" };
    const found = this.workloads.get(`${namespace}/${name}`);
    if (found === undefined) return { kind: "missing" as const, message: `${namespace}/${name} does not exist` };
    const ref = { namespace, name, resource: resources.deployments };
    const { replicas, version, override } = found;
    return { kind: "found" as const, ref, replicas, resourceVersion: String(version), override };
  }
  elastiService(namespace: string, name: string): ElastiService | undefined {
    return this.elastiServices.find(({ metadata }) => metadata.name === name && metadata.namespace === namespace);
  }
  elastiServicesOf({ name }: WorkloadReference): ElastiService[] {
    return this.elastiServices.filter(({ spec }) => spec.scaleTargetRef.name === name);
  }
  scaledObject(_namespace: string, name: string): ScaledObject | undefined {
    return this.autoscalers.find((one): one is ScaledObject => !isHpa(one) && one.metadata.name === name);
  }
  autoscalersOf({ name }: WorkloadReference) {
    if (this.unsynced) return undefined;
    const all = this.autoscalers.filter(({ spec }) => spec.scaleTargetRef.name === name);
    return { scaledObjects: all.filter((one): one is ScaledObject => !isHpa(one)), hpas: all.filter(isHpa) };
  }
  touchedAutoscalers(): AutoscalerObject[] {
    return this.autoscalers.filter(
      ({ metadata }) => metadata.annotations?.["elasti.truefoundry.com/autoscaler-former"] !== undefined,
    );
  }
  want(user: string, { namespace, name }: WorkloadReference): void {
    this.wanted.set(user, `${namespace}/${name}`);
  }
  forget(user: string): void {
    this.wanted.delete(user);
  }
  onChange(listener: (user: string) => void): () => void {
    this.#listeners.add(listener);
    return () => this.#listeners.delete(listener);
  }
  /** All workloads that are wanted have been seen. */
  seen(): void {
    this.pending = false;
    for (const user of this.wanted.keys()) for (const listener of this.#listeners) listener(user);
  }
  get listeners(): number {
    return this.#listeners.size;
  }

  async read({ namespace, name }: { namespace: string; name: string }) {
    const found = this.workloads.get(`${namespace}/${name}`)!;
    return { replicas: found.replicas, resourceVersion: String(found.version) };
  }
  async set({ ref, replicas, resourceVersion }: SetRequest): Promise<SetResult> {
    await this.beforeSet?.();
    const found = this.workloads.get(`${ref.namespace}/${ref.name}`)!;
    if (resourceVersion !== String(found.version)) return { outcome: "conflict", state: undefined };
    this.writes.push(`${ref.name} ${found.replicas}->${replicas}`);
    found.replicas = replicas;
    found.version += 1;
    await this.afterSet?.();
    return { outcome: "set", state: { replicas, resourceVersion: String(found.version) } };
  }

  /** The part of a client by which bounds are written. */
  readonly client = {
    patch: async (_resource: unknown, _namespace: string, name: string, _kind: string, body: unknown) => {
      const { metadata, spec = {} } = body as {
        metadata: { resourceVersion: string; annotations: Record<string, string | null> };
        spec?: Record<string, unknown>;
      };
      const index = this.autoscalers.findIndex((one) => one.metadata.name === name);
      const object = this.autoscalers[index]!;
      if (object.metadata.resourceVersion !== metadata.resourceVersion)
        throw kubeErrors.ELASTI_KUBE_CONFLICT("somebody was faster");
      const annotations = { ...object.metadata.annotations, ...metadata.annotations };
      for (const [key, value] of Object.entries(annotations)) if (value === null) delete annotations[key];
      const next = { ...object.spec, ...spec } as Record<string, unknown>;
      for (const [key, value] of Object.entries(next)) if (value === null) delete next[key];
      this.autoscalers[index] = {
        ...object,
        metadata: { ...object.metadata, annotations, resourceVersion: String(Number(metadata.resourceVersion) + 1) },
        spec: next,
      } as AutoscalerObject;
      this.writes.push(`${name} ${JSON.stringify(spec)}`);
      return this.autoscalers[index];
    },
    get: async (_resource: unknown, _namespace: string, name: string) =>
      this.autoscalers.find((one) => one.metadata.name === name),
  } as unknown as KubeClient;
}

/** Values by query; one that is not there is unknown. */
export class Readings implements MetricReader {
  readonly values = new Map<string, number>();
  readonly #clock: ManualClock;
  /** How often each was asked for. */
  readonly asked: string[] = [];
  /** Never answers, but by its signal. */
  silent = false;
  /** Cannot be asked, which no reader should let anybody know in this way. */
  broken = false;

  constructor(clock: ManualClock) {
    this.#clock = clock;
  }

  async read(
    metric: Parameters<MetricReader["read"]>[0],
    _target: unknown,
    signal: AbortSignal,
  ): Promise<MetricSample> {
    const query = typeof metric === "string" ? metric : "query" in metric ? metric.query : "";
    this.asked.push(query);
    if (this.broken) throw new Error("broken");
    if (this.silent) await new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
    const value = this.values.get(query);
    const atMs = this.#clock.now();
    if (value === undefined) return { kind: "unknown", reason: "Empty", message: "no series", atMs };
    return { kind: "value", value, atMs };
  }
}

export interface Replica {
  readonly engine: PolicyEngine;
  readonly votes: Map<string, Vote>;
  readonly events: string[];
  /** Every policy has had its say. */
  readonly settled: boolean;
  /** Ends it in order. */
  stop(): Promise<void>;
  /** Loses the leadership as by a kill: nothing that it does from now on is written. */
  kill(): void;
}

export const intervalMs = 30_000;

/** One database, one cluster, and replicas of the engine on a clock that stands still until it is moved. */
export class World {
  readonly clock: ManualClock;
  readonly cluster = new Cluster();
  readonly readings: Readings;
  readonly store: Store;
  readonly #replicas: (Replica & { killed: boolean })[] = [];

  private constructor(store: Store, clock: ManualClock) {
    this.store = store;
    this.clock = clock;
    this.readings = new Readings(clock);
  }

  static async start(startMs = Date.UTC(2026, 2, 2, 12)): Promise<World> {
    const clock = new ManualClock(startMs);
    return new World(await openStore({ file: ":memory:", logger: silentLogger, clock }), clock);
  }

  deployment(name: string, replicas: number): Workload {
    const workload = { replicas, version: 100 };
    this.cluster.workloads.set(`default/${name}`, workload);
    return workload;
  }

  async policy(body: Partial<NewPolicy> = {}): Promise<Policy> {
    const normalized = normalizePolicy(
      {
        name: "p",
        target_type: "workload",
        target_ref: { namespace: "default", name: "web" },
        cooldown_seconds: 0,
        ...body,
      },
      { targetTypes: TargetTypes.parse().references, catalogue: [] },
    );
    if (normalized.errors !== undefined) throw new Error(JSON.stringify(normalized.errors));
    return await this.store.policies.create(normalized.draft);
  }

  replica(
    options: { dryRun?: boolean; store?: Store; deadlineMs?: number; concurrency?: number; retentionMs?: number } = {},
  ): Replica {
    const { clock, cluster } = this;
    const { dryRun = false, store = this.store } = options;
    const votes = new Map<string, Vote>();
    const events: string[] = [];
    const state = { settled: false };
    const sink = {
      vote: (id: string, _workload: unknown, vote: Vote | undefined) => {
        if (vote === undefined) votes.delete(id);
        else votes.set(id, vote);
      },
      settled: (known: boolean) => {
        state.settled = known;
      },
    };
    const resolver = new TargetResolver(TargetTypes.parse(), cluster);
    const bounds = new BoundsExecutor({ client: cluster.client, sources: cluster });
    const scale = new ScaleExecutor(cluster, cluster);
    const term = new AbortController();
    const evaluator = new Evaluator({
      clock,
      logger: silentLogger,
      resolver,
      sources: cluster,
      executors: { scale, hpa: bounds, keda: bounds },
      metrics: this.readings,
      votes: sink,
      events: { record: (_target, type, reason, message) => events.push(`${type} ${reason} ${message}`) },
      intervalMs,
      dryRun,
    });
    const engine = new PolicyEngine({
      store,
      evaluator,
      releaser: new Releaser({ sources: cluster, resolver, bounds, logger: silentLogger, dryRun }),
      sources: cluster,
      votes: sink,
      clock,
      logger: silentLogger,
      metrics: new Metrics(),
      intervalMs,
      retentionMs: options.retentionMs ?? 86_400_000,
      random: () => 0,
      ...(options.deadlineMs === undefined ? {} : { deadlineMs: options.deadlineMs }),
      ...(options.concurrency === undefined ? {} : { concurrency: options.concurrency }),
    });
    engine.lead(term.signal, () => !term.signal.aborted);
    const replica = {
      killed: false,
      engine,
      votes,
      events,
      get settled() {
        return state.settled;
      },
      stop: async () => {
        term.abort(new Error("stopped"));
        await this.clock.advance(0);
        await engine.close();
      },
      kill: () => {
        replica.killed = true;
        term.abort(new Error("killed"));
      },
    };
    this.#replicas.push(replica);
    return replica;
  }

  /** One interval and a little, in steps that let the database answer. */
  async pass(ms = intervalMs): Promise<void> {
    for (let passed = 0; passed < ms; passed += 1_000) await this.clock.advance(1_000);
  }

  async history(kind?: HistoryEntry["kind"]): Promise<HistoryEntry[]> {
    const page = await this.store.history.list(kind === undefined ? {} : { kind }, { limit: 1_000 });
    return [...page.items].reverse();
  }

  async close(): Promise<void> {
    for (const replica of this.#replicas) {
      // what a killed one was at never ends
      if (!replica.killed) await replica.stop();
    }
    await this.store.close();
  }
}

export const query = (name: string) => ({ source: "prometheus", query: name }) as const;
/** `load > 10` adds two. */
export const upRule = { metric: query("load"), operator: "gt", threshold: 10, scale_by: 2 } as const;
