import { type Clock, errorText, type Logger, type Timer } from "@elasti/core";
import type { Container, Pod } from "@elasti/kube";
import { containerArgv, containerEnv, type PodPlace } from "./container-env.ts";
import { ContainerProbes } from "./container-probes.ts";
import { type ContainerExit, type ContainerOutput, ContainerProcess } from "./container-process.ts";
import type { OrphanGuard } from "./orphan-guard.ts";
import { type Condition, type ContainerState, type PodFacts, podStatus } from "./pod-status.ts";
import { RestartBackoff, type RestartSettings } from "./restart-backoff.ts";

export interface PodWorkerOptions {
  pod: Pod;
  place: PodPlace;
  clock: Clock;
  logger: Logger;
  guard: OrphanGuard;
  /** What every container's environment begins with. */
  baseEnv: Readonly<Record<string, string>>;
  restart: RestartSettings;
  output: ContainerOutput | undefined;
  /** Writes the status; the worker never has two writes under way. */
  writeStatus(status: NonNullable<Pod["status"]>): Promise<void>;
  /** The last write: the containers are gone, the object may go. */
  finish(): Promise<void>;
}

/** Runs one pod: its container, probes, restarts and end. */
export class PodWorker {
  readonly #options: PodWorkerOptions;
  readonly #facts: PodFacts;
  readonly #container: Container;
  readonly #backoff: RestartBackoff;
  #pod: Pod;
  #process: ContainerProcess | undefined;
  #probes: ContainerProbes | undefined;
  #restartTimer: Timer | undefined;
  /** Ends the wait for a restart early. */
  #wakeUp: (() => void) | undefined;
  #killTimer: Timer | undefined;
  #killAt = Number.POSITIVE_INFINITY;
  #terminating = false;
  #removed = false;
  #writing: Promise<void> | undefined;
  #dirty = false;
  #written: readonly Condition[] = [];
  #running: Promise<void> | undefined;

  constructor(options: PodWorkerOptions) {
    this.#options = options;
    this.#pod = options.pod;
    this.#container = options.pod.spec.containers[0]!;
    this.#backoff = new RestartBackoff(options.restart);
    this.#facts = {
      podIP: options.place.podIP,
      hostIP: options.place.hostIP,
      startedAt: options.clock.now(),
      state: { kind: "waiting", reason: "ContainerCreating" },
      restartCount: 0,
      started: false,
      ready: false,
      over: false,
    };
  }

  /** Publishes the address, then starts the container: a client may know the address before anything listens there. */
  start(): void {
    this.#running = this.#publishAndRun();
  }

  /** The object as the API has it now. */
  update(pod: Pod): void {
    const gatesBefore = gateStates(this.#pod);
    this.#pod = pod;
    if (pod.metadata.deletionTimestamp !== undefined) {
      this.#terminate(pod.metadata.deletionGracePeriodSeconds ?? pod.spec.terminationGracePeriodSeconds ?? 30);
    } else if (gateStates(pod) !== gatesBefore) {
      this.#changed();
    }
  }

  /** The object is gone from the API: nothing is left to wait for. */
  async remove(): Promise<void> {
    this.#removed = true;
    this.#terminate(0);
    await this.#running;
    await this.#writing;
  }

  async #publishAndRun(): Promise<void> {
    if (containerArgv(this.#container, {}).length === 0) {
      const message = "the local node runs no images: the container needs a command";
      this.#setState({ kind: "waiting", reason: "ErrImageNeverPull", message });
      return;
    }
    await this.#write();
    for (;;) {
      if (this.#terminating) return this.#finishWith({ exitCode: 0, reason: "Completed" }, this.#options.clock.now());
      const startedAt = this.#options.clock.now();
      const exit = await this.#runOnce();
      const finished = { kind: "terminated", startedAt, finishedAt: this.#options.clock.now(), exit } as const;
      if (this.#terminating || !this.#restarts(exit)) return this.#finishWith(exit, startedAt);
      await this.#waitForRestart(finished);
      this.#facts.last = finished;
      this.#facts.restartCount += 1;
    }
  }

  async #runOnce(): Promise<ContainerExit> {
    const { clock, guard, output, place, baseEnv } = this.#options;
    const env = containerEnv(this.#pod, this.#container, place, baseEnv);
    let process: ContainerProcess;
    try {
      const cwd = this.#container.workingDir;
      process = await ContainerProcess.start({ argv: containerArgv(this.#container, env), env, cwd, guard, output });
    } catch (error) {
      // a log file that cannot be opened, an argument with a zero byte
      return { exitCode: 128, reason: "StartError", message: errorText(error) };
    }
    this.#process = process;
    // deleted while the process was being made
    if (this.#terminating) this.#signal();
    if (process.pid !== undefined) {
      const { startupProbe, readinessProbe } = this.#container;
      this.#facts.started = startupProbe === undefined;
      this.#facts.ready = readinessProbe === undefined;
      this.#setState({ kind: "running", startedAt: clock.now(), pid: process.pid });
      this.#probes = new ContainerProbes({
        container: this.#container,
        place,
        clock,
        exec: (command, signal) => this.#exec(command, env, signal),
        onStarted: () => {
          this.#facts.started = true;
          this.#changed();
        },
        onReadiness: (ready) => {
          if (ready === this.#facts.ready) return;
          this.#facts.ready = ready;
          this.#changed();
        },
        onUnhealthy: (probe, message) => this.#kill(process, probe, message),
      });
      this.#probes.start();
      if (this.#terminating) this.#probes.readinessOnly();
    }
    const exit = await process.exited;
    this.#process = undefined;
    this.#probes?.close();
    return exit;
  }

  #restarts(exit: ContainerExit): boolean {
    const policy = this.#pod.spec.restartPolicy ?? "Always";
    return policy === "Always" || (policy === "OnFailure" && exit.exitCode !== 0);
  }

  /** The first restart comes at once; from the second on the container waits in CrashLoopBackOff. */
  async #waitForRestart(finished: Extract<ContainerState, { kind: "terminated" }>): Promise<void> {
    const delayMs = this.#backoff.next(finished.finishedAt - finished.startedAt);
    this.#facts.started = false;
    this.#facts.ready = false;
    if (delayMs === 0) return this.#setState(finished);
    const { name } = this.#container;
    this.#facts.last = finished;
    const message = `back-off ${delayMs / 1000}s restarting failed container=${name} pod=${this.#pod.metadata.name}`;
    this.#setState({ kind: "waiting", reason: "CrashLoopBackOff", message });
    await new Promise<void>((resolve) => {
      this.#wakeUp = resolve;
      this.#restartTimer = this.#options.clock.after(delayMs, resolve);
    });
    this.#wakeUp = undefined;
  }

  async #exec(argv: readonly string[], env: Record<string, string>, signal: AbortSignal): Promise<boolean> {
    const { guard } = this.#options;
    const process = await ContainerProcess.start({ argv, env, cwd: this.#container.workingDir, guard });
    const onAbort = () => process.kill();
    signal.addEventListener("abort", onAbort, { once: true });
    if (signal.aborted) onAbort();
    const { exitCode } = await process.exited;
    signal.removeEventListener("abort", onAbort);
    return exitCode === 0 && !signal.aborted;
  }

  #kill(process: ContainerProcess, probe: "startup" | "liveness", message: string): void {
    const { name, namespace } = this.#pod.metadata;
    this.#options.logger.info(
      { namespace, pod: name, reason: `${probe}-probe`, error: message },
      "container is killed",
    );
    const grace = (this.#pod.spec.terminationGracePeriodSeconds ?? 30) * 1000;
    process.terminate();
    const timer = this.#options.clock.after(grace, () => process.kill());
    void process.exited.then(() => timer.cancel());
  }

  #terminate(graceSeconds: number): void {
    const killAt = this.#options.clock.monotonic() + graceSeconds * 1000;
    // a second deletion can only shorten the grace
    if (killAt >= this.#killAt) return;
    this.#killAt = killAt;
    const first = !this.#terminating;
    this.#terminating = true;
    this.#probes?.readinessOnly();
    this.#restartTimer?.cancel();
    this.#wakeUp?.();
    if (this.#process !== undefined) this.#signal();
    // a pod whose container never ran, and never will
    else if (first && this.#facts.state.kind === "waiting" && this.#facts.state.reason === "ErrImageNeverPull") {
      this.#running = this.#finishWith({ exitCode: 0, reason: "Completed" }, this.#options.clock.now());
    } else if (first && this.#facts.over) this.#running = this.#finish();
  }

  #signal(): void {
    const process = this.#process;
    if (process === undefined) return;
    this.#killTimer?.cancel();
    const leftMs = this.#killAt - this.#options.clock.monotonic();
    if (leftMs <= 0) process.kill();
    else {
      process.terminate();
      this.#killTimer = this.#options.clock.after(leftMs, () => process.kill());
    }
  }

  async #finishWith(exit: ContainerExit, startedAt: number): Promise<void> {
    this.#killTimer?.cancel();
    this.#facts.over = true;
    this.#facts.started = false;
    this.#facts.ready = false;
    this.#setState({ kind: "terminated", startedAt, finishedAt: this.#options.clock.now(), exit });
    if (this.#terminating) await this.#finish();
  }

  async #finish(): Promise<void> {
    if (this.#removed) return;
    await this.#write();
    await this.#options.finish();
  }

  #setState(state: ContainerState): void {
    this.#facts.state = state;
    this.#changed();
  }

  #changed(): void {
    void this.#write();
  }

  /** Resolves when a status at least as new as the present facts is written. Changes during a write become one more write. */
  #write(): Promise<void> {
    this.#dirty = true;
    this.#writing ??= this.#writeUntilClean().finally(() => {
      this.#writing = undefined;
    });
    return this.#writing;
  }

  async #writeUntilClean(): Promise<void> {
    while (this.#dirty && !this.#removed) {
      this.#dirty = false;
      const status = podStatus(this.#pod, this.#facts, this.#options.clock.now(), this.#written);
      this.#written = status.conditions ?? [];
      try {
        await this.#options.writeStatus(status);
      } catch (error) {
        const { name, namespace } = this.#pod.metadata;
        this.#options.logger.warn({ namespace, pod: name, error: errorText(error) }, "pod status could not be written");
      }
    }
  }
}

/** The readiness gates' conditions as text, to see a change. */
function gateStates({ spec, status }: Pod): string {
  return (spec.readinessGates ?? [])
    .map(({ conditionType }) => status?.conditions?.find(({ type }) => type === conditionType)?.status ?? "")
    .join();
}
