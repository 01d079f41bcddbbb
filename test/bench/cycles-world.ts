import type { ElastiService } from "@elasti/api";
import { SERVICE_LABEL, SERVICE_NAME_LABEL } from "@elasti/api";
import { type PrometheusProcess, startPrometheus } from "@elasti/local";
import { callOf } from "./aims.ts";
import type { CyclesGround } from "./cycles-ground.ts";
import type { BenchApp } from "./host.ts";
import { MetricsRelay } from "./metrics-relay.ts";
import { type LogLine, type Replica, startOperators } from "./operators.ts";
import { Stage } from "./stage.ts";

const APP_PORT = 8080;
/** Longer than the slowest node, as the setting demands of whoever sets it. */
const GRACE_S = 5;

export interface World {
  readonly ground: CyclesGround;
  readonly stages: ReadonlyMap<string, Stage>;
  readonly apps: ReadonlyMap<string, BenchApp>;
  readonly replicas: readonly Replica[];
  close(): Promise<void>;
}

/** Nodes that lag, two resolvers, two operators whose calls can be delayed, a Prometheus, and so many apps asleep. */
export async function startWorld(ground: CyclesGround, services: number): Promise<World> {
  const closers: (() => Promise<void>)[] = [() => ground.close()];
  const close = async () => {
    for (const closer of closers.splice(0).reverse()) await closer();
  };
  try {
    return await build(ground, services, closers, close);
  } catch (error) {
    await close();
    throw error;
  }
}

async function build(
  ground: CyclesGround,
  services: number,
  closers: (() => Promise<void>)[],
  close: () => Promise<void>,
): Promise<World> {
  const { host, namespace, tables } = ground;
  const names = Array.from({ length: services }, (_, index) => `web-${index + 1}`);
  const stages = new Map<string, Stage>();
  for (const name of names) stages.set(name, new Stage(name, tables));
  await follow(ground, stages);

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

  const operators = await startOperators({
    ...ground.operators,
    client: host.client,
    namespace,
    env: {
      PROMETHEUS_TRIGGER_SERVER_ADDRESS: prometheus.url,
      POLLING_INTERVAL: "1s",
      ELASTI_SCRAPE_INTERVAL: "1s",
    },
    onLog: (replica, line) => onOperatorLog(stages, replica, line),
  });
  closers.push(() => operators.close());

  const apps = new Map<string, BenchApp>();
  for (const name of names) {
    apps.set(name, await host.sampleApp({ name, startMs: 100 + Math.floor(Math.random() * 400) }));
    await host.elastiService({ spec: specOf(name) });
  }
  await Promise.all(
    names.map((name) =>
      host.waitForPhase("default", name, "Asleep", { timeoutMs: 60_000, when: (es) => es.status?.podsGone === true }),
    ),
  );
  // every node already leads to the resolvers before it begins to lag
  for (let node = 1; node <= tables.nodeNames.length; node++) for (const name of names) await ground.leads(node, name);
  ground.beginLag();
  return { ground, stages, apps, replicas: operators.replicas, close };
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

/** Tells the stages what the API server does. */
async function follow(ground: CyclesGround, stages: ReadonlyMap<string, Stage>): Promise<void> {
  await ground.follow({
    elastiService: (es) => stages.get(es.metadata.name)?.onElastiService(es),
    service: (service) => stages.get(service.metadata.name)?.onService(service),
    deployment: (deployment) => stages.get(deployment.metadata.name)?.onDeployment(deployment),
    slice(slice, gone) {
      const { labels = {} } = slice.metadata;
      stages.get(labels[SERVICE_LABEL] ?? labels[SERVICE_NAME_LABEL] ?? "")?.onSlice(slice, gone);
    },
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
