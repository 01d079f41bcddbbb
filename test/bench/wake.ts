/**
 * `npm run bench:wake -- [--wakes 200] [--starts 300,1000,3000] [--json]`: what Elasti adds to a cold start. Wakes and
 * controls take turns, one at a time, on real processes and sockets of the embedded Kubernetes. docs/benchmarks.md says what
 * the figures mean. Exit code 1 only when a request was lost.
 */
import { parseArgs } from "node:util";
import { errorText } from "@elasti/core";
import { elastiAccounts, installElasti, startLocalCluster } from "@elasti/local";
import { count, median, percentile, rounded, tell } from "./figures.ts";
import { controlOnce, type WakeSample, wakeOnce } from "./wake-samples.ts";
import { ApiMoments, makeTargets, PROBE_PERIOD_S, putToSleep } from "./wake-targets.ts";

const { values } = parseArgs({
  options: {
    wakes: { type: "string", default: "200" },
    starts: { type: "string", default: "300,1000,3000" },
    json: { type: "boolean", default: false },
  },
});
const wakes = count("wakes", values.wakes);
const starts = values.starts.split(",").map((text) => count("starts", text));
/** Per start time; half of them are woken in one round and serve as controls in the next. */
const EACH = 4;
/** After this the operators know that nobody waits any more: resolvers report once a second. */
const REPORTED_MS = 1_200;

const samples = new Map(starts.map((start) => [start, [] as WakeSample[]]));
const controls = new Map(starts.map((start) => [start, [] as number[]]));
let lost = 0;

const cluster = await startLocalCluster({ accounts: elastiAccounts() });
try {
  const elasti = await installElasti({
    cluster,
    // nothing answers there: the triggers are never known to be idle
    prometheusUrl: "http://127.0.0.1:9",
    env: { operator: { ELASTI_LOG_LEVEL: "error" }, resolver: { ELASTI_LOG_LEVEL: "error" } },
  });
  const targets = await makeTargets(elasti, starts, EACH);
  const moments = new ApiMoments(
    cluster,
    targets.map(({ app }) => app.name),
  );
  await Promise.all(targets.map(({ asleep }) => asleep));
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
        try {
          samples.get(startMs)!.push(await wakeOnce(woken, moments, cluster.clientAddress(1, done)));
        } catch (error) {
          lost += 1;
          tell(`LOST: wake ${done} of ${woken.app.name}: ${errorText(error)}`);
        }
        controls.get(startMs)!.push(await controlOnce(control, moments, elasti.client));
      }
    }
    tell(`${done} of ${wakes}`);
    if (done >= wakes) break;
    await new Promise((resolve) => setTimeout(resolve, REPORTED_MS));
    // all of them before the next round: what ends is not to take time from what begins
    for (const target of targets) await putToSleep(elasti, target);
    await Promise.all(targets.map(({ asleep }) => asleep));
  }
  moments.close();
  await elasti.close();
} finally {
  await cluster.close();
}

const goals: string[] = [];
const goal = (name: string, value: number, limit: number): void => {
  const met = value <= limit ? "met" : "NOT MET";
  goals.push(`${name}: ${rounded(value)} ms, goal at most ${rounded(limit)} ms: ${met}`);
};
const byStart = Object.fromEntries(
  starts.map((startMs) => {
    const own = samples.get(startMs)!;
    const overheads = own.map(({ overheadMs }) => overheadMs);
    const [p50, p95] = [percentile(overheads, 0.5), percentile(overheads, 0.95)];
    const cold = median(own.map(({ totalMs }) => totalMs));
    const plain = median(controls.get(startMs)!);
    goal(`start ${startMs} ms, overhead p50`, p50, 8 + 0.012 * startMs);
    goal(`start ${startMs} ms, overhead p95`, p95, 30 + 0.022 * startMs);
    goal(`start ${startMs} ms, extra (${rounded(cold)} against ${rounded(plain)})`, cold - plain, 20 + 0.012 * startMs);
    return [startMs, { overheadMs: { p50: rounded(p50), p95: rounded(p95) }, extraMs: rounded(cold - plain) }];
  }),
);
const scaled = [...samples.values()].flat().map(({ notifyToScaleMs }) => notifyToScaleMs);
goal("notify to scale, p50", percentile(scaled, 0.5), 10);
const out = values.json ? process.stderr : process.stdout;
out.write(`${goals.join("\n")}\n`);
if (lost > 0) out.write(`${lost} requests were lost\n`);
if (values.json) {
  const notifyToScaleMs = { p50: rounded(percentile(scaled, 0.5)), p95: rounded(percentile(scaled, 0.95)) };
  const answered = [...samples.values()].flat().length;
  process.stdout.write(
    `${JSON.stringify({ wakes: answered, probePeriodS: PROBE_PERIOD_S, byStart, notifyToScaleMs })}\n`,
  );
}
process.exitCode = lost > 0 ? 1 : 0;
