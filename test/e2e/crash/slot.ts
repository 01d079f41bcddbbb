import type { ElastiServiceSpec } from "@elasti/api";
import { resources } from "@elasti/kube";
import { Traffic } from "../client.ts";
import { loadTrigger } from "../exporter.ts";
import { Sleeper } from "../sleeper.ts";
import type { World } from "../world.ts";
import type { Mode, Stage } from "./points.ts";
import type { PrometheusStandIn } from "./prometheus-stand-in.ts";

/** @param graceSeconds how long a node may take to follow a change of the Service */
function specOf(mode: Mode, name: string, graceSeconds: number): Partial<ElastiServiceSpec> {
  // without a trigger: by traffic, in mode Always
  if (mode === "Always") return { routing: { graceSeconds } };
  return { triggers: [loadTrigger(name)], routing: { mode, graceSeconds } };
}

/** In these the service is to fall asleep, so that its clients are quiet. */
export const sleepy = (stage: Stage): boolean => stage === "sleep" || stage === "sleep again";

/** One service, its clients, and the life it goes through. */
export class Slot {
  readonly name: string;
  readonly mode: Mode;
  readonly failures: string[] = [];
  answered = 0;
  readonly #world: World;
  readonly #prometheus: PrometheusStandIn;
  readonly #sleeper: Sleeper;
  #traffic: Traffic | undefined;

  private constructor(
    name: string,
    mode: Mode,
    parts: { world: World; prometheus: PrometheusStandIn; sleeper: Sleeper },
  ) {
    this.name = name;
    this.mode = mode;
    this.#world = parts.world;
    this.#prometheus = parts.prometheus;
    this.#sleeper = parts.sleeper;
  }

  /** A target that is up, with a Service, and nothing of Elasti's yet. */
  static async start(name: string, mode: Mode, parts: { world: World; prometheus: PrometheusStandIn }): Promise<Slot> {
    const { world } = parts;
    const sleeper = new Sleeper(world, await world.app({ name, replicas: 1 }));
    await world.backends(sleeper, (ports) => ports.length > 0);
    return new Slot(name, mode, { ...parts, sleeper });
  }

  /** Sets off what an undisturbed run does in this stage. */
  async begin(stage: Stage): Promise<void> {
    switch (stage) {
      case "create": {
        this.#prometheus.set(this.name, 1);
        this.ask();
        // the nodes of the embedded cluster follow at once, those of a real one do not
        const graceSeconds = this.#world.real === undefined ? 0 : 1;
        const spec = {
          service: this.name,
          scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: this.name },
          // resolvers report once a second
          cooldownPeriod: this.mode === "Always" ? 2 : 1,
        };
        await this.#world.elastiService(this.name, { ...spec, ...specOf(this.mode, this.name, graceSeconds) });
        return;
      }
      case "sleep":
      case "sleep again":
        await this.quiet();
        this.#prometheus.set(this.name, 0);
        return;
      case "wake":
        this.#prometheus.set(this.name, 1);
        this.ask();
        return;
      case "delete":
        await this.#sleeper.delete();
        return;
    }
  }

  /** Requests from now on, each sent once. */
  ask(): void {
    this.#traffic ??= new Traffic(() => this.#sleeper.ask(), 250);
  }

  /** No further request; waits for the answers. */
  async quiet(): Promise<void> {
    const traffic = this.#traffic;
    this.#traffic = undefined;
    if (traffic === undefined) return;
    const { failures, answers } = await traffic.stop();
    this.failures.push(...failures);
    this.failures.push(
      ...answers.filter(({ status, pod }) => status === 200 && pod === undefined).map(() => "not the app's"),
    );
    this.answered += answers.length;
  }

  /** Takes target and Service away. */
  async remove(): Promise<void> {
    await this.quiet();
    await this.#world.client.delete(resources.deployments, "default", this.name);
    await this.#world.client.delete(resources.services, "default", this.name);
  }
}
