import assert from "node:assert/strict";
import { afterEach, beforeEach, suite, test } from "node:test";
import type { ScaledObject } from "@elasti/kube";
import { intervalMs, query, upRule, World } from "./world.ts";

/** What another policy engine got wrong, as far as it concerns the engine: each is a test of this one. */
suite("what the reference got wrong", () => {
  let world: World;
  beforeEach(async () => {
    world = await World.start();
  });
  afterEach(() => world.close());

  test("AND was promised, OR built: one part of an all group scales nothing", async () => {
    const web = world.deployment("web", 1);
    const part = (name: string) => ({ metric: query(name), operator: "gt", threshold: 10 }) as const;
    await world.policy({
      scale_up_rules: [{ when: { all: [part("load"), part("queue")] }, scale_by: 2 }],
      cooldown_seconds: 600,
    });
    world.readings.values.set("load", 12).set("queue", 1);
    world.replica();
    await world.pass(2 * intervalMs);
    assert.equal(web.replicas, 1);
    world.readings.values.set("queue", 12);
    await world.pass(2 * intervalMs);
    assert.equal(web.replicas, 3);
  });

  test("schedules were stored, never run: a moment and a window are", async () => {
    const web = world.deployment("web", 1);
    await world.policy({
      schedules: [
        { cron_expression: "2 12 * * *", desired_replicas: 4 },
        { start: "10 12 * * *", duration: "5m", min_replicas: 6 },
      ],
    });
    world.replica();
    await world.pass(90_000);
    assert.equal(web.replicas, 1);
    await world.pass(90_000);
    assert.equal(web.replicas, 4);
    await world.pass(480_000);
    assert.equal(web.replicas, 6);
  });

  test("a window across midnight is one window", async () => {
    await world.close();
    world = await World.start(Date.UTC(2026, 2, 2, 23, 48));
    const web = world.deployment("web", 1);
    await world.policy({ schedules: [{ start: "50 23 * * *", end: "10 0 * * *", min_replicas: 5 }] });
    world.replica();
    const seen: number[] = [];
    for (const minutes of [1, 3, 13, 7]) {
      await world.pass(minutes * 60_000);
      seen.push(web.replicas);
    }
    // at 23:49, 23:52, 0:05 and 0:12
    assert.deepEqual(seen, [1, 5, 5, 1]);
  });

  test("the KEDA executor was a stub: bounds are moved, and put back", async () => {
    const web = world.deployment("web", 2);
    const scaledObject: ScaledObject = {
      apiVersion: "keda.sh/v1alpha1",
      kind: "ScaledObject",
      metadata: { name: "web-so", namespace: "default", resourceVersion: "7" },
      spec: { scaleTargetRef: { name: "web" }, minReplicaCount: 1, maxReplicaCount: 4 },
    };
    world.cluster.autoscalers.push(scaledObject);
    const policy = await world.policy({
      target_type: "scaledobject",
      target_ref: { namespace: "default", name: "web-so" },
      min_replicas: 2,
      max_replicas: 9,
    });
    world.replica();
    await world.pass(intervalMs);
    const bounds = () => {
      const { minReplicaCount, maxReplicaCount } = (world.cluster.autoscalers[0] as ScaledObject).spec;
      return [minReplicaCount, maxReplicaCount];
    };
    assert.deepEqual(bounds(), [2, 9]);
    assert.equal(web.replicas, 2);
    await world.store.policies.delete(policy.id);
    await world.pass(intervalMs);
    assert.deepEqual(bounds(), [1, 4]);
    assert.deepEqual(world.cluster.autoscalers[0]?.metadata.annotations, {});
  });

  test("a metric gap counted as held: it begins a hold anew", async () => {
    const web = world.deployment("web", 1);
    await world.policy({ scale_up_rules: [{ ...upRule, duration_seconds: 120 }], cooldown_seconds: 600 });
    world.readings.values.set("load", 12);
    world.replica();
    await world.pass(90_000);
    world.readings.values.delete("load");
    await world.pass(2 * intervalMs);
    world.readings.values.set("load", 12);
    await world.pass(90_000);
    assert.equal(web.replicas, 1);
    await world.pass(60_000);
    assert.equal(web.replicas, 3);
  });

  test("the cost limit and the dry-run setting were ignored: both bind", async () => {
    const web = world.deployment("web", 1);
    await world.policy({
      scale_up_rules: [{ ...upRule, scale_by: 8 }],
      max_hourly_cost: 4,
      price_per_replica_hour: 2,
      cooldown_seconds: 600,
    });
    world.readings.values.set("load", 12);
    const dry = world.replica({ dryRun: true });
    await world.pass(2 * intervalMs);
    assert.equal(web.replicas, 1);
    await dry.stop();
    // what was only recorded begins a cooldown, of which an engine that does things knows as well
    await world.pass(600_000);
    world.replica();
    await world.pass(2 * intervalMs);
    assert.equal(web.replicas, 2);
  });

  test("no leader lock: two that evaluate at once do a thing once", async () => {
    world.deployment("web", 1);
    await world.policy({ scale_up_rules: [upRule], cooldown_seconds: 600 });
    world.readings.values.set("load", 12);
    world.replica();
    world.replica();
    await world.pass(3 * intervalMs);
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
    assert.equal((await world.history("action")).filter(({ outcome }) => outcome === "executed").length, 1);
  });
});
