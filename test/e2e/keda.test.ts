import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Deployment, resources, type ScaledObject } from "@elasti/kube";
import { FORCE_ACTIVATION, PAUSED, PAUSED_REPLICAS, RECORD } from "@elasti/scaling";
import {
  createScaledObject,
  installScaledObjects,
  removeScaledObjects,
  type ScaledObjectSpec,
} from "../keda/definition.ts";
import { KedaDouble } from "../keda/keda-double.ts";
import type { Sleeper } from "./sleeper.ts";
import { OPERATOR, startWorld, type World } from "./world.ts";

const quick = { routing: { graceSeconds: 0 } };

let world: World;

const annotations = async (name: string) =>
  (await world.client.get<ScaledObject>(resources.scaledObjects, "default", name)).metadata.annotations ?? {};
/** Resolves once its annotations are as asked. */
const until = (what: string, name: string, fits: (annotations: Record<string, string>) => boolean) =>
  world.until<ScaledObject, true>(what, resources.scaledObjects, "default", name, (object) =>
    object !== undefined && fits(object.metadata.annotations ?? {}) ? true : undefined,
  );
/** A target that is awake, with a ScaledObject that names it, and may sleep from now on. */
async function scaled(
  name: string,
  { replicas = 1, ...spec }: ScaledObjectSpec & { replicas?: number },
  own: Record<string, string> = {},
): Promise<Sleeper> {
  const sleeper = await world.sleeper({ name, replicas, spec: quick });
  await createScaledObject(world.client, name, spec, own);
  await world.client.patch(resources.elastiServices, "default", name, "merge", { spec: { cooldownPeriod: 1 } });
  return sleeper;
}
const held = (now: Record<string, string>) => now[PAUSED] === "true" && now[PAUSED_REPLICAS] === "0";

describe("a target that KEDA scales", { concurrency: 4 }, () => {
  let keda: KedaDouble;
  before(async () => {
    world = await startWorld({ operators: 2, resolvers: 1 });
    // Elasti has been there before KEDA
    await installScaledObjects(world.client, "2.21.0");
    keda = await KedaDouble.start(world.client);
  });
  after(async () => {
    await keda?.close();
    if (world !== undefined) await removeScaledObjects(world.client);
    await world?.close();
  });

  const writesTo = (wanted: string) =>
    keda.writes.filter(({ name }) => name === wanted).map(({ why, to }) => [why, to]);

  it("is left at zero while it sleeps, asked for its minimum by a wake, and given back at the end", async () => {
    const own = { [PAUSED]: "false", note: "mine" };
    const shop = await scaled("shop", { replicas: 2, minReplicaCount: 2, maxReplicaCount: 4 }, own);
    let epoch = 0;
    for (let cycle = 0; cycle < 2; cycle++) {
      await shop.sleeps({ after: epoch });
      await until("held at zero", "shop", held);
      epoch = await shop.epoch();
      await shop.condition("AutoscalerPaused", ({ status }) => status === "True");
      // its triggers would have it awake
      keda.setActive("shop", true);
      assert.equal((await shop.ask()).status, 200);
      await shop.reaches("Serving");
      await until("scaling again", "shop", (now) => now[PAUSED] === "false");
      assert.deepEqual(await annotations("shop"), own);
      assert.equal(await shop.replicas(), 2);
    }
    await shop.sleeps({ after: epoch });
    await until("held at zero", "shop", held);
    await shop.delete();
    await shop.isRestored();
    assert.deepEqual(await annotations("shop"), own);
    assert.deepEqual(writesTo("shop"), []);
  });

  it("is kept from taking an awake target to zero, until it is its own master again", async () => {
    const idle = await scaled("idle", { minReplicaCount: 0, cooldownPeriod: 1 }, { [PAUSED]: "true" });
    let epoch = 0;
    await until("kept awake", "idle", (now) => now[FORCE_ACTIVATION] === "true");
    // the person who paused it lets it go
    await world.client.patch(resources.scaledObjects, "default", "idle", "merge", {
      metadata: { annotations: { [PAUSED]: null } },
    });
    for (let cycle = 0; cycle < 2; cycle++) {
      await idle.sleeps({ after: epoch });
      await keda.settled("idle", held);
      epoch = await idle.epoch();
      // watched from before on: a second after the answer it may be falling asleep again
      const [answer] = await Promise.all([
        idle.ask(),
        idle.reaches("Serving"),
        until("scaling again", "idle", (now) => now[PAUSED] === undefined && now[FORCE_ACTIVATION] === "true"),
      ]);
      assert.equal(answer.status, 200);
    }
    assert.deepEqual(writesTo("idle"), []);
    await idle.sleeps({ after: epoch });
    await keda.settled("idle", held);
    await idle.delete();
    await idle.isRestored();
    assert.deepEqual(await annotations("idle"), {});
    await world.until<Deployment, true>(
      "taken to zero",
      resources.deployments,
      "default",
      "idle",
      (one) => one?.spec.replicas === 0,
    );
    assert.deepEqual(writesTo("idle"), [["deactivated", 0]]);
  });

  it("has its values back when the ElastiService is gone by force, and when it takes another target", async () => {
    const [forced, former] = await Promise.all([
      scaled("forced", { minReplicaCount: 1 }, { [PAUSED]: "false" }),
      scaled("former", { minReplicaCount: 1 }),
    ]);
    await Promise.all([until("held at zero", "forced", held), until("held at zero", "former", held)]);
    await world.client.patch(resources.elastiServices, "default", "forced", "merge", {
      metadata: { finalizers: null },
    });
    await forced.delete();
    await world.app({ name: "other", replicas: 1 });
    await world.client.patch(resources.elastiServices, "default", "former", "merge", {
      spec: { scaleTargetRef: { name: "other" } },
    });
    await until("restored", "forced", (now) => now[PAUSED] === "false" && now[PAUSED_REPLICAS] === undefined);
    await until("restored", "former", (now) => now[PAUSED] === undefined && now[RECORD] === undefined);
    assert.deepEqual(await annotations("forced"), { [PAUSED]: "false" });
    await former.delete();
  });

  it("is not put to zero where its user has pinned it", async () => {
    const pinned = await scaled("pinned", { minReplicaCount: 1 }, { [PAUSED_REPLICAS]: "1" });
    const idle = await pinned.condition("Idle", ({ reason }) => reason === "AutoscalerPinned");
    assert.match(idle.message, /ScaledObject pinned is paused at 1 replicas by its own annotation/);
    await world.client.delete(resources.scaledObjects, "default", "pinned");
    await pinned.sleeps();
  });
});

describe("a target that KEDA scales, while operators are killed", () => {
  let keda: KedaDouble;
  before(async () => {
    world = await startWorld({ operators: 1, resolvers: 1 });
    await installScaledObjects(world.client, "2.21.0");
    keda = await KedaDouble.start(world.client);
  });
  after(async () => {
    await keda?.close();
    if (world !== undefined) await removeScaledObjects(world.client);
    await world?.close();
  });

  it("has its values back though the operator was killed while it slept", async () => {
    const killed = await scaled("killed", { minReplicaCount: 0 }, { [FORCE_ACTIVATION]: "false" });
    await until("held at zero", "killed", held);
    const operators = await world.pods(OPERATOR);
    await Promise.all(operators.map(({ metadata }) => world.kill(metadata.name)));
    await Promise.all(operators.map(({ metadata }) => world.restarted(OPERATOR, metadata.name)));
    const [answer] = await Promise.all([killed.ask(), killed.reaches("Serving")]);
    assert.equal(answer.status, 200);
    await killed.delete();
    await killed.isRestored();
    assert.deepEqual(await annotations("killed"), { [FORCE_ACTIVATION]: "false" });
  });
});
