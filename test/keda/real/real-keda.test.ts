import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type Deployment, type HorizontalPodAutoscaler, resources, type ScaledObject } from "@elasti/kube";
import { FORCE_ACTIVATION, PAUSED, PAUSED_REPLICAS, RECORD } from "@elasti/scaling";
import { PrometheusDouble } from "../../cluster/prometheus-double.ts";
import { loadTrigger } from "../../e2e/exporter.ts";
import type { Sleeper } from "../../e2e/sleeper.ts";
import { hostAddress, startWorld, type World } from "../../e2e/world.ts";
import { describeKeda, type KedaGround } from "../contract.ts";
import { createScaledObject, removeScaledObjects, type ScaledObjectSpec } from "../definition.ts";
import { type TriggerServer, Triggers } from "../triggers.ts";
import { RealKeda } from "./real-keda.ts";
import { WriteRecord } from "./write-record.ts";

/** An HPA is written by its own controller. */
const HPA_USER = "system:serviceaccount:kube-system:horizontal-pod-autoscaler";

type Stored = ScaledObject & {
  status?: { conditions?: { type: string; status: string }[]; pausedReplicaCount?: number };
};

let world: World;
let keda: RealKeda;
let prometheus: PrometheusDouble;
let server: TriggerServer;
const triggers = new Triggers();

before(async () => {
  prometheus = await PrometheusDouble.start();
  // Elasti has been there before KEDA
  world = await startWorld({
    operators: 2,
    resolvers: 1,
    prometheusUrl: prometheus.url,
    operatorEnv: { ELASTI_PROMETHEUS_ALLOWED_SERVERS: hostAddress },
  });
  keda = await RealKeda.start();
  server = await triggers.serve(hostAddress);
});
after(async () => {
  if (world !== undefined) await removeScaledObjects(world.client);
  await keda?.close();
  await server?.close();
  await world?.close();
  await prometheus?.close();
});

const ground = (): KedaGround => ({
  client: world.client,
  triggers,
  triggerOf: (name) => server.triggerOf(name),
  restart: () => keda.restart(),
});
// by the same rules as its double
describeKeda("KEDA's operator", ground);

const scaledObject = async (name: string) => await world.client.get<Stored>(resources.scaledObjects, "default", name);
const annotations = async (name: string) => (await scaledObject(name)).metadata.annotations ?? {};
const annotate = async (name: string, wanted: Record<string, string | null>) =>
  await world.client.patch(resources.scaledObjects, "default", name, "merge", { metadata: { annotations: wanted } });
const until = (what: string, name: string, fits: (object: Stored) => boolean) =>
  world.until<Stored, true>(what, resources.scaledObjects, "default", name, (object) =>
    object !== undefined && fits(object) ? true : undefined,
  );
const told = (what: string, name: string, fits: (annotations: Record<string, string>) => boolean) =>
  until(what, name, ({ metadata }) => fits(metadata.annotations ?? {}));
/** KEDA itself says that it is paused, or that it is not. */
const saysPaused = (name: string, wanted: boolean) =>
  until(`KEDA paused: ${wanted}`, name, ({ status }) =>
    (status?.conditions ?? []).some(({ type, status: is }) => type === "Paused" && is === (wanted ? "True" : "False")),
  );
const hpa = (name: string, wanted: boolean) =>
  world.until<HorizontalPodAutoscaler, true>(
    `KEDA's HPA: ${wanted}`,
    resources.horizontalPodAutoscalers,
    "default",
    `keda-hpa-${name}`,
    (found) => (found !== undefined) === wanted,
  );
const replicasAre = (name: string, wanted: number) =>
  world.until<Deployment, true>(
    `${wanted} replicas`,
    resources.deployments,
    "default",
    name,
    (one) => one?.spec.replicas === wanted,
  );
const maySleep = (name: string, may: boolean) =>
  world.client.patch(resources.elastiServices, "default", name, "merge", { spec: { cooldownPeriod: may ? 1 : 900 } });
const held = (now: Record<string, string>) => now[PAUSED] === "true" && now[PAUSED_REPLICAS] === "0";

const recordOf = (name: string) => WriteRecord.of(world.client, name, join(keda.places.logs, "audit.log"));

interface Start extends ScaledObjectSpec {
  readonly replicas?: number;
  readonly mode?: "SelectorSwap" | "Always";
  readonly own?: Record<string, string>;
  /** Of KEDA's triggers, from the beginning; true where left out. */
  readonly active?: boolean;
}

/** A target that is awake, with a ScaledObject that names it. */
async function scaled(name: string, { replicas = 1, mode = "SelectorSwap", own = {}, active = true, ...spec }: Start) {
  // of Elasti's own trigger, which is idle: what counts is its cooldown
  const behaviour = { routing: { graceSeconds: 0, mode }, triggers: [loadTrigger(name)] };
  const sleeper = await world.sleeper({ name, replicas, spec: behaviour });
  triggers.setActive(name, active);
  const common = { pollingInterval: 1, cooldownPeriod: 1, triggers: [server.triggerOf(name)] };
  await createScaledObject(world.client, name, { ...common, ...spec }, own);
  return sleeper;
}

describe("a target that KEDA's operator scales", { concurrency: 6 }, () => {
  const cycles = 10;
  before(async () => {
    // by its rounds KEDA's time is told where nothing is to happen
    await world.app({ name: "clock", replicas: 1 });
    const spec = { pollingInterval: 1, minReplicaCount: 1, triggers: [server.triggerOf("clock")] };
    await createScaledObject(world.client, "clock", spec);
    await triggers.rounds("clock");
  });

  /** Asleep, and KEDA has done what it was told. */
  async function sleeps(shop: Sleeper, after: number): Promise<number> {
    const { name } = shop;
    await maySleep(name, true);
    await shop.sleeps({ after });
    await told("held at zero", name, held);
    await saysPaused(name, true);
    await until("KEDA has looked at its number", name, ({ status }) => status?.pausedReplicaCount === 0);
    await hpa(name, false);
    await maySleep(name, false);
    return await shop.epoch();
  }

  /** Sleeps and wakes as often as that, while its triggers say the opposite of what Elasti does. */
  async function cycle(shop: Sleeper, minimum: number, awake: Record<string, string>): Promise<void> {
    const { name } = shop;
    let epoch = -1;
    for (let done = 0; done < cycles; done++) {
      epoch = await sleeps(shop, epoch);
      const asked = triggers.asked(name);
      triggers.setActive(name, true);
      await triggers.rounds("clock");
      assert.equal(triggers.asked(name), asked, "asked while paused");
      assert.equal(await shop.replicas(), 0);
      assert.equal((await shop.ask()).status, 200);
      await shop.reaches("Serving");
      await saysPaused(name, false);
      await hpa(name, true);
      triggers.setActive(name, false);
      // beyond its cooldown
      await triggers.rounds(name, 3);
      assert.equal(await shop.replicas(), minimum);
      const { [RECORD]: _, ...now } = await annotations(name);
      assert.deepEqual(now, awake);
    }
  }

  const expected = (minimum: number) => [minimum, ...Array.from({ length: cycles }, () => [0, minimum]).flat()];

  for (const mode of ["SelectorSwap", "Always"] as const)
    it(`sleeps and wakes ten times without a write of KEDA's, whose minimum is zero (${mode})`, async () => {
      const name = `zero-${mode.toLowerCase()}`;
      const shop = await scaled(name, { minReplicaCount: 0, mode });
      await told("kept awake", name, (now) => now[FORCE_ACTIVATION] === "true");
      await using record = await recordOf(name);
      await cycle(shop, 1, { [FORCE_ACTIVATION]: "true" });
      assert.deepEqual(record.replicas, expected(1));
      assert.equal(await record.writesOf(keda.user), 0);
      assert.equal(await record.writesOf(HPA_USER), 0);
      await shop.delete();
      await shop.isRestored();
      assert.deepEqual(await annotations(name), {});
      // its triggers are idle, and it is its own master again
      await replicasAre(name, 0);
      await triggers.rounds("clock");
      assert.equal(await shop.replicas(), 0);
      assert.equal(await record.writesOf(keda.user), 1);
    });

  it("sleeps and wakes ten times without a write of KEDA's, whose minimum is two, and has its values back", async () => {
    const own = { [PAUSED]: "false", note: "mine" };
    const shop = await scaled("two", { replicas: 2, minReplicaCount: 2, maxReplicaCount: 4, own });
    await triggers.rounds("two");
    await using record = await recordOf("two");
    await cycle(shop, 2, own);
    assert.deepEqual(record.replicas, expected(2));
    await sleeps(shop, await shop.epoch());
    await shop.delete();
    await shop.isRestored();
    assert.deepEqual(await annotations("two"), own);
    await triggers.rounds("two");
    assert.equal(await shop.replicas(), 2);
    assert.equal(await record.writesOf(keda.user), 0);
    assert.equal(await record.writesOf(HPA_USER), 0);
  });

  it("is left at zero by Elasti where KEDA takes it there once it was deleted in its sleep", async () => {
    const shop = await scaled("left", { minReplicaCount: 0 });
    await told("kept awake", "left", (now) => now[FORCE_ACTIVATION] === "true");
    triggers.setActive("left", false);
    await using record = await recordOf("left");
    await sleeps(shop, -1);
    // past its cooldown: it acts at once
    await triggers.rounds("clock");
    await shop.delete();
    await shop.isRestored();
    await replicasAre("left", 0);
    await triggers.rounds("clock");
    // woken by Elasti, given back, and taken to zero by KEDA
    assert.deepEqual(record.replicas, [1, 0, 1, 0]);
    assert.equal(await record.writesOf(keda.user), 1);
    assert.deepEqual(await annotations("left"), {});
  });

  it("is not taken to zero when its ScaledObject is made, while the first cooldown lasts until KEDA has been told", async () => {
    const shop = await scaled("made", { minReplicaCount: 0, initialCooldownPeriod: 60, active: false });
    await using record = await recordOf("made");
    await told("kept awake", "made", (now) => now[FORCE_ACTIVATION] === "true");
    await triggers.rounds("made", 3);
    assert.deepEqual(record.replicas, [1]);
    assert.equal(await record.writesOf(keda.user), 0);
    await sleeps(shop, -1);
    assert.equal((await shop.ask()).status, 200);
  });

  it("keeps its user's own pause, asleep, awake and afterwards", async () => {
    const own = { [PAUSED]: "true" };
    const shop = await scaled("mine", { minReplicaCount: 0, own });
    await saysPaused("mine", true);
    await using record = await recordOf("mine");
    let epoch = -1;
    for (let done = 0; done < 2; done++) {
      epoch = await sleeps(shop, epoch);
      assert.equal((await shop.ask()).status, 200);
      await shop.reaches("Serving");
      await told("given back", "mine", (now) => now[PAUSED_REPLICAS] === undefined && now[PAUSED] === "true");
      await triggers.rounds("clock");
      assert.equal(await shop.replicas(), 1);
    }
    await shop.delete();
    await shop.isRestored();
    assert.deepEqual(await annotations("mine"), own);
    assert.deepEqual(record.replicas, [1, 0, 1, 0, 1]);
    assert.equal(await record.writesOf(keda.user), 0);
  });

  it("is not put to zero where its user has pinned it, and is no longer held when it is not", async () => {
    const own = { [PAUSED_REPLICAS]: "2" };
    const shop = await scaled("pinned", { minReplicaCount: 0, own });
    await replicasAre("pinned", 2);
    await maySleep("pinned", true);
    await shop.condition("Idle", ({ reason }) => reason === "AutoscalerPinned");
    assert.deepEqual(await annotations("pinned").then(({ [RECORD]: _, [FORCE_ACTIVATION]: __, ...now }) => now), own);
    await annotate("pinned", { [PAUSED_REPLICAS]: null });
    await sleeps(shop, -1);
    await shop.delete();
    await shop.isRestored();
    assert.deepEqual(await annotations("pinned"), {});
  });
});

describe("a target that KEDA's operator scales, which is started anew", () => {
  it("is held at zero while it sleeps, and left where it is when it is awake", async () => {
    const shop = await scaled("anew", { minReplicaCount: 0 });
    await told("kept awake", "anew", (now) => now[FORCE_ACTIVATION] === "true");
    triggers.setActive("anew", false);
    await using record = await recordOf("anew");
    await keda.restart();
    await triggers.rounds("anew");
    await maySleep("anew", true);
    await shop.sleeps();
    await told("held at zero", "anew", held);
    await maySleep("anew", false);
    triggers.setActive("anew", true);
    await keda.restart();
    await triggers.rounds("clock");
    assert.equal(await shop.replicas(), 0);
    // nobody is there to be told
    await keda.close();
    assert.equal((await shop.ask()).status, 200);
    await shop.reaches("Serving");
    triggers.setActive("anew", false);
    await keda.restart();
    await saysPaused("anew", false);
    await triggers.rounds("anew");
    assert.deepEqual(record.replicas, [1, 0, 1]);
    assert.equal(await record.writesOf(keda.user), 0);
  });
});
