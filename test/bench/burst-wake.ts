/**
 * `npm run bench:burst-wake -- [--cluster embedded|real] [--services 25] [--rounds 5] [--json]`: many services woken at once
 * by one request each, and the same ones by plain PATCHes, in turns. docs/benchmarks.md says what the figures mean. Exit code
 * 1 only when a request was lost.
 */
import { parseArgs } from "node:util";
import { errorText } from "@elasti/core";
import { wallMs } from "./connection.ts";
import { count, median, rounded, tell } from "./figures.ts";
import { clusterOf, insideReal } from "./inside-real.ts";
import { RealMoments } from "./real-moments.ts";
import { embeddedGround, realGround, type WakeGround } from "./wake-ground.ts";
import { controlOnce, firstAnswer } from "./wake-samples.ts";
import { makeTargets, putToSleep } from "./wake-targets.ts";

const { values } = parseArgs({
  options: {
    cluster: { type: "string", default: "embedded" },
    services: { type: "string", default: "25" },
    rounds: { type: "string", default: "5" },
    json: { type: "boolean", default: false },
  },
});
const cluster = clusterOf(values.cluster);
const services = count("services", values.services);
const rounds = count("rounds", values.rounds);
if (cluster === "real") await insideReal();
/** How much the burst may take longer than the control, in ms. */
const GOAL_MS = 1_000;
/** So many at once that tries every millisecond would take the time of what they wait for. */
const CONNECT_EVERY_MS = 10;
/** After this the operators know that nobody waits any more: resolvers report once a second. */
const REPORTED_MS = 1_200;

const bursts: number[] = [];
const controls: number[] = [];
let failed = 0;

const ground: WakeGround = cluster === "real" ? await realGround() : await embeddedGround();
try {
  const { host } = ground;
  const targets = await makeTargets(host, [1], services);
  const moments = await ground.moments(targets.map(({ app }) => app.name));

  const wakeAll = () =>
    Promise.all(
      targets.map(async (target, index) => {
        try {
          await firstAnswer(target, ground.localAddress(index + 1));
        } catch (error) {
          failed += 1;
          tell(`LOST: the first request of ${target.app.name}: ${errorText(error)}`);
        }
      }),
    );
  const scaleAll = () =>
    Promise.all(targets.map((target) => controlOnce(target, moments, host.client, CONNECT_EVERY_MS)));
  /** From all asleep to all asleep. @returns ms until the last one had its answer */
  async function timed(all: () => Promise<unknown>): Promise<number> {
    await Promise.all(targets.map(({ asleep }) => asleep));
    const from = wallMs();
    await all();
    const ms = wallMs() - from;
    if (moments instanceof RealMoments) {
      const scales = (await moments.callsSince(from)).filter(
        ({ resource, verb }) => resource === "deployments/scale" && verb === "patch",
      );
      const last = Math.max(...scales.map(({ receivedAt }) => receivedAt)) - from;
      const codes = [...Map.groupBy(scales, ({ code }) => code)].map(([code, all]) => `${all.length} times ${code}`);
      tell(`PATCHes of /scale: ${codes.join(", ")}; the last came in after ${rounded(last)} ms`);
    }
    await new Promise((resolve) => setTimeout(resolve, REPORTED_MS));
    for (const target of targets) await putToSleep(host, target);
    return ms;
  }

  await Promise.all(targets.map(({ asleep }) => asleep));
  for (const { app } of targets) await ground.leads(app.name);
  tell(`${services} services, ${rounds} rounds`);
  for (let round = 1; round <= rounds; round++) {
    bursts.push(await timed(wakeAll));
    controls.push(await timed(scaleAll));
    tell(`round ${round}: ${rounded(bursts.at(-1)!)} ms, control ${rounded(controls.at(-1)!)} ms`);
  }
  await Promise.all(targets.map(({ asleep }) => asleep));
  await moments.close();
} finally {
  await ground.close();
}

const [ms, controlMs] = [median(bursts), median(controls)];
const met = ms - controlMs <= GOAL_MS ? "met" : "NOT MET";
tell(`${rounded(ms - controlMs)} ms more than the control, goal at most ${GOAL_MS} ms: ${met}`);
const line = { cluster, rounds, services, ms: rounded(ms), controlMs: rounded(controlMs), failed };
process.stdout.write(`${values.json ? JSON.stringify(line) : JSON.stringify(line, undefined, 2)}\n`);
process.exitCode = failed > 0 ? 1 : 0;
