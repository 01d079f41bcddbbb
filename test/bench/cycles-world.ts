import type { ElastiService } from "@elasti/api";
import { SERVICE_LABEL, SERVICE_NAME_LABEL } from "@elasti/api";
import { type Deployment, type EndpointSlice, type KubeObject, resources, type Service } from "@elasti/kube";
import {
  elastiAccounts,
  type Installation,
  installElasti,
  type LocalCluster,
  type PrometheusProcess,
  startLocalCluster,
  startPrometheus,
} from "@elasti/local";
import { callOf } from "./aims.ts";
import { MetricsRelay } from "./metrics-relay.ts";
import { type LogLine, type Replica, startOperators } from "./operators.ts";
import { Stage } from "./stage.ts";

/** One more than resolvers, so that on one of them nothing but the grace covers the lag: the proof is made on the others. */
const NODES = 3;
const APP_PORT = 8080;
/** A node follows each change after a delay drawn from here, in ms. */
const NODE_DELAY_MS = { from: 50, to: 3_000 };
/** Longer than the slowest node, as the setting demands of whoever sets it. */
const GRACE_S = 5;

export interface World {
  readonly cluster: LocalCluster;
  readonly elasti: Installation;
  readonly stages: ReadonlyMap<string, Stage>;
  readonly apps: ReadonlyMap<string, { address: string; port: number }>;
  readonly replicas: readonly Replica[];
  readonly nodeAddresses: ReadonlySet<string>;
  close(): Promise<void>;
}

/** Nodes that lag, two resolvers, two operators whose calls can be delayed, a Prometheus, and so many apps asleep. */
export async function startWorld(services: number): Promise<World> {
  const closers: (() => Promise<void>)[] = [];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    return await build(services, closers, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function build(services: number, closers: (() => Promise<void>)[], close: () => Promise<void>): Promise<World> {
  const names = Array.from({ length: services }, (_, index) => `web-${index + 1}`);
  const stages = new Map<string, Stage>();
  const accounts = elastiAccounts();
  const [operator = "", resolver = ""] = accounts;
  const tellStages = (from: string, line: string) => {
    for (const [name, stage] of stages) if (line.includes(`"${name}"`)) stage.note(`${from}: ${line}`);
  };
  const cluster = await startLocalCluster({
    nodes: NODES,
    accounts,
    onPodLog: ({ pod, line }) => tellStages(pod, line),
  });
  closers.push(() => cluster.close());
  for (const name of names) stages.set(name, new Stage(name, cluster));
  follow(cluster, stages);

  const relay = new MetricsRelay((app) => {
    const [pod] = stages.get(app)?.pods.filter(({ ready }) => ready) ?? [];
    return pod === undefined ? undefined : { address: pod.address, port: APP_PORT };
  });
  const relayAddress = await relay.start();
  closers.push(() => relay.close());
  const prometheus: PrometheusProcess = await startPrometheus({
    scrapeTargets: names.map((name) => ({ job: name, addresses: [relayAddress], path: `/${name}` })),
    scrapeIntervalMs: 1_000,
  });
  closers.push(() => prometheus.close());

  const elasti = await installElasti({ cluster, operators: 0 });
  closers.push(() => elasti.close());
  const operators = await startOperators({
    cluster,
    client: elasti.client,
    namespace: elasti.namespace,
    accounts: { operator, resolver },
    env: {
      PROMETHEUS_TRIGGER_SERVER_ADDRESS: prometheus.url,
      POLLING_INTERVAL: "1s",
      ELASTI_SCRAPE_INTERVAL: "1s",
    },
    onLog: (replica, line) => onOperatorLog(stages, replica, line),
  });
  closers.push(() => operators.close());

  const apps = new Map<string, { address: string; port: number }>();
  for (const name of names) {
    const { address, port } = await elasti.sampleApp({ name, startMs: 100 + Math.floor(Math.random() * 400) });
    apps.set(name, { address, port });
    await elasti.elastiService({ spec: specOf(name) });
  }
  await Promise.all(
    names.map((name) =>
      elasti.waitForPhase("default", name, "Asleep", { timeoutMs: 60_000, when: (es) => es.status?.podsGone === true }),
    ),
  );
  for (let node = 1; node <= NODES; node++) {
    const { from, to } = NODE_DELAY_MS;
    // every node already leads to the resolvers before it begins to lag
    for (const name of names) await cluster.waitForBackends(node, `default/${name}`, (backends) => backends.length > 0);
    cluster.setServiceDelay(node, () => from + Math.random() * (to - from));
  }
  const nodes = await elasti.client.list<KubeObject & { status?: { addresses?: { type: string; address: string }[] } }>(
    resources.nodes,
  );
  const nodeAddresses = new Set(
    nodes.items.flatMap(({ status }) => (status?.addresses ?? []).map((one) => one.address)),
  );
  return { cluster, elasti, stages, apps, replicas: operators.replicas, nodeAddresses, close };
}

const specOf = (name: string): ElastiService["spec"] => ({
  service: name,
  scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
  cooldownPeriod: 1,
  triggers: [
    {
      type: "prometheus",
      metadata: { query: `sum(rate(app_requests_total{job="${name}"}[3s])) or vector(0)`, threshold: "0.01" },
    },
  ],
  routing: { mode: "SelectorSwap", graceSeconds: GRACE_S },
});

/** Tells the stages what the API server does, at the moment at which it does it. */
function follow(cluster: LocalCluster, stages: ReadonlyMap<string, Stage>): void {
  cluster.apiServer.store.subscribe(({ type, collection, object }) => {
    const { name, labels = {} } = object.metadata;
    const any: unknown = object;
    if (collection === `${resources.elastiServices.group}/elastiservices`) {
      stages.get(name)?.onElastiService(any as ElastiService);
    } else if (collection === "/services") stages.get(name)?.onService(any as Service);
    else if (collection === "apps/deployments") stages.get(name)?.onDeployment(any as Deployment);
    else if (collection === "discovery.k8s.io/endpointslices") {
      const owner = labels[SERVICE_LABEL] ?? labels[SERVICE_NAME_LABEL] ?? "";
      stages.get(owner)?.onSlice(any as EndpointSlice, type === "DELETED");
    }
  });
}

function onOperatorLog(stages: ReadonlyMap<string, Stage>, replica: string, line: LogLine): void {
  const { key, service, name, reason, msg } = line;
  const from = typeof key === "string" ? key.slice(key.indexOf("/") + 1) : (service ?? name);
  const stage = stages.get(String(from));
  if (stage === undefined) return;
  const { time: _, ...rest } = line;
  stage.note(`${replica}: ${JSON.stringify(rest)}`);
  if (msg === "phase") stage.onReason(line.epoch, reason);
  else stage.onStep(reason);
}

/** Hands every call of an operator that concerns a service to `onCall`, before it leaves and after its answer. */
export function interceptCalls(
  replicas: readonly Replica[],
  onCall: (
    service: string,
    call: NonNullable<ReturnType<typeof callOf>>["call"],
    when: "before-send" | "after-answer",
  ) => Promise<void>,
): void {
  for (const { faults } of replicas) {
    for (const when of ["before-send", "after-answer"] as const) {
      faults.onRequest(
        (request) => callOf(request) !== undefined,
        async (request) => {
          const found = callOf(request);
          if (found !== undefined) await onCall(found.service, found.call, when);
        },
        { when },
      );
    }
  }
}
