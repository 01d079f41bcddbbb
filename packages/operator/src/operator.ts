import { type ElastiService, keyOf, POLICIES_CHECK, splitKey } from "@elasti/api";
import { type Clock, type Component, Lifecycle, type Logger, type Metrics } from "@elasti/core";
import { EventRecorder, type KubeClient, RestMapper, ScaleClient, WorkQueue } from "@elasti/kube";
import { ScaleHandler, type Verdict } from "@elasti/scaling";
import { AutoscalerWatch } from "./autoscalers/autoscaler-watch.ts";
import { Autoscalers } from "./autoscalers/autoscalers.ts";
import type { OperatorConfig } from "./config.ts";
import { ClusterParts } from "./controller/cluster-parts.ts";
import { Contention } from "./controller/contention.ts";
import { FactsGatherer } from "./controller/facts.ts";
import { LeftAlone } from "./controller/left-alone.ts";
import { NamespaceEnds } from "./controller/namespace-ends.ts";
import { Orphans } from "./controller/orphans.ts";
import { OtherOperator } from "./controller/other-operator.ts";
import { OverrideKeeper } from "./controller/overrides.ts";
import { claimsIn } from "./controller/port-claims.ts";
import { PortTable } from "./controller/port-table.ts";
import { ElastiServiceReconciler } from "./controller/reconciler.ts";
import { ResolverSet, resolverSlices } from "./controller/resolver-set.ts";
import { TargetCache } from "./controller/target-cache.ts";
import { Targets } from "./controller/targets.ts";
import type { Authenticator } from "./elastiserver/auth.ts";
import { ElastiServer } from "./elastiserver/server.ts";
import { SessionHub } from "./elastiserver/session-hub.ts";
import { trafficSource } from "./elastiserver/traffic-source.ts";
import { defaultPatience } from "./failures/evidence.ts";
import { WakeMonitor } from "./failures/wake-monitor.ts";
import { Leadership } from "./leadership.ts";
import { ClusterView, type StoredElastiService } from "./lifecycle/cluster-view.ts";
import { Memories } from "./lifecycle/memory.ts";
import { overrideReader } from "./lifecycle/override-of.ts";
import { Performer } from "./lifecycle/performer.ts";
import { defaultLimits, type Limits } from "./lifecycle/phases.ts";
import { Routing } from "./lifecycle/routing.ts";
import { wakeWanted } from "./lifecycle/ruling.ts";
import { StatusWriter } from "./lifecycle/status-writer.ts";
import { countPhases, operatorMetrics, timed } from "./operator-metrics.ts";
import { OperatorPolicies } from "./policies/policies.ts";
import { type Journal, noJournal, noVotes, type PolicyVotes } from "./policy-hooks.ts";
import { SleepLoop } from "./sleep-loop.ts";
import { TriggerScalers } from "./trigger-scalers.ts";
import { Waker } from "./waker.ts";
import { WorkToDo } from "./work-to-do.ts";

export interface OperatorDeps {
  readonly client: KubeClient;
  /** For the Lease alone, so that a renewal does not wait behind other calls; `client` where it is left out. */
  readonly leaseClient?: KubeClient;
  /** Who may notify and open sessions; without one nothing is listened on. */
  readonly authenticator?: Authenticator;
  readonly clock: Clock;
  readonly logger: Logger;
  readonly metrics: Metrics;
  /** In the election; never the same for two processes. Left out: the pod's name and a random part. */
  readonly identity?: string;
  readonly limits?: Limits;
  /** Of the policy engine, where it is on. */
  readonly votes?: PolicyVotes;
  readonly journal?: Journal;
  /** Ages of a wake at which its pods are looked at; other ones for tests. */
  readonly monitorTimes?: { readonly lookAfterMs: number; readonly progressAfterMs: number };
}

/** Puts the operator together. Any replica wakes; the leader also reconciles, sleeps targets and asks the triggers. */
export function createOperator(config: OperatorConfig, deps: OperatorDeps): Component {
  const { client, clock, logger, metrics, authenticator } = deps;
  const { podNamespace: namespace, watchNamespaces } = config;
  const common = { client, clock, logger, metrics };
  const watched = (name: string): boolean => watchNamespaces.length === 0 || watchNamespaces.includes(name);

  const view = new ClusterView({ ...common, namespaces: watchNamespaces });
  const namespaceEnds = new NamespaceEnds({ ...common, namespaces: watchNamespaces });
  const hub = new SessionHub(
    { clock, logger, metrics },
    { operator: config.podName, leader: () => leadership.elected, maxSessions: config.maxSessions },
  );
  const resolverSet = new ResolverSet(resolverSlices({ ...common, namespace, service: config.resolverService }), () =>
    hub.resolvers().map(({ id }) => id),
  );
  const cache = new TargetCache({ ...common, mapper: new RestMapper({ client, clock }), namespaces: watchNamespaces });
  const scale = new ScaleHandler({
    client: new ScaleClient(client),
    targets: cache,
    clock,
    logger,
    metrics,
    rescaleMs: config.rescaleMs,
    // shorter than the Lease, as every call: no write of a former leader is late
    callTimeoutMs: config.kubeTimeoutMs,
  });
  const targets = new Targets(cache, scale);
  const recorder = new EventRecorder({ ...common, component: "elasti-operator", instance: config.podName });
  const events = {
    record: (about: ElastiService, type: "Normal" | "Warning", reason: string, message: string) =>
      type === "Normal" ? recorder.normal(about, reason, message) : recorder.warning(about, reason, message),
  };
  const routing = new Routing(client, view);
  const status = new StatusWriter(client, view, clock);
  const memories = new Memories();
  const traffic = trafficSource(hub, () => resolverSet.required(), clock);
  const scalers = new TriggerScalers(config, { clock, metrics, traffic });
  const claims = claimsIn((resolverPort) => view.usersOfPort(resolverPort));
  const ports = new PortTable({ client, clock, logger, claims }, { namespace });
  const orphans = new Orphans({ client, view, routing, ports, logger });
  const orphanQueue = new WorkQueue({ clock, logger, concurrency: 1, backoff: { minMs: 100, maxMs: 60_000 } });
  /** ScaledObjects that may be nobody's any more. */
  const freedQueue = new WorkQueue({ clock, logger, concurrency: 1, backoff: { minMs: 100, maxMs: 60_000 } });
  const queue = new WorkQueue({
    clock,
    logger,
    concurrency: config.reconcileConcurrency,
    backoff: { minMs: 50, maxMs: 60_000 },
  });
  const enqueue = (key: string): void => {
    if (watched(splitKey(key).namespace)) queue.add(key);
  };
  const sleepLoop = new SleepLoop({
    clock,
    logger,
    intervalMs: config.pollingIntervalMs,
    concurrency: config.pollConcurrency,
    elastiService: (key) => view.stores.elastiServices.getByKey(key),
    scalerFor: (es) => scalers.of(es),
    onVerdict: (key, verdict, news) => {
      observed.verdict(verdict);
      noteActivity(key, verdict);
      if (news) enqueue(key);
    },
  });
  const noteActivity = (key: string, verdict: Verdict): void => {
    // a request has a time of its own, from which its cooldown counts
    if (verdict.kind !== "Active" || verdict.reason === "RecentRequest") return;
    const memory = memories.of(key);
    memory.lastActiveMs = Math.max(memory.lastActiveMs, verdict.sampledAtMs);
  };
  const autoscalerWatch = new AutoscalerWatch({ ...common, namespaces: watchNamespaces });
  const autoscalers = new Autoscalers({
    client,
    watch: autoscalerWatch,
    clock,
    logger,
    peersOf: (es) => gatherer.peersOf(es as StoredElastiService),
    elastiServicesOfTarget: (ns, name) => view.elastiServicesOfTarget(ns, name),
    enqueue: ({ metadata }) => enqueue(keyOf(metadata.namespace ?? "", metadata.name)),
    enqueueOrphan: (ns, name) => {
      if (watched(ns)) freedQueue.add(keyOf(ns, name));
    },
  });
  const policies = config.scalingEnabled
    ? new OperatorPolicies(config, {
        ...{ client, clock, logger, metrics, view, cache, scale, hub, watched },
        autoscalers: autoscalerWatch,
        events: recorder,
        requiredResolvers: () => resolverSet.required(),
        waker: () => waker,
        wanted: (es) => wanted(es),
      })
    : undefined;
  const votes = policies?.votes ?? deps.votes ?? noVotes;
  const journal = policies ?? deps.journal ?? noJournal;
  const overrideOf = overrideReader(clock, ({ metadata, spec }) => {
    const target = cache.get({ namespace: metadata.namespace ?? "", ...spec.scaleTargetRef });
    return target.found ? target.override : undefined;
  });
  const wanted = wakeWanted((es) => autoscalers.wanted(es), votes, overrideOf);
  const others = new OtherOperator({ client, clock, logger, namespaces: watchNamespaces });
  const gatherer = new FactsGatherer({
    view,
    targets,
    hub,
    autoscalers,
    others,
    verdicts: sleepLoop,
    memories,
    votes,
    overrideOf,
    clock,
    verdictMaxAgeMs: 3 * config.pollingIntervalMs + 30_000,
    minGraceMs: 2 * config.scrapeIntervalMs,
    requiredResolvers: () => resolverSet.required(),
  });
  const parts = new ClusterParts({
    client,
    clock,
    view,
    routing,
    hub,
    resolverSet,
    ports,
    peersOf: (es) => gatherer.peersOf(es),
    autoscalerNotes: (es) => autoscalers.notes(es),
    namespaceGoing: (es) => namespaceEnds.going(es),
  });
  const observed = operatorMetrics(metrics, {
    byPhase: () =>
      countPhases(view.stores.elastiServices.list().filter(({ metadata }) => watched(metadata.namespace ?? ""))),
    leading: () => leadership.elected,
    waiting: () => queue.waiting,
    failing: () => queue.failing,
  });
  const performer = new Performer({
    routing,
    status,
    scale,
    hub,
    verdicts: sleepLoop,
    events,
    clock,
    logger,
    graceMsOf: (es) => gatherer.graceMsOf(es),
    proofTimeoutMs: config.proofTimeoutMs,
    sealTimeoutMs: config.sealTimeoutMs,
    readTarget: ({ es, target }) =>
      target.kind === "found" ? targets.readForSleep(target.ref, gatherer.peersOf(es)) : Promise.resolve(undefined),
    wanted,
    journal,
    tellAutoscaler: (es, stage) => autoscalers.tell(es, stage),
    release: ({ es, service }) => parts.release(es, service),
    onPhase: observed.phaseChanged,
    enqueue,
  });
  const monitor = new WakeMonitor(
    { client, clock, logger, metrics, events, enqueue },
    {
      patience: { ...defaultPatience, unschedulableMs: config.unschedulableMs },
      maxWatches: config.maxPodWatches,
      ...deps.monitorTimes,
    },
  );
  const reconciler = new ElastiServiceReconciler({
    client,
    view,
    gatherer,
    performer,
    memories,
    routing,
    status,
    scale,
    parts,
    contention: new Contention({ client, events, clock, logger }),
    overrides: new OverrideKeeper({
      ...{ client, view, status, events, clock, logger },
      autoscaled: (es) => autoscalers.wanted(es).autoscaled,
      overrideOf,
    }),
    leftAlone: new LeftAlone({ parts, status, events, clock, others }),
    events,
    monitor,
    clock,
    logger,
    isLeader: () => leadership.acts,
    limits: deps.limits ?? defaultLimits,
    onUndone: observed.sleepUndone,
    watchTriggers: (key) => sleepLoop.watch(key),
    forgetTriggers: (key) => sleepLoop.forget(key),
  });
  const waker = new Waker({
    client,
    view,
    targets,
    scale,
    status,
    autoscalers: { wanted, beforeWake: (es) => autoscalers.beforeWake(es) },
    overrideOf,
    events,
    journal,
    clock,
    logger,
    held: (ns, name) => hub.traffic(ns, name).held,
    ownerOf: (ns, name) => (watched(ns) ? parts.ownerOf(ns, name) : undefined),
    onWake: enqueue,
  });

  const work = new WorkToDo({
    view,
    cache,
    hub,
    resolverSet,
    autoscalers,
    autoscalerWatch,
    others,
    enqueue,
    enqueueOrphan: (key) => {
      if (watched(splitKey(key).namespace)) orphanQueue.add(key);
    },
  });

  const leadership = new Leadership(config, {
    client: deps.leaseClient ?? client,
    clock,
    logger,
    identity: deps.identity,
    // a watch that is behind could still show Serving where the last leader has a park on its way
    catchUp: (signal) => view.refresh(signal),
    onBegin: (signal) => {
      parts.reload();
      sleepLoop.start();
      policies?.lead(signal, () => leadership.acts);
      work.enqueueAll();
      for (const key of orphans.all()) work.enqueueOrphan(key);
      autoscalers.enqueueOrphans();
    },
    onEnd: () => {
      memories.clear();
      monitor.clear();
      void sleepLoop.close();
    },
  });
  const serve = (authenticator: Authenticator) =>
    new ElastiServer(
      {
        waker,
        authenticator,
        sessions: hub,
        metrics,
        logger,
        clock,
        apis: policies === undefined ? [] : [policies.api],
        readiness: [
          { name: "cluster", check: () => view.unsynced() },
          { name: "crd", check: () => status.lookAgain() },
          {
            name: "resolvers",
            check: () => (resolverSet.synced ? undefined : "endpoints of the resolvers not listed yet"),
          },
          // services sleep and wake without them
          ...(policies === undefined
            ? []
            : [{ name: POLICIES_CHECK, optional: true, check: () => policies.notEvaluated() }]),
        ],
      },
      { host: config.bindAddress, port: config.port, maxConnections: config.maxConnections },
    );

  // a part that hangs must not keep the others, nor the Lease, until the kubelet's patience of 30 s is over
  const lifecycle = new Lifecycle(logger, { clock, closeTimeoutMs: 5_000 });
  lifecycle.add("client", { close: () => client.close() });
  lifecycle.add("lease-client", { close: () => deps.leaseClient?.close() });
  lifecycle.add("events", { close: () => recorder.close() });
  lifecycle.add("queries", scalers);
  lifecycle.add("scale", scale);
  if (policies !== undefined) lifecycle.add("policies", policies);
  if (authenticator !== undefined) lifecycle.add("server", serve(authenticator));
  lifecycle.add("namespaces", namespaceEnds);
  lifecycle.add("targets", cache);
  lifecycle.add("autoscalers", autoscalers);
  lifecycle.add("others", others);
  lifecycle.add("view", view);
  lifecycle.add("resolvers", resolverSet);
  lifecycle.add("sessions", hub);
  lifecycle.add("pod-watches", { close: () => monitor.close() });
  lifecycle.add("triggers", { close: () => sleepLoop.close() });
  lifecycle.add("work", {
    start: () => {
      work.subscribe();
      votes.onChange(enqueue);
      queue.start(timed(reconciler, observed, clock));
      orphanQueue.start(async (key) => {
        const { namespace: ns, name } = splitKey(key);
        if (leadership.acts) await orphans.clean(ns, name);
      });
      freedQueue.start(async (key) => {
        const { namespace: ns, name } = splitKey(key);
        if (leadership.acts) await autoscalers.restoreOrphan(ns, name);
      });
      work.enqueueAll();
    },
    close: async () => {
      await Promise.all([queue.close(), orphanQueue.close(), freedQueue.close()]);
    },
  });
  lifecycle.add("leader", leadership);
  return lifecycle;
}
