import { errorText, systemClock } from "@elasti/core";
import { findProgram } from "@elasti/local";
import { isDirect } from "./answer.ts";
import { firstSleep, runCycles, tellAnswer, tellDirect } from "./cycles.ts";
import { FrontDoor } from "./front-door.ts";
import { memoryLine } from "./memory.ts";
import { type DemoOptions, parseOptions, usage } from "./options.ts";
import { askAtTerminal, prometheusProgram, runProgram } from "./prometheus-program.ts";
import { exitCodeOf } from "./result.ts";
import { type Moment, Timeline } from "./timeline.ts";
import { startWorld, type World } from "./world.ts";

const SAME_SIGNAL_MS = 1_000;

/** Where the demo writes and what it may use; replaced by tests. */
export interface DemoPlace {
  readonly write: (text: string) => void;
  readonly writeError: (text: string) => void;
  /** The path of Prometheus, or undefined where it cannot be had. */
  readonly findPrometheus: (
    options: DemoOptions,
    say: (line: string) => void,
    signal: AbortSignal,
  ) => Promise<string | undefined>;
}

const thisMachine: DemoPlace = {
  write: (text) => process.stdout.write(text),
  writeError: (text) => process.stderr.write(text),
  findPrometheus: ({ noInstall }, say, signal) => {
    const terminal = process.stdin.isTTY === true && process.stdout.isTTY === true;
    return prometheusProgram({
      find: (name) => findProgram(name, process.env.PATH),
      noInstall,
      root: process.getuid?.() === 0,
      ask: terminal ? (question) => askAtTerminal(question, signal) : undefined,
      run: (program, args) => runProgram(program, args, signal),
      say,
    });
  },
};

/** Runs the demo. @returns the exit code */
export async function demo(args: readonly string[], place: DemoPlace = thisMachine): Promise<number> {
  const parsed = parseOptions(args);
  if (parsed.kind === "help") {
    place.write(usage);
    return 0;
  }
  if (parsed.kind === "wrong") {
    place.writeError(`elasti: ${parsed.message}\n`);
    return 2;
  }
  if (process.platform !== "linux") {
    place.writeError("elasti: the demo needs Linux, where every address of 127/8 can be used without configuration\n");
    return 1;
  }
  const stop = new AbortController();
  let stoppedAt = 0;
  const onSignal = () => {
    // a second Ctrl-C does not wait; but npm passes on the first one, which the terminal has sent already
    if (stop.signal.aborted && performance.now() - stoppedAt > SAME_SIGNAL_MS) process.exit(130);
    if (stop.signal.aborted) return;
    stoppedAt = performance.now();
    stop.abort(new Error("stopped"));
  };
  process.on("SIGINT", onSignal).on("SIGTERM", onSignal);
  // whoever read the output has gone
  const onOutputError = () => stop.abort(new Error("the output was closed"));
  process.stdout.on("error", onOutputError);
  try {
    return await run(parsed.options, place, stop.signal);
  } catch (error) {
    if (stop.signal.aborted) return 130;
    place.writeError(`elasti: ${errorText(error).replaceAll(/\s*\n\s*/g, " ")}\n`);
    return 1;
  } finally {
    process.off("SIGINT", onSignal).off("SIGTERM", onSignal);
    process.stdout.off("error", onOutputError);
  }
}

async function run(options: DemoOptions, place: DemoPlace, signal: AbortSignal): Promise<number> {
  const say = (line: string) => place.write(`${line}\n`);
  const timeline = new Timeline(say);
  const prometheus = await place.findPrometheus(options, say, signal);
  if (prometheus === undefined) {
    say("no Prometheus (Debian package prometheus): the resolver stays in the path and counts requests (mode Always)");
  }
  let onMoment = (moment: Moment) => timeline.take(moment);
  await using world = await startWorld({
    startMs: options.startMs,
    prometheus,
    say,
    signal,
    onMoment: (moment) => onMoment(moment),
  });
  signal.throwIfAborted();
  if (options.once) {
    const result = await runCycles(world, timeline, signal).catch((error: unknown) => {
      if (!signal.aborted) world.keepLogs();
      throw error;
    });
    if (exitCodeOf(result) !== 0) world.keepLogs();
    onMoment = () => {};
    say("");
    say(await memoryLine(await world.installation.processes()));
    const { requests, failed, directRequests, coldStartMs, overheadMs, asleepAgain, cycles } = result;
    say(
      `${cycles} cycles, ${requests} requests, ${failed} failed, ${directRequests} with no resolver in between; ` +
        `cold start ${coldStartMs.p50} ms (the app takes ${options.startMs} ms and its process start), ` +
        `of which Elasti ${overheadMs.p50} ms; ${asleepAgain ? "asleep again" : "NOT asleep again"}`,
    );
    if (options.json) say(JSON.stringify(result));
    return exitCodeOf(result);
  }
  await interactive(world, timeline, say, signal);
  return 0;
}

/** Shows what happens until it is stopped. */
async function interactive(world: World, timeline: Timeline, say: (line: string) => void, signal: AbortSignal) {
  const { app, clientAddress, observer } = world;
  const door = new FrontDoor({
    clock: systemClock,
    target: { host: app.address, port: app.port },
    clientAddress,
    onRequest: (at) => {
      if (observer.phase === "Asleep") timeline.take({ stage: "held", at, detail: "a request waits at a resolver" });
    },
    onAnswer: (head, askedAt, answeredAt) => {
      const direct = isDirect(head, clientAddress);
      timeline.count(direct);
      if (direct) tellDirect(timeline, head, answeredAt, answeredAt - askedAt);
      else if (head.headers.has("elasti-cold-start")) tellAnswer(timeline, head, answeredAt);
    },
  });
  try {
    const port = await door.start([8080, 0]);
    await firstSleep(world, signal);
    say("");
    say("The sample app is asleep: a Deployment at zero replicas. Wake it from another terminal:");
    say("");
    say(`  curl http://127.0.0.1:${port}/`);
    say("");
    say(`It sleeps again some seconds after the last request, ${by(world)}. The Service itself is at ${app.url}.`);
    say("To look around with kubectl (get es -w, describe es web, scale deploy web --replicas=1):");
    say("");
    say(`  export KUBECONFIG=${world.kubeconfigPath}`);
    say("");
    say(`Logs of all pods: ${world.logDir}. ${await memoryLine(await world.installation.processes())}`);
    say("Ctrl-C ends the demo and removes everything.");
    await new Promise<void>((resolve) => signal.addEventListener("abort", () => resolve(), { once: true }));
    say("");
    say(await memoryLine(await world.installation.processes()));
  } finally {
    await door.close();
  }
}

const by = ({ prometheusUrl }: World): string =>
  prometheusUrl === undefined
    ? "which the resolvers count"
    : `as Prometheus (${prometheusUrl}) says, once it has watched for 15 s`;
