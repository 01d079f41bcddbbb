/**
 * `npm run bench:cycles -- [--cluster embedded|real] [--cycles 200] [--services 14] [--minutes n] [--json]`: sleeps and wakes
 * of several services at once, with requests aimed at every step between. docs/benchmarks.md says how. Exit code 1 when a
 * request was lost, or when what was asked for was not reached in time.
 */
import { parseArgs } from "node:util";
import { findProgram, MISSING_PROMETHEUS } from "@elasti/local";
import { drawn, minimums } from "./aims.ts";
import { Clients, noCounts } from "./clients.ts";
import { interceptCalls, startWorld } from "./cycles-world.ts";
import { BURST, Driver } from "./driver.ts";
import { embeddedCycles } from "./embedded-cycles.ts";
import { count, tell } from "./figures.ts";
import { clusterOf, insideReal } from "./inside-real.ts";
import { realCycles } from "./real-cycles.ts";
import { type Step, steps } from "./stage.ts";

const { values } = parseArgs({
  options: {
    cluster: { type: "string", default: "embedded" },
    cycles: { type: "string", default: "200" },
    services: { type: "string" },
    minutes: { type: "string" },
    json: { type: "boolean", default: false },
  },
});
const cluster = clusterOf(values.cluster);
const cycles = count("cycles", values.cycles);
const services = count("services", values.services ?? String(Math.min(14, Math.max(4, cycles))));
const minutes = count("minutes", values.minutes ?? String(Math.ceil(4 + cycles / 10)));
/** Failures told in full; all are counted. */
const TOLD = 20;
/** More than the least number, because a burst may miss its step. */
const AMPLE = 1.25;

if (findProgram("prometheus", process.env.PATH) === undefined) {
  tell(MISSING_PROMETHEUS);
  process.exit(1);
}

if (cluster === "real") await insideReal();

const counts = noCounts();
const least = minimums(cycles);
const aimed = Object.fromEntries(steps.map((step) => [step, 0])) as Record<Step, number>;
let failed = 0;
const stuck: string[] = [];
const told: Promise<void>[] = [];

const world = await startWorld(cluster === "real" ? await realCycles() : await embeddedCycles(), services);
const { ground } = world;
const stages = [...world.stages.values()];
const completed = () => stages.reduce((sum, stage) => sum + stage.completed, 0);
const undone = () => stages.flatMap((stage) => stage.undone);

/** The step that is furthest behind its share of what is needed by now; any late one when none is. */
function nextAim(): Step {
  const share = Math.min(1, (completed() + services) / cycles);
  const behind = steps
    .map((step) => ({ step, by: Math.ceil((least.perStep[step] * AMPLE * share) / BURST) - aimed[step] }))
    .filter(({ step, by }) => by > 0 || (share === 1 && counts.perStep[step] < least.perStep[step]));
  const step = behind.length > 0 ? drawn(behind).step : drawn(["zero", "unpark", "unpark", "wake", "wake"] as const);
  aimed[step] += 1;
  return step;
}

const drivers = new Map<string, Driver>();
for (const stage of stages) {
  const { address, port } = world.apps.get(stage.name)!;
  const clients = new Clients({
    stage,
    host: address,
    port,
    place: () => ground.nextPlace(),
    isNode: (peer) => ground.isNode(peer),
    counts,
    onFailure: ({ text }) => {
      failed += 1;
      if (failed > TOLD) return;
      // a moment later, so that what followed is told too
      told.push(
        new Promise((resolve) => setTimeout(resolve, 1_500)).then(async () => {
          const said = await ground.saidOf(stage.name);
          const tables = ground.tables.nodeNames.map((name, index) => {
            const backends = ground.tables.backends(index + 1, stage.key);
            return `${name}: ${backends.map(({ ip, port: to }) => `${ip}:${to}`).join(", ") || "no backends"}`;
          });
          tell(`FAILED ${text}\n  ${tables.join("; ")}\n  ${stage.events.join("\n  ")}\n  ${said.join("\n  ")}`);
        }),
      );
    },
  });
  const tellStuck = (what: string) => {
    stuck.push(what);
    tell(`STUCK: ${what}\n  ${stage.events.slice(-40).join("\n  ")}`);
  };
  drivers.set(stage.name, new Driver({ stage, clients, nextAim, stuck: tellStuck }));
}
interceptCalls(world.replicas, async (service, call, when) => {
  await drivers.get(service)?.onCall(call, when);
});

const reached = (): boolean =>
  completed() >= cycles &&
  counts.insideTransition >= least.insideTransition &&
  steps.every((step) => counts.perStep[step] >= least.perStep[step]);

const figures = () => ({
  ...(cluster === "real" ? { cluster } : {}),
  cycles: completed(),
  aborted: undone().length,
  requests: counts.requests,
  insideTransition: counts.insideTransition,
  perStep: counts.perStep,
  failed,
});

const startedAt = performance.now();
tell(`${services} services, ${cycles} cycles, at most ${minutes} minutes`);
const running = [...drivers.values()].map((driver) => driver.run());
const everyone = Promise.all(running);
everyone.catch(() => {});
const outcome = await new Promise<"reached" | "time is up">((resolve) => {
  const report = setInterval(() => tell(JSON.stringify(figures())), 30_000);
  const look = setInterval(() => {
    const late = performance.now() - startedAt > minutes * 60_000;
    if (!reached() && !late) return;
    clearInterval(report);
    clearInterval(look);
    resolve(reached() ? "reached" : "time is up");
  }, 200);
});
for (const driver of drivers.values()) driver.stop();
await Promise.race([everyone, new Promise((resolve) => setTimeout(resolve, 70_000).unref())]);
await Promise.all(told);
const final = figures();
const reasons = Map.groupBy(
  stages.flatMap((stage) => stage.undoneReasons),
  (reason) => reason,
);
tell(`on connections kept from before: ${counts.onKept} of those inside a transition`);
tell(`sleeps undone: ${[...reasons].map(([reason, all]) => `${reason} (${all.length})`).join(", ") || "none"}`);
tell(`${outcome} after ${Math.round((performance.now() - startedAt) / 1_000)} s`);
await world.close();
if (outcome !== "reached") tell(`not reached: ${JSON.stringify({ cycles, ...least })}`);
if (!values.json) {
  const perStep = steps.map((step) => `${step} ${final.perStep[step]}`).join(", ");
  process.stdout.write(`${final.cycles} cycles, ${final.aborted} aborted, ${final.requests} requests, `);
  process.stdout.write(`${final.insideTransition} inside a transition (${perStep}), ${final.failed} failed\n`);
}
process.exitCode = final.failed === 0 && outcome === "reached" ? 0 : 1;
process.stdout.write(`${JSON.stringify(final)}\n`, () => process.exit());
