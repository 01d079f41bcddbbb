import { isDeepStrictEqual } from "node:util";
import { errorText, silentLogger, systemClock } from "@elasti/core";
import {
  isConflict,
  isNotFound,
  type KubeClient,
  Reflector,
  resources,
  type Scale,
  type ScaledObject,
} from "@elasti/kube";
import { FORCE_ACTIVATION, isOn, PAUSED, PAUSED_REPLICAS } from "@elasti/scaling";
import { Triggers } from "./triggers.ts";

/** A write of the double to a target. */
export interface KedaWrite {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly why: "paused-replicas" | "activated" | "deactivated" | "minimum" | "hpa";
}

type Stored = ScaledObject & {
  spec: { cooldownPeriod?: number; initialCooldownPeriod?: number };
  status?: { conditions?: { type: string; status: string }[]; lastActiveTime?: string };
};

interface Loop {
  timer: NodeJS.Timeout | undefined;
  /** Its HPA exists, so that from one replica up there are bounds. */
  hpa: boolean;
  lastActiveAtMs: number | undefined;
  tail: Promise<void>;
}

/** Annotations of which a change makes KEDA look at a ScaledObject. */
const heeded = [
  PAUSED,
  PAUSED_REPLICAS,
  FORCE_ACTIVATION,
  "autoscaling.keda.sh/paused-scale-in",
  "autoscaling.keda.sh/paused-scale-out",
];

/**
 * What KEDA's operator does to targets, by the rules of its 2.21, to which `contract.ts` holds both: a pause of either kind ends
 * its loop and its HPA; `paused-replicas` is a scale to that number whenever KEDA looks at the ScaledObject; otherwise every round
 * scales from zero when active, to zero when idle for longer than the cooldown (at once where it was never active), and its HPA holds
 * the bounds from one replica up. It looks when the spec or an annotation of its own has changed, and when it starts (the real one
 * also when its HPA comes or goes, which changes nothing); never because of the target. It writes the ScaledObject's status, as the
 * operator does: the pause, and by the second when it was last active.
 */
export class KedaDouble {
  readonly triggers: Triggers;
  readonly writes: KedaWrite[] = [];
  readonly #client: KubeClient;
  readonly #objects: Reflector<Stored>;
  readonly #loops = new Map<string, Loop>();
  readonly #retries = new Set<NodeJS.Timeout>();
  readonly #pollMs: number;
  #closed = false;

  private constructor(client: KubeClient, pollMs: number, triggers: Triggers) {
    this.#client = client;
    this.#pollMs = pollMs;
    this.triggers = triggers;
    const options = { client, resource: resources.scaledObjects, logger: silentLogger, clock: systemClock };
    this.#objects = new Reflector<Stored>(options);
  }

  /** @param pollMs stands for every pollingInterval */
  static async start(client: KubeClient, pollMs = 100, triggers = new Triggers()): Promise<KedaDouble> {
    const double = new KedaDouble(client, pollMs, triggers);
    double.#objects.store.on("change", (event) => {
      const { name } = event.object.metadata;
      if (event.type === "deleted") double.#stop(name);
      else if (event.type !== "modified" || isHeeded(event.old, event.object)) double.#look(name);
    });
    await double.#objects.start();
    return double;
  }

  /** Whether the triggers of a ScaledObject are active from now on; they are idle at first. */
  setActive(name: string, active: boolean): void {
    this.triggers.setActive(name, active);
  }

  /**
   * Resolves once it has seen annotations that fit, and done what comes of them: until then it may still scale by what it saw
   * before, as the real one may.
   */
  async settled(name: string, fits: (annotations: Record<string, string>) => boolean): Promise<void> {
    const seen = () => fits(this.#objects.store.get("default", name)?.metadata.annotations ?? {}) || undefined;
    await this.#objects.store.until(seen, AbortSignal.timeout(30_000));
    await this.#loopOf(name).tail;
  }

  async close(): Promise<void> {
    this.#closed = true;
    for (const timer of this.#retries) clearTimeout(timer);
    for (const name of this.#loops.keys()) this.#stop(name);
    await this.#objects.close();
    await Promise.all([...this.#loops.values()].map(({ tail }) => tail));
  }

  #loopOf(name: string): Loop {
    let loop = this.#loops.get(name);
    if (loop === undefined) {
      loop = { timer: undefined, hpa: false, lastActiveAtMs: undefined, tail: Promise.resolve() };
      this.#loops.set(name, loop);
    }
    return loop;
  }

  #stop(name: string): void {
    const loop = this.#loopOf(name);
    clearInterval(loop.timer);
    loop.timer = undefined;
    loop.hpa = false;
  }

  /** What fails, because somebody else was faster or the target is gone, is tried again, on what there is then. */
  #look(name: string): void {
    this.#enqueue(name, () => this.#reconcile(name)).catch(() => {
      if (this.#closed) return;
      const timer = setTimeout(() => {
        this.#retries.delete(timer);
        this.#look(name);
      }, this.#pollMs);
      this.#retries.add(timer);
    });
  }

  /** One after another for each ScaledObject. @throws a conflict, or that the target is gone */
  #enqueue(name: string, work: () => Promise<void>): Promise<void> {
    const loop = this.#loopOf(name);
    const done = loop.tail.then(async () => {
      if (!this.#closed) await work();
    });
    loop.tail = done.catch((error) => {
      if (!isConflict(error) && !isNotFound(error) && !this.#closed) throw new Error(errorText(error));
    });
    return done;
  }

  async #reconcile(name: string): Promise<void> {
    const object = this.#objects.store.get("default", name);
    if (object === undefined) return;
    const { annotations = {} } = object.metadata;
    const count = annotations[PAUSED_REPLICAS];
    const paused = count !== undefined || isOn(annotations[PAUSED]);
    await this.#setPaused(object, paused);
    if (!paused) {
      const loop = this.#loopOf(name);
      loop.hpa = true;
      if (loop.timer !== undefined) return;
      const round = () => this.#enqueue(name, () => this.#round(name)).catch(() => {});
      loop.timer = setInterval(round, this.#pollMs);
      void round();
      return;
    }
    this.#stop(name);
    if (count !== undefined) await this.#scale(object, Number(count), "paused-replicas");
  }

  async #round(name: string): Promise<void> {
    const object = this.#objects.store.get("default", name);
    const loop = this.#loopOf(name);
    if (object === undefined || loop.timer === undefined) return;
    const active = this.triggers.ask(name);
    const { annotations = {} } = object.metadata;
    // the loop asks again, whatever its controller has made of it
    if (annotations[PAUSED_REPLICAS] !== undefined || isOn(annotations[PAUSED])) return;
    const { minReplicaCount = 0, maxReplicaCount = 100, idleReplicaCount } = object.spec;
    const { replicas } = await this.#replicas(object);
    if (active || isOn(annotations[FORCE_ACTIVATION])) {
      if (replicas === 0 || (idleReplicaCount !== undefined && replicas < minReplicaCount))
        await this.#scale(object, Math.max(1, minReplicaCount), "activated");
      await this.#noteActive(object, loop);
    } else if (replicas > 0 && (minReplicaCount === 0 || idleReplicaCount === 0)) {
      if (Date.now() > this.#cooledDownAtMs(object))
        await this.#scale(object, idleReplicaCount ?? minReplicaCount, "deactivated");
    } else if (idleReplicaCount === undefined && replicas < minReplicaCount) {
      await this.#scale(object, minReplicaCount, "minimum");
    }
    const now = (await this.#replicas(object)).replicas;
    const bounded = Math.min(maxReplicaCount, Math.max(1, minReplicaCount, now));
    if (loop.hpa && now > 0 && bounded !== now) await this.#scale(object, bounded, "hpa");
  }

  /** An idle target may go to zero from then on. */
  #cooledDownAtMs({ metadata, spec, status }: Stored): number {
    const { cooldownPeriod = 300, initialCooldownPeriod = 0 } = spec;
    const activeAt = this.#loopOf(metadata.name).lastActiveAtMs ?? Date.parse(status?.lastActiveTime ?? "");
    if (!Number.isNaN(activeAt)) return activeAt + cooldownPeriod * 1_000;
    return Date.parse(metadata.creationTimestamp ?? "") + initialCooldownPeriod * 1_000;
  }

  async #replicas({ metadata, spec }: Stored): Promise<{ replicas: number; scale: Scale }> {
    const scale = await this.#client.get<Scale>(resources.deployments, metadata.namespace, spec.scaleTargetRef.name, {
      subresource: "scale",
    });
    return { replicas: scale.spec.replicas ?? 0, scale };
  }

  async #scale(object: Stored, to: number, why: KedaWrite["why"]): Promise<void> {
    const { replicas: from, scale } = await this.#replicas(object);
    if (from === to) return;
    await this.#client.replace(
      resources.deployments,
      { ...scale, spec: { replicas: to } },
      { subresource: "scale", fieldManager: "keda" },
    );
    this.writes.push({ name: object.metadata.name, from, to, why });
  }

  async #noteActive(object: Stored, loop: Loop): Promise<void> {
    const now = Math.floor(Date.now() / 1_000) * 1_000;
    if (loop.lastActiveAtMs === now) return;
    loop.lastActiveAtMs = now;
    await this.#writeStatus(object, { lastActiveTime: new Date(now).toISOString() });
  }

  async #setPaused(object: Stored, paused: boolean): Promise<void> {
    const status = paused ? "True" : "False";
    if (object.status?.conditions?.[0]?.status === status) return;
    await this.#writeStatus(object, { conditions: [{ type: "Paused", status }] });
  }

  async #writeStatus({ metadata }: Stored, status: Stored["status"]): Promise<void> {
    const options = { subresource: "status", fieldManager: "keda" };
    const { namespace, name } = metadata;
    await this.#client.patch(resources.scaledObjects, namespace, name, "merge", { status }, options);
  }
}

function isHeeded(before: Stored, now: Stored): boolean {
  const { annotations: former = {} } = before.metadata;
  const { annotations = {} } = now.metadata;
  return heeded.some((key) => former[key] !== annotations[key]) || !isDeepStrictEqual(before.spec, now.spec);
}
