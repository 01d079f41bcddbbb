import type { Clock } from "@elasti/core";
import type { Container, Probe } from "@elasti/kube";
import type { PodPlace } from "./container-env.ts";
import { attemptProbe } from "./probe.ts";
import { Prober } from "./prober.ts";

export interface ContainerProbesOptions {
  container: Container;
  place: PodPlace;
  clock: Clock;
  /** Runs a command as the container would; true when it exits with 0. */
  exec(command: readonly string[], signal: AbortSignal): Promise<boolean>;
  onStarted(): void;
  onReadiness(ready: boolean): void;
  /** The container must be restarted. */
  onUnhealthy(probe: "startup" | "liveness", message: string): void;
}

/** The probes of one run of a container: the startup probe first and alone, then readiness and liveness. */
export class ContainerProbes {
  readonly #options: ContainerProbesOptions;
  readonly #startedAt: number;
  #health: Prober | undefined;
  #readiness: Prober | undefined;
  #readinessOnly = false;

  constructor(options: ContainerProbesOptions) {
    this.#options = options;
    this.#startedAt = options.clock.monotonic();
  }

  start(): void {
    const { container, onStarted, onUnhealthy } = this.#options;
    if (container.startupProbe === undefined) {
      this.#startOthers();
      return;
    }
    const prober = this.#prober(container.startupProbe, (ok, message) => {
      prober.close();
      if (!ok) onUnhealthy("startup", message);
      else {
        onStarted();
        this.#startOthers();
      }
    });
    this.#health = prober;
    prober.start();
  }

  /** A terminating pod is judged by its readiness alone. */
  readinessOnly(): void {
    this.#readinessOnly = true;
    this.#health?.close();
  }

  close(): void {
    this.#health?.close();
    this.#readiness?.close();
  }

  #startOthers(): void {
    const { container, onReadiness, onUnhealthy } = this.#options;
    if (container.readinessProbe !== undefined) {
      this.#readiness = this.#prober(container.readinessProbe, onReadiness);
      this.#readiness.start();
    }
    if (container.livenessProbe !== undefined && !this.#readinessOnly) {
      const prober = this.#prober(container.livenessProbe, (ok, message) => {
        if (ok) return;
        prober.close();
        onUnhealthy("liveness", message);
      });
      this.#health = prober;
      prober.start();
    }
  }

  #prober(probe: Probe, onOutcome: (ok: boolean, message: string) => void): Prober {
    const { container, place, clock, exec } = this.#options;
    const target = { podIP: place.podIP, nodeAddress: place.hostIP, container, exec };
    const attempt = (signal: AbortSignal) => attemptProbe(probe, target, signal);
    return new Prober({ probe, clock, startedAt: this.#startedAt, attempt, onOutcome });
  }
}
