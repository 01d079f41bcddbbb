import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { silentLogger, systemClock } from "@elasti/core";
import { type Deployment, type HorizontalPodAutoscaler, Reflector, resources } from "@elasti/kube";
import { startWorld, type World } from "../e2e/world.ts";
import { createHpa } from "./create-hpa.ts";

type Seen = HorizontalPodAutoscaler & { status?: { conditions?: { type: string; status: string; reason: string }[] } };

describe("a target that an HPA scales", () => {
  let world: World;
  before(async () => {
    world = await startWorld({ operators: 2, resolvers: 1 });
  });
  after(() => world?.close());

  /** What was asked for, in order, as the API server tells it. */
  const replicasOf = async (name: string) => {
    const seen: number[] = [];
    const reflector = new Reflector<Deployment>({
      client: world.client,
      resource: resources.deployments,
      namespace: "default",
      fieldSelector: `metadata.name=${name}`,
      logger: silentLogger,
      clock: systemClock,
    });
    reflector.store.on("change", ({ object }) => {
      const { replicas = 1 } = object.spec;
      if (seen.at(-1) !== replicas) seen.push(replicas);
    });
    await reflector.start();
    return { seen, [Symbol.asyncDispose]: () => reflector.close() };
  };
  const disabled = ({ status }: Seen) =>
    (status?.conditions ?? []).some(
      ({ type, status: is, reason }) => type === "ScalingActive" && is === "False" && reason === "ScalingDisabled",
    );

  it("stays at zero while it sleeps, gets the HPA's minimum in one write, and is the HPA's from there", async () => {
    const spec = { routing: { graceSeconds: 0 } };
    const web = await world.sleeper({ name: "scaled", replicas: 2, spec });
    await createHpa(world.client, "scaled", { minReplicas: 2, maxReplicas: 4 });
    await world.client.patch(resources.elastiServices, "default", "scaled", "merge", { spec: { cooldownPeriod: 1 } });
    await using replicas = await replicasOf("scaled");
    for (const minReplicas of [2, 3]) {
      await web.sleeps({ after: minReplicas === 2 ? -1 : await web.epoch() });
      await world.until<Seen, true>(
        "looked at",
        resources.horizontalPodAutoscalers,
        "default",
        "scaled",
        (hpa) => (hpa !== undefined && disabled(hpa) ? true : undefined),
        60_000,
      );
      assert.equal(await web.replicas(), 0);
      if (minReplicas === 3)
        await world.client.patch(resources.horizontalPodAutoscalers, "default", "scaled", "merge", {
          spec: { minReplicas },
        });
      assert.equal((await web.ask()).status, 200);
      await web.reaches("Serving");
      assert.equal(await web.replicas(), minReplicas);
    }
    assert.deepEqual(replicas.seen, [2, 0, 2, 0, 3]);
    await world.client.delete(resources.horizontalPodAutoscalers, "default", "scaled");
  });
});
