import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { silentLogger, systemClock } from "@elasti/core";
import {
  type Deployment,
  isNotFound,
  type KubeClient,
  type KubeObject,
  Reflector,
  type Resource,
  resources,
  type ScaledObject,
} from "@elasti/kube";
import { FORCE_ACTIVATION, PAUSED, PAUSED_REPLICAS } from "@elasti/scaling";
import { deployment } from "../contract/objects.ts";
import { createScaledObject, type ScaledObjectSpec } from "./definition.ts";
import type { Trigger, Triggers } from "./triggers.ts";

/** A KEDA and its cluster, the real operator or its double. */
export interface KedaGround {
  readonly client: KubeClient;
  readonly triggers: Triggers;
  triggerOf(name: string): Trigger;
  /** Ends KEDA and starts it anew. */
  restart(): Promise<void>;
}

const namespace = "default";

/** How long one thing that KEDA does may take: its HPA is looked at every 15 s. */
const patienceMs = 60_000;

interface Start {
  readonly replicas: number;
  readonly spec?: ScaledObjectSpec;
  readonly annotations?: Record<string, string>;
  readonly active?: boolean;
}

/** A Deployment without pods, which a ScaledObject of the same name scales. */
class Target {
  readonly #ground: KedaGround;
  readonly name: string;

  constructor(ground: KedaGround, name: string) {
    this.#ground = ground;
    this.name = name;
  }

  static async create(ground: KedaGround, name: string, start: Start): Promise<Target> {
    const { client, triggers } = ground;
    const { replicas, spec, annotations = {}, active = false } = start;
    triggers.setActive(name, active);
    await client.create<Deployment>(resources.deployments, deployment(namespace, name, replicas));
    const triggersOf = [ground.triggerOf(name)];
    await createScaledObject(client, name, { pollingInterval: 1, triggers: triggersOf, ...spec }, annotations);
    return new Target(ground, name);
  }

  async replicas(): Promise<number> {
    const { spec } = await this.#ground.client.get<Deployment>(resources.deployments, namespace, this.name);
    return spec.replicas ?? 0;
  }

  /** By hand. */
  async scale(replicas: number): Promise<void> {
    const body = { spec: { replicas } };
    const options = { subresource: "scale" };
    await this.#ground.client.patch(resources.deployments, namespace, this.name, "merge", body, options);
  }

  async annotate(annotations: Record<string, string | null>): Promise<void> {
    await this.#ground.client.patch(resources.scaledObjects, namespace, this.name, "merge", {
      metadata: { annotations },
    });
  }

  setActive(active: boolean): void {
    this.#ground.triggers.setActive(this.name, active);
  }

  /** Resolves when KEDA has looked at it and done what it does. */
  rounds(): Promise<void> {
    return this.#ground.triggers.rounds(this.name);
  }

  /** How often KEDA has asked its trigger. */
  asked(): number {
    return this.#ground.triggers.asked(this.name);
  }

  async reaches(replicas: number): Promise<void> {
    await this.#until<Deployment>(
      `${replicas} replicas`,
      resources.deployments,
      ({ spec }) => (spec.replicas ?? 0) === replicas,
    );
  }

  /** Resolves when KEDA says that it is paused, or that it is not. */
  async isPaused(wanted = true): Promise<void> {
    type Seen = ScaledObject & { status?: { conditions?: { type: string; status: string }[] } };
    await this.#until<Seen>(`paused: ${wanted}`, resources.scaledObjects, ({ status }) =>
      (status?.conditions ?? []).some(
        ({ type, status: is }) => type === "Paused" && is === (wanted ? "True" : "False"),
      ),
    );
  }

  async remove(): Promise<void> {
    for (const resource of [resources.scaledObjects, resources.deployments])
      await this.#ground.client.delete(resource, namespace, this.name).catch((error) => {
        if (!isNotFound(error)) throw error;
      });
  }

  async #until<T extends KubeObject>(what: string, resource: Resource, fits: (object: T) => boolean): Promise<void> {
    const { client } = this.#ground;
    const options = { client, resource, namespace, fieldSelector: `metadata.name=${this.name}` };
    const reflector = new Reflector<T>({ ...options, logger: silentLogger, clock: systemClock });
    try {
      await reflector.start();
      const look = () => reflector.store.list().some(fits) || undefined;
      await reflector.store.until(look, AbortSignal.timeout(patienceMs));
    } catch (error) {
      throw new Error(`${this.name}: not seen: ${what}; ${JSON.stringify(reflector.store.list())}`, { cause: error });
    } finally {
      await reflector.close();
    }
  }
}

/** What of KEDA Elasti and its tests count on. The real operator is held to it, and so is the double that stands in for it. */
export function describeKeda(what: string, ground: () => KedaGround): void {
  describe(what, () => {
    const targets: Target[] = [];
    const create = async (name: string, start: Start) => {
      const target = await Target.create(ground(), `keda-${name}`, start);
      targets.push(target);
      return target;
    };
    /** By its rounds KEDA's time is told where nothing is to happen. */
    let clock: Target;
    before(async () => {
      clock = await create("clock", { replicas: 1, spec: { minReplicaCount: 1 } });
    });
    after(async () => {
      for (const target of targets) await target.remove();
    });
    /** Replicas once KEDA has had the time to change them. */
    const settled = async (target: Target) => {
      await clock.rounds();
      return await target.replicas();
    };

    describe("of a ScaledObject", { concurrency: 6 }, () => {
      it("takes an idle target to a minimum of zero at once where it was never active", async () => {
        const target = await create("never", { replicas: 3, spec: { minReplicaCount: 0 } });
        await target.reaches(0);
        await target.rounds();
        assert.equal(await target.replicas(), 0);
      });

      it("waits the initialCooldownPeriod of a ScaledObject that was never active", async () => {
        const madeAt = performance.now();
        const target = await create("initial", { replicas: 1, spec: { minReplicaCount: 0, initialCooldownPeriod: 5 } });
        await target.rounds();
        await target.reaches(0);
        assert.ok(performance.now() - madeAt > 3_500);
      });

      it("takes an idle target to zero a cooldown after it was last active", async () => {
        const spec = { minReplicaCount: 0, cooldownPeriod: 4 };
        const target = await create("cooldown", { replicas: 0, spec, active: true });
        await target.reaches(1);
        await target.rounds();
        target.setActive(false);
        const idleAt = performance.now();
        await target.reaches(0);
        // when it was last active, up to a round before, KEDA notes by the second
        assert.ok(performance.now() - idleAt > 1_500);
      });

      it("scales an active target from zero to its minimum, to one at least, and leaves it there", async () => {
        const one = await create("active-0", { replicas: 0, spec: { minReplicaCount: 0 }, active: true });
        const two = await create("active-2", { replicas: 0, spec: { minReplicaCount: 2 }, active: true });
        await Promise.all([one.reaches(1), two.reaches(2)]);
        await one.scale(3);
        await one.rounds();
        assert.equal(await one.replicas(), 3);
      });

      it("raises an idle target to its minimum, from zero too", async () => {
        const target = await create("minimum", { replicas: 0, spec: { minReplicaCount: 2 } });
        await target.reaches(2);
      });

      it("takes an idle target to its idleReplicaCount, and an active one from there to its minimum", async () => {
        const spec = { minReplicaCount: 2, idleReplicaCount: 0, cooldownPeriod: 1 };
        const target = await create("idle-count", { replicas: 2, spec });
        await target.reaches(0);
        target.setActive(true);
        await target.reaches(2);
        target.setActive(false);
        await target.reaches(0);
      });

      it("keeps the replicas under its HPA's bounds", async () => {
        const target = await create("bounds", { replicas: 2, spec: { minReplicaCount: 2, maxReplicaCount: 4 } });
        await target.rounds();
        await target.scale(6);
        await target.reaches(4);
      });

      it("neither scales nor asks while it is paused, whatever the replicas are", async () => {
        const idle = await create("paused-idle", { replicas: 3, annotations: { [PAUSED]: "true" } });
        const active = await create("paused-active", { replicas: 0, annotations: { [PAUSED]: "true" }, active: true });
        await Promise.all([idle.isPaused(), active.isPaused()]);
        // it says so before it stops
        await clock.rounds();
        const asked = [idle.asked(), active.asked()];
        assert.equal(await settled(idle), 3);
        assert.equal(await active.replicas(), 0);
        assert.deepEqual([idle.asked(), active.asked()], asked);
        // as if it had never been there
        await idle.annotate({ [PAUSED]: "false" });
        await idle.reaches(0);
        await active.annotate({ [PAUSED]: null });
        await active.reaches(1);
      });

      it("stops in the middle of things when it is paused", async () => {
        const target = await create("stopped", { replicas: 1, spec: { minReplicaCount: 1 }, active: true });
        await target.rounds();
        await target.annotate({ [PAUSED]: "true" });
        await target.isPaused();
        await clock.rounds();
        const asked = target.asked();
        await target.scale(0);
        assert.equal(await settled(target), 0);
        assert.equal(target.asked(), asked);
      });

      it("scales once to the number that it is paused at, and again only when it is told something else", async () => {
        const target = await create("pinned", { replicas: 3, annotations: { [PAUSED_REPLICAS]: "1" } });
        await target.reaches(1);
        await target.isPaused();
        await clock.rounds();
        await target.scale(4);
        // what is none of its business is not looked at either
        await target.annotate({ "example.com/note": "mine" });
        assert.equal(await settled(target), 4);
        await target.annotate({ [PAUSED]: "true" });
        await target.reaches(1);
        await target.annotate({ [PAUSED_REPLICAS]: null });
        await target.scale(2);
        assert.equal(await settled(target), 2);
      });

      it("leaves an idle target awake whose activation is forced as its pause ends, until it is forced no more", async () => {
        const spec = { minReplicaCount: 0, cooldownPeriod: 1 };
        const target = await create("forced", { replicas: 1, spec, annotations: { [PAUSED]: "true" } });
        await target.isPaused();
        await target.annotate({ [PAUSED]: null, [FORCE_ACTIVATION]: "true" });
        await target.isPaused(false);
        await target.rounds();
        assert.equal(await target.replicas(), 1);
        await target.scale(2);
        await target.rounds();
        assert.equal(await target.replicas(), 2);
        await target.annotate({ [FORCE_ACTIVATION]: null });
        await target.reaches(0);
      });

      it("counts the cooldown from the last round in which activation was forced", async () => {
        const spec = { minReplicaCount: 0, cooldownPeriod: 4 };
        const target = await create("forced-cooldown", {
          replicas: 1,
          spec,
          annotations: { [FORCE_ACTIVATION]: "true" },
        });
        await target.rounds();
        const releasedAt = performance.now();
        await target.annotate({ [FORCE_ACTIVATION]: null });
        await target.reaches(0);
        assert.ok(performance.now() - releasedAt > 1_500);
      });

      it("scales up a target at zero whose activation is forced", async () => {
        const target = await create("forced-up", { replicas: 0, spec: { minReplicaCount: 0 } });
        await target.rounds();
        await target.annotate({ [FORCE_ACTIVATION]: "true" });
        await target.reaches(1);
      });
    });

    it("holds a target at the number that it is paused at when it starts anew", async () => {
      const annotations = { [PAUSED]: "true", [PAUSED_REPLICAS]: "0" };
      const held = await create("held", { replicas: 0, annotations, active: true });
      const freed = await create("freed", { replicas: 0, annotations, active: true });
      await Promise.all([held.isPaused(), freed.isPaused()]);
      await clock.rounds();
      await freed.annotate({ [PAUSED_REPLICAS]: null });
      await Promise.all([held.scale(1), freed.scale(1)]);
      assert.equal(await settled(held), 1);
      await ground().restart();
      await held.reaches(0);
      assert.equal(await settled(freed), 1);
    });
  });
}
