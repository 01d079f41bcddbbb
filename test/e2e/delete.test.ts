import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { PARK_KEY, privateServiceName } from "@elasti/api";
import { resources } from "@elasti/kube";
import { Traffic } from "./client.ts";
import { startWorld, type World } from "./world.ts";

/** A trigger that knows nothing, so that what sleeps stays asleep and what is up stays up. */
const unknown = {
  type: "prometheus" as const,
  metadata: { serverAddress: "http://127.0.0.1:9", query: "up", threshold: 1 },
};

describe("deleting an ElastiService", { concurrency: 6 }, () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 2, resolvers: 1 });
  });
  after(() => world.close());

  for (const mode of ["SelectorSwap", "Always"] as const) {
    it(`wakes what sleeps and puts everything back (${mode})`, async () => {
      const name = `asleep-${mode.toLowerCase()}`;
      const triggers = mode === "Always" ? {} : { triggers: [unknown] };
      const web = await world.sleeper({
        name,
        startMs: 200,
        spec: { routing: { mode, graceSeconds: 2 }, ...triggers },
      });
      await using traffic = new Traffic(() => web.ask(), 50);
      await web.delete();
      await web.isRestored();
      const { failures, answers } = await traffic.stop();
      assert.deepEqual(failures, []);
      assert.ok(answers.length > 0);
      assert.equal(await web.replicas(), 1);
    });

    it(`leaves what is awake alone, and puts everything back (${mode})`, async () => {
      const name = `awake-${mode.toLowerCase()}`;
      const triggers = mode === "Always" ? {} : { triggers: [unknown] };
      const web = await world.sleeper({ name, replicas: 2, spec: { routing: { mode, graceSeconds: 2 }, ...triggers } });
      if (mode === "Always") await web.parked();
      const generation = (await web.deployment()).metadata.generation;
      await using traffic = new Traffic(() => web.ask(), 50);
      await web.delete();
      await web.isRestored();
      const { failures } = await traffic.stop();
      assert.deepEqual(failures, []);
      assert.equal((await web.deployment()).metadata.generation, generation);
    });
  }

  it("goes with its namespace at once, and wakes nobody", async () => {
    const namespace = await world.namespace("going");
    const [asleep, awake] = await Promise.all([
      world.sleeper({ name: "asleep", namespace, startMs: 600_000 }),
      world.sleeper({ name: "awake", namespace, replicas: 1 }),
    ]);
    await world.client.delete(resources.namespaces, undefined, namespace);
    await world.until("gone", resources.namespaces, undefined, namespace, (found) => found === undefined);
    for (const { name } of [asleep, awake])
      assert.equal(await world.get(resources.elastiServices, namespace, name), undefined);
  });

  it("goes at once when its Service or its target is gone", async () => {
    const [one, two] = await Promise.all([world.sleeper({ name: "no-service" }), world.sleeper({ name: "no-target" })]);
    await world.client.delete(resources.services, "default", one.name);
    await world.client.delete(resources.deployments, "default", two.name);
    await Promise.all([one.delete(), two.delete()]);
    for (const { name } of [one, two])
      await world.until("deleted", resources.elastiServices, "default", name, (es) => es === undefined);
    assert.equal((await two.publicService()).spec.selector?.[PARK_KEY], undefined);
    assert.equal((await two.slices()).ours, undefined);
    assert.equal(await world.get(resources.services, "default", privateServiceName(two.name)), undefined);
  });

  it("begins anew when it is made again under its name", async () => {
    const web = await world.sleeper({ name: "again", spec: { routing: { graceSeconds: 1 } } });
    await web.delete();
    await web.isRestored();
    await web.scaleByHand(0);
    await world.until(
      "no pods",
      resources.deployments,
      "default",
      "again",
      (found) => (found !== undefined && !("replicas" in (found as { status?: object }).status!)) || undefined,
    );
    const scaleTargetRef = { apiVersion: "apps/v1", kind: "Deployment", name: "again" };
    await world.elastiService("again", { service: "again", scaleTargetRef });
    await web.sleeps();
    await web.held();
    assert.equal((await web.ask()).status, 200);
  });
});
