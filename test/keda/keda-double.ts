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

/** A write of the double to a target. */
export interface KedaWrite {
  readonly name: string;
  readonly from: number;
  readonly to: number;
  readonly why: "paused-replicas" | "activated" | "deactivated" | "minimum" | "hpa";
}

type Stored = ScaledObject & {
  spec: { maxReplicaCount?: number; cooldownPeriod?: number };
  status?: { conditions?: { type: string; status: string }[] };
};

interface Loop {
  timer: NodeJS.Timeout | undefined;
  /** Its HPA exists, so that from one replica up there are bounds. */
  hpa: boolean;
  lastActiveAtMs: number | undefined;
  tail: Promise<void>;
}

/**
 * What KEDA's operator does to targets, by the rules of its 2.21: a pause of either kind ends its loop and its HPA;
 * `paused-replicas` is a scale to that number once per change; otherwise every round scales from zero when active, to zero when
 * idle for longer than the cooldown (at once where it was never active), and its HPA holds the bounds from one replica up. It
 * follows changes of ScaledObjects, not of their targets, and writes their status, as the operator does.
 */
export class KedaDouble {
  readonly writes: KedaWrite[] = [];
  readonly #client: KubeClient;
  readonly #objects: Reflector<Stored>;
  readonly #loops = new Map<string, Loop>();
  readonly #active = new Set<string>();
  readonly #pollMs: number;
  #closed = false;

  private constructor(client: KubeClient, pollMs: number) {
    this.#client = client;
    this.#pollMs = pollMs;
    const options = { client, resource: resources.scaledObjects, logger: silentLogger, clock: systemClock };
    this.#objects = new Reflector<Stored>(options);
  }

  /** @param pollMs stands for every pollingInterval */
  static async start(client: KubeClient, pollMs = 100): Promise<KedaDouble> {
    const double = new KedaDouble(client, pollMs);
    double.#objects.store.on("change", ({ type, object }) => {
      const { name } = object.metadata;
      if (type === "deleted") double.#stop(name);
      else double.#enqueue(name, () => double.#reconcile(name));
    });
    await double.#objects.start();
    return double;
  }

  /** Whether the triggers of a ScaledObject are active from now on; they are idle at first. */
  setActive(name: string, active: boolean): void {
    if (active) this.#active.add(name);
    else this.#active.delete(name);
  }

  /** Its loop has ended. */
  isPaused(name: string): boolean {
    return this.#loops.get(name)?.timer === undefined;
  }

  async close(): Promise<void> {
    this.#closed = true;
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

  /** One after another for each ScaledObject; a conflict or a target that is gone is for the next round. */
  #enqueue(name: string, work: () => Promise<void>): void {
    const loop = this.#loopOf(name);
    loop.tail = loop.tail.then(async () => {
      if (this.#closed) return;
      await work().catch((error) => {
        if (!isConflict(error) && !isNotFound(error) && !this.#closed) throw new Error(errorText(error));
      });
    });
  }

  async #reconcile(name: string): Promise<void> {
    const object = this.#objects.store.get("default", name);
    if (object === undefined) return;
    const { annotations = {} } = object.metadata;
    const count = annotations[PAUSED_REPLICAS];
    const paused = count !== undefined || isOn(annotations[PAUSED]);
    await this.#setCondition(object, paused);
    if (!paused) {
      const loop = this.#loopOf(name);
      loop.hpa = true;
      if (loop.timer !== undefined) return;
      loop.timer = setInterval(() => this.#enqueue(name, () => this.#round(name)), this.#pollMs);
      await this.#round(name);
      return;
    }
    this.#stop(name);
    if (count !== undefined) await this.#scale(object, Number(count), "paused-replicas");
  }

  async #round(name: string): Promise<void> {
    const object = this.#objects.store.get("default", name);
    const loop = this.#loopOf(name);
    if (object === undefined || loop.timer === undefined) return;
    const { annotations = {} } = object.metadata;
    // the loop asks again, whatever its controller has made of it
    if (annotations[PAUSED_REPLICAS] !== undefined || isOn(annotations[PAUSED])) return;
    const { minReplicaCount = 0, maxReplicaCount = 100, idleReplicaCount, cooldownPeriod = 300 } = object.spec;
    const { replicas } = await this.#replicas(object);
    if (this.#active.has(name) || isOn(annotations[FORCE_ACTIVATION])) {
      if (replicas === 0 || (idleReplicaCount !== undefined && replicas < minReplicaCount))
        await this.#scale(object, Math.max(1, minReplicaCount), "activated");
      loop.lastActiveAtMs = Date.now();
    } else if (replicas > 0 && (minReplicaCount === 0 || idleReplicaCount === 0)) {
      const since = loop.lastActiveAtMs;
      if (since === undefined || Date.now() - since > cooldownPeriod * 1_000)
        await this.#scale(object, idleReplicaCount ?? minReplicaCount, "deactivated");
    } else if (idleReplicaCount === undefined && replicas < minReplicaCount) {
      await this.#scale(object, minReplicaCount, "minimum");
    }
    const now = (await this.#replicas(object)).replicas;
    const bounded = Math.min(maxReplicaCount, Math.max(1, minReplicaCount, now));
    if (loop.hpa && now > 0 && bounded !== now) await this.#scale(object, bounded, "hpa");
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

  async #setCondition(object: Stored, paused: boolean): Promise<void> {
    const status = paused ? "True" : "False";
    if (object.status?.conditions?.[0]?.status === status) return;
    await this.#client.patch(
      resources.scaledObjects,
      object.metadata.namespace,
      object.metadata.name,
      "merge",
      { status: { conditions: [{ type: "Paused", status }] } },
      { subresource: "status", fieldManager: "keda" },
    );
  }
}
