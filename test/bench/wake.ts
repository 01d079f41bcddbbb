/**
 * `npm run bench:wake -- [--cluster embedded|real [--installed]] [--wakes 200] [--starts 300,1000,3000] [--quiet 0] [--json]`:
 * what Elasti adds to a cold start. Wakes and controls take turns, one at a time; before each wake come so many seconds in which
 * nothing is asked of anybody. `--installed`: by the Helm chart, from images. docs/benchmarks.md says what the figures mean.
 * Exit code 1 only when a request was lost.
 */
import { parseArgs } from "node:util";
import { errorText } from "@elasti/core";
import { count, tell } from "./figures.ts";
import { clusterOf, insideReal } from "./inside-real.ts";
import { RealMoments } from "./real-moments.ts";
import { StartPhases } from "./start-phases.ts";
import { type Results, tellEmbedded, tellReal } from "./wake-figures.ts";
import { embeddedGround, realGround, type WakeGround } from "./wake-ground.ts";
import { controlOnce, wakeOnce } from "./wake-samples.ts";
import { makeTargets, putToSleep } from "./wake-targets.ts";

const { values } = parseArgs({
  options: {
    cluster: { type: "string", default: "embedded" },
    installed: { type: "boolean", default: false },
    wakes: { type: "string", default: "200" },
    starts: { type: "string" },
    quiet: { type: "string", default: "0" },
    json: { type: "boolean", default: false },
  },
});
const cluster = clusterOf(values.cluster);
const wakes = count("wakes", values.wakes);
// on real pods the runtime's own start is the longest part
const starts = (values.starts ?? (cluster === "real" ? "1" : "300,1000,3000"))
  .split(",")
  .map((text) => count("starts", text));
const quietMs = values.quiet === "0" ? 0 : 1_000 * count("quiet", values.quiet);
if (values.installed && cluster !== "real") throw new RangeError("--installed: expected --cluster real with it");
if (cluster === "real") await insideReal();
/** Per start time; half of them are woken in one round and serve as controls in the next. */
const EACH = cluster === "real" ? 8 : 4;
/** After this the operators know that nobody waits any more: resolvers report once a second. */
const REPORTED_MS = 1_200;

/** A wake of which more is ours is told. */
const TOLD_MS = 100;

const results: Results = { samples: new Map(), controls: new Map(), lost: 0 };
for (const start of starts) {
  results.samples.set(start, []);
  results.controls.set(start, []);
}
const phases = new StartPhases();

const ground: WakeGround = cluster === "real" ? await realGround(values.installed) : await embeddedGround();
try {
  const { host } = ground;
  const targets = await makeTargets(host, starts, EACH);
  const moments = await ground.moments(targets.map(({ app }) => app.name));
  await Promise.all(targets.map(({ asleep }) => asleep));
  for (const { app } of targets) await ground.leads(app.name);
  tell(`${wakes} wakes at start times of ${starts.join(", ")} ms, and as many controls`);

  let done = 0;
  for (let round = 0; done < wakes; round++) {
    for (let index = 0; index < EACH / 2; index++) {
      for (const startMs of starts) {
        if (done >= wakes) break;
        const own = targets.filter((target) => target.startMs === startMs);
        const [woken, control] = [own[2 * index + (round % 2)]!, own[2 * index + ((round + 1) % 2)]!];
        await Promise.all([woken.asleep, control.asleep]);
        done += 1;
        if (quietMs > 0) await new Promise((resolve) => setTimeout(resolve, quietMs));
        try {
          const sample = await wakeOnce(woken, moments, ground.localAddress(done));
          results.samples.get(startMs)!.push(sample);
          if (sample.notifyToScaleMs + sample.overheadMs > TOLD_MS) tell(`slow: ${JSON.stringify(sample)}`);
          if (moments instanceof RealMoments) await phases.add(sample, moments);
        } catch (error) {
          results.lost += 1;
          tell(`LOST: wake ${done} of ${woken.app.name}: ${errorText(error)}`);
        }
        results.controls.get(startMs)!.push(await controlOnce(control, moments, host.client));
      }
    }
    tell(`${done} of ${wakes}`);
    if (done >= wakes) break;
    await new Promise((resolve) => setTimeout(resolve, REPORTED_MS));
    // all of them before the next round: what ends is not to take time from what begins
    for (const target of targets) await putToSleep(host, target);
    await Promise.all(targets.map(({ asleep }) => asleep));
  }
  await moments.close();
} finally {
  await ground.close();
}

if (cluster === "real") {
  phases.tell();
  tellReal(results, values.json);
} else tellEmbedded(results, values.json);
process.exitCode = results.lost > 0 ? 1 : 0;
