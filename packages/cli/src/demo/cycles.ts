import { type ElastiService, PARK_KEY } from "@elasti/api";
import { defineErrors, systemClock } from "@elasti/core";
import type { Service } from "@elasti/kube";
import { type AnswerHead, isDirect, listeningAt, podOf } from "./answer.ts";
import { isCalledActive } from "./observer.ts";
import { type Answer, request } from "./request.ts";
import { type ColdStart, type DemoResult, type RequestOutcome, resultOf } from "./result.ts";
import type { Timeline } from "./timeline.ts";
import type { World } from "./world.ts";

const errors = defineErrors({
  ELASTI_DEMO_STUCK: { status: 504, retryable: true, title: "The demo does not get on" },
});

const CYCLES = 3;
/** Requests right after the first answer, and after the clients were led to the pods. */
const REQUESTS_EACH = 5;
const REQUEST_TIMEOUT_MS = 150_000;
const ASLEEP_TIMEOUT_MS = 90_000;
const SWAP_TIMEOUT_MS = 30_000;
const ACTIVE_TIMEOUT_MS = 15_000;
const CALL_PAUSE_MS = 250;

/** Calls the sleeping service, calls it on until pods answer by themselves, and leaves it alone until it sleeps: three times. */
export async function runCycles(world: World, timeline: Timeline, signal: AbortSignal): Promise<DemoResult> {
  const requests: RequestOutcome[] = [];
  const coldStarts: ColdStart[] = [];
  let asleepAgain = true;
  let cycles = 0;
  let routing: DemoResult["routing"] = "Always";
  let es = await firstSleep(world, signal);
  while (cycles < CYCLES && asleepAgain) {
    await callSleeping(world, timeline, requests, coldStarts);
    await callAgain(world, timeline, requests);
    const swapped = await untilSwapped(world, signal);
    if (swapped) routing = "SelectorSwap";
    await callAgain(world, timeline, requests);
    // Prometheus needs a while to begin anyway: the time for it to see that the service is in use
    if (cycles === 0 && world.idleDecision === "prometheus") await callUntilActive(world, timeline, requests, signal);
    const before = es.status?.epoch ?? 0;
    const next = await untilAsleep(world, before, signal);
    asleepAgain = next !== undefined;
    es = next ?? es;
    cycles += 1;
    signal.throwIfAborted();
  }
  return resultOf({ cycles, requests, coldStarts, routing, idleDecision: world.idleDecision, asleepAgain });
}

/**
 * The app begins at zero; it can be called once the resolvers stand in for it.
 * @throws ELASTI_DEMO_STUCK
 */
export async function firstSleep({ observer, cluster, app }: World, signal: AbortSignal): Promise<ElastiService> {
  const limit = within(signal, ASLEEP_TIMEOUT_MS);
  return await told(limit, signal, `the new service is not led to the resolvers`, async () => {
    const es = await observer.until(isAsleep, limit);
    await cluster.waitForBackends(1, `${app.namespace}/${app.name}`, (backends) => backends.length > 0, limit);
    return es;
  });
}

/** Runs what `limit` bounds; what takes too long ends with a sentence. */
async function told<T>(limit: AbortSignal, signal: AbortSignal, what: string, run: () => Promise<T>): Promise<T> {
  try {
    return await run();
  } catch (error) {
    if (signal.aborted || !limit.aborted) throw error;
    throw errors.ELASTI_DEMO_STUCK(`${what}, after a long wait`);
  }
}

/** Asleep with nothing left to do: no pod of before, and the Service as its owner wrote it unless the resolver stays. */
export function isAsleep({ status }: ElastiService, service: Service): boolean {
  if (status?.phase !== "Asleep" || status.podsGone !== true) return false;
  return status.routingMode !== "SelectorSwap" || service.spec.selector?.[PARK_KEY] === undefined;
}

async function call(world: World): Promise<Answer> {
  const { app, clientAddress } = world;
  return await request({
    host: app.address,
    port: app.port,
    path: "/",
    localAddress: clientAddress,
    timeoutMs: REQUEST_TIMEOUT_MS,
  });
}

function outcomeOf(world: World, answer: Answer): RequestOutcome {
  const { elapsedMs } = answer;
  if (!answer.ok) return { ok: false, direct: false, elapsedMs, problem: answer.problem };
  return { ok: true, direct: isDirect(answer.head, world.clientAddress), elapsedMs };
}

async function callSleeping(
  world: World,
  timeline: Timeline,
  requests: RequestOutcome[],
  coldStarts: ColdStart[],
): Promise<void> {
  const heldAt = Date.now();
  timeline.take({ stage: "held", at: heldAt, detail: `GET ${world.app.url}/ waits at a resolver` });
  const answer = await call(world);
  const outcome = outcomeOf(world, answer);
  requests.push(outcome);
  if (!answer.ok) {
    timeline.note(`request failed after ${Math.round(answer.elapsedMs)} ms: ${answer.problem}`);
    return;
  }
  timeline.count(outcome.direct);
  tellAnswer(timeline, answer.head, answer.answeredAt);
  const reachableAt = Math.max(
    listeningAt(answer.head) ?? 0,
    world.observer.publishedAt(podOf(answer.head)) ?? 0,
    heldAt,
  );
  coldStarts.push({ elapsedMs: answer.elapsedMs, overheadMs: Math.max(0, answer.answeredAt - reachableAt) });
}

/** The lines that only the answer to a held request can tell. */
export function tellAnswer(timeline: Timeline, head: AnswerHead, answeredAt: number): void {
  const listening = listeningAt(head);
  const after = listening === undefined ? "" : `, ${answeredAt - listening} ms after the pod began to listen`;
  timeline.take({ stage: "answered", at: answeredAt, detail: `HTTP ${head.status} by ${podOf(head)}${after}` });
}

async function callAgain(world: World, timeline: Timeline, requests: RequestOutcome[]): Promise<void> {
  for (let i = 0; i < REQUESTS_EACH; i++) await callOnce(world, timeline, requests);
}

async function callOnce(world: World, timeline: Timeline, requests: RequestOutcome[]): Promise<void> {
  const answer = await call(world);
  const outcome = outcomeOf(world, answer);
  requests.push(outcome);
  if (!answer.ok) {
    timeline.note(`request failed: ${answer.problem}`);
    return;
  }
  timeline.count(outcome.direct);
  if (outcome.direct) tellDirect(timeline, answer.head, answer.answeredAt, outcome.elapsedMs);
}

/** The first answer without a resolver in a cycle. */
export function tellDirect(timeline: Timeline, head: AnswerHead, answeredAt: number, elapsedMs: number): void {
  const detail = `${podOf(head)} answers with no resolver in between, in ${elapsedMs.toFixed(1)} ms`;
  timeline.take({ stage: "direct", at: answeredAt, detail });
}

/** Calls on until the trigger has noticed; it may not in time, which is no failure. */
async function callUntilActive(world: World, timeline: Timeline, requests: RequestOutcome[], signal: AbortSignal) {
  const limit = within(signal, ACTIVE_TIMEOUT_MS);
  const noticed = new AbortController();
  const active = world.observer
    .until(isCalledActive, limit)
    .catch(() => {})
    .finally(() => noticed.abort());
  while (!noticed.signal.aborted) {
    await callOnce(world, timeline, requests);
    await systemClock.sleep(CALL_PAUSE_MS, noticed.signal).catch(() => {});
  }
  await active;
  signal.throwIfAborted();
}

/** Waits until new connections go to the pods; false where the resolver stays in the path. */
async function untilSwapped(world: World, signal: AbortSignal): Promise<boolean> {
  const limit = within(signal, SWAP_TIMEOUT_MS);
  return await told(limit, signal, "the woken service is not led to its pods", () => swapped(world, limit));
}

async function swapped({ cluster, observer, app }: World, limit: AbortSignal): Promise<boolean> {
  const es = await observer.until(({ status }) => status?.phase === "Serving", limit);
  if (es.status?.routingMode === "Always") return false;
  await cluster.waitForBackends(
    1,
    `${app.namespace}/${app.name}`,
    (backends) => {
      const pods = new Set(observer.pods.map(({ address }) => address));
      return backends.length > 0 && backends.every(({ ip }) => pods.has(ip));
    },
    limit,
  );
  return true;
}

async function untilAsleep(world: World, afterEpoch: number, signal: AbortSignal): Promise<ElastiService | undefined> {
  const limit = within(signal, ASLEEP_TIMEOUT_MS);
  try {
    return await world.observer.until(
      (es, service) => (es.status?.epoch ?? 0) > afterEpoch && isAsleep(es, service),
      limit,
    );
  } catch (error) {
    if (signal.aborted || !limit.aborted) throw error;
    return undefined;
  }
}

const within = (signal: AbortSignal, ms: number): AbortSignal => AbortSignal.any([signal, AbortSignal.timeout(ms)]);
