/**
 * `npm run bench:footprint -- [--services 100] [--idle 60] [--starts 5] [--json]`: what Elasti costs while nothing happens, as pods
 * of its images on a real cluster, two of each, with so many services asleep. docs/benchmarks.md says what the figures mean.
 */
import { setTimeout as pause } from "node:timers/promises";
import { parseArgs } from "node:util";
import { type ElastiService, paths } from "@elasti/api";
import { resources } from "@elasti/kube";
import { AuditLog } from "../cluster/audit-log.ts";
import { Places } from "../cluster/places.ts";
import { startRealWorld } from "../e2e/real-world.ts";
import { OPERATOR, RESOLVER, type World } from "../e2e/world.ts";
import { count, median, rounded, tell } from "./figures.ts";
import { idlePrometheus } from "./idle-prometheus.ts";
import { insideReal } from "./inside-real.ts";
import { ageMs, cpuMs, PodProcesses, residentMib } from "./process-figures.ts";

const { values } = parseArgs({
  options: {
    services: { type: "string", default: "100" },
    idle: { type: "string", default: "60" },
    starts: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
  },
});
const services = count("services", values.services);
const idleMs = 1_000 * count("idle", values.idle);
const starts = count("starts", values.starts);
await insideReal();

const components = [RESOLVER, OPERATOR] as const;
type Component = (typeof components)[number];
const REPLICAS = 2;
const PORT = 8013;
/** After the last change: probes end, rounds of queries begin to be the usual ones. */
const SETTLE_MS = 20_000;
const START_WITHIN_MS = 60_000;

interface Figures {
  readonly startMs: number | null;
  readonly rssMiB: number | null;
  readonly cpuPct: number | null;
  readonly apiCallsPerMin: number | null;
}

/** Makes services that sleep from the first, each with a trigger of its own. */
async function fill(world: World): Promise<void> {
  const names = Array.from({ length: services }, (_, index) => `app-${index + 1}`);
  for (const name of names) {
    await world.app({ name });
    await world.elastiService(name, {
      service: name,
      scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name },
      triggers: [
        { type: "prometheus", metadata: { query: `sum(rate(requests{app="${name}"}[1m]))`, threshold: "0.5" } },
      ],
    });
  }
  const asleep = (es: ElastiService | undefined) => es?.status?.phase === "Asleep" && es.status.podsGone === true;
  for (const name of names) await world.until("asleep", resources.elastiServices, "default", name, asleep, 60_000);
}

/** One more pod of a component: from the birth of its process to its first answer that it is ready, in ms. */
async function start(world: World, component: Component): Promise<number> {
  const processes = new PodProcesses(world.system);
  processes.fresh();
  await world.scale(component, REPLICAS + 1, { wait: false });
  const until = performance.now() + START_WITHIN_MS;
  for (;;) {
    const born = processes.fresh().find(({ pod }) => pod.startsWith(component));
    if (born !== undefined) {
      const url = `http://${born.address}:${PORT}${paths.ready}`;
      while (!(await isReady(url))) await pause(2);
      const took = ageMs(born.pid);
      await world.scale(component, REPLICAS + 1, { timeoutMs: START_WITHIN_MS });
      await world.scale(component, REPLICAS, { timeoutMs: START_WITHIN_MS });
      return took;
    }
    if (performance.now() > until) throw new Error(`no process of ${component} appeared`);
    await pause(5);
  }
}

async function isReady(url: string): Promise<boolean> {
  try {
    const answer = await fetch(url, { signal: AbortSignal.timeout(1_000) });
    await answer.body?.cancel();
    return answer.ok;
  } catch {
    return false;
  }
}

/** What all replicas do while nothing happens; of memory and CPU time the replica counts that takes most. */
async function idle(world: World): Promise<Record<Component, Omit<Figures, "startMs">>> {
  const processes = new PodProcesses(world.system).fresh();
  const of = (component: Component) => processes.filter(({ pod }) => pod.startsWith(component));
  const audit = new AuditLog(`${new Places(process.env.ELASTI_TEST_NODE ?? "").logs}/audit.log`);
  await audit.read();
  const before = new Map(processes.map(({ pid }) => [pid, cpuMs(pid)]));
  const began = performance.now();
  await pause(idleMs);
  const lasted = performance.now() - began;
  const used = new Map(processes.map(({ pid }) => [pid, cpuMs(pid) - (before.get(pid) ?? 0)]));
  const calls = await audit.read();
  const figures = (component: Component): Omit<Figures, "startMs"> => {
    const user = `system:serviceaccount:${world.system}:${component}`;
    const counted = calls.filter((call) => call.user === user && call.verb !== "watch" && call.resource !== "leases");
    const own = of(component);
    if (own.length !== REPLICAS) throw new Error(`${own.length} processes of ${component}`);
    for (const { pid, pod } of own)
      tell(
        `  ${pod}: ${residentMib(pid, "RssFile").toFixed(1)} MiB of files, ${residentMib(pid, "RssAnon").toFixed(1)} of its own`,
      );
    for (const { verb, resource, name } of counted) tell(`  ${component}: ${verb} ${resource} ${name}`);
    return {
      rssMiB: rounded(Math.max(...own.map(({ pid }) => residentMib(pid)))),
      cpuPct: rounded((100 * Math.max(...own.map(({ pid }) => used.get(pid) ?? 0))) / lasted),
      apiCallsPerMin: rounded(counted.length / (lasted / 60_000)),
    };
  };
  return { [RESOLVER]: figures(RESOLVER), [OPERATOR]: figures(OPERATOR) };
}

const prometheus = await idlePrometheus();
const world = await startRealWorld(process.env.ELASTI_TEST_KUBECONFIG ?? "", {
  operators: REPLICAS,
  resolvers: REPLICAS,
  prometheusUrl: prometheus.url,
  settings: "default",
  images: true,
});
try {
  await fill(world);
  tell(`${services} services asleep`);
  await pause(SETTLE_MS);
  const quiet = await idle(world);
  const took: Record<Component, number[]> = { [RESOLVER]: [], [OPERATOR]: [] };
  for (let round = 0; round < starts; round++) {
    for (const component of components) took[component].push(await start(world, component));
  }
  for (const component of components) {
    tell(`${component}: starts of ${took[component].map((ms) => ms.toFixed(0)).join(", ")} ms`);
    tell(`${component}: ${JSON.stringify(quiet[component])} while idle for ${values.idle} s`);
  }
  const figures = (component: Component): Figures => ({
    startMs: rounded(median(took[component])),
    ...quiet[component],
  });
  if (values.json) console.log(JSON.stringify({ services, resolver: figures(RESOLVER), operator: figures(OPERATOR) }));
} finally {
  await world.close();
  prometheus.close();
}
