import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { type Deployment, resources } from "@elasti/kube";
import type { Sleeper } from "./sleeper.ts";
import { OPERATOR, RESOLVER, startWorld, type World } from "./world.ts";

describe("waking while operators and resolvers die", () => {
  let world: World;
  let apps: Record<"follower" | "halved" | "manual" | "busy", Sleeper>;
  before(async () => {
    // a Lease so long that nobody takes over while a test runs
    const lease = {
      ELASTI_LEASE_DURATION: "120s",
      ELASTI_LEASE_RENEW_DEADLINE: "90s",
      ELASTI_LEASE_RETRY_PERIOD: "2s",
    };
    world = await startWorld({ operators: 2, resolvers: 2, operatorEnv: lease });
    // while there is a leader
    const [follower, halved, manual, busy] = await Promise.all([
      world.sleeper({ name: "follower" }),
      world.sleeper({ name: "halved", startMs: 4_000 }),
      world.sleeper({ name: "manual", startMs: 200 }),
      world.sleeper({ name: "busy", startMs: 200 }),
    ]);
    apps = { follower, halved, manual, busy };
  });
  after(() => world.close());

  it("is woken by an operator that does not lead", async () => {
    const web = apps.follower;
    const leader = await world.leader();
    await world.kill(leader);
    const answer = await web.ask();
    assert.equal(answer.status, 200);
    assert.equal(await world.leader(), leader);
    assert.equal(await web.phase(), "Waking");
  });

  it("answers what another resolver holds when one is killed", async () => {
    const web = apps.halved;
    const asked = Promise.allSettled(Array.from({ length: 40 }, () => web.ask()));
    await world.holds(40);
    const [victim, survivor] = await world.pods(RESOLVER);
    await world.kill(victim?.metadata.name ?? "");
    const answered = (await asked).filter(({ status }) => status === "fulfilled");
    // those that the dead one held are cut off: their connections were its own
    assert.ok(
      answered.length > 0 && answered.length < 40,
      `${answered.length} of 40, beside ${survivor?.metadata.name}`,
    );
    await world.restarted(RESOLVER, victim?.metadata.name ?? "");
    assert.equal((await web.ask()).status, 200);
  });

  it("answers every request by a manual scale alone when no operator is left", async () => {
    const { manual: one, busy: two } = apps;
    await world.scale(OPERATOR, 0, { wait: false });
    for (const { metadata } of await world.pods(OPERATOR)) await world.kill(metadata.name).catch(() => {});
    await world.scale(OPERATOR, 0);
    const held = Array.from({ length: 20 }, () => two.ask());
    await world.holds(20);
    await Promise.all([one.scaleByHand(1), two.scaleByHand(2)]);
    for (const answer of await Promise.all(held)) assert.equal(answer.status, 200);
    await world.until<Deployment, true>(
      "ready",
      resources.deployments,
      "default",
      "manual",
      (deployment) => deployment?.status?.readyReplicas === 1,
    );
    const answers = await Promise.all(Array.from({ length: 50 }, () => one.ask()));
    assert.deepEqual(
      answers.filter(({ status }) => status !== 200),
      [],
    );
    assert.equal(await one.phase(), "Asleep");
  });
});
