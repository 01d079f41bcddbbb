import assert from "node:assert/strict";
import { afterEach, beforeEach, suite, test } from "node:test";
import { settle } from "../../src/engine/intents.ts";
import { initialState, type PolicyState } from "../../src/index.ts";
import { intervalMs, upRule, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.close());

const rule = { scale_up_rules: [upRule], cooldown_seconds: 3_600 };

suite("a leader that is killed in the middle of an evaluation", () => {
  test("after its write, before it could keep what it did: the next one tells of it, and does not repeat it", async () => {
    const web = world.deployment("web", 1);
    const policy = await world.policy(rule);
    world.readings.values.set("load", 12);
    const first = world.replica();
    // the answer never comes
    world.cluster.afterSet = () => {
      world.cluster.afterSet = undefined;
      first.kill();
      return new Promise<void>(() => {});
    };
    await world.pass(intervalMs);
    assert.equal(web.replicas, 3);
    assert.equal((await world.history("action")).length, 0);
    assert.notEqual((await world.store.states.get(policy.id))?.intent, null);

    world.replica();
    await world.pass(2 * intervalMs);
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
    const actions = await world.history("action");
    assert.deepEqual(
      actions.map(({ outcome, new_replicas }) => [outcome, new_replicas]),
      [["executed", 3]],
    );
    const state = await world.store.states.get(policy.id);
    assert.equal(state?.intent, null);
    assert.ok(state.last_scale_up_at !== null, "the cooldown counts from the action of the leader before");
  });

  test("before its write: the next one does it, once", async () => {
    world.deployment("web", 1);
    await world.policy(rule);
    world.readings.values.set("load", 12);
    const first = world.replica();
    world.cluster.beforeSet = () => {
      world.cluster.beforeSet = undefined;
      first.kill();
      return new Promise<void>(() => {});
    };
    await world.pass(intervalMs);
    world.replica();
    await world.pass(2 * intervalMs);
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
    assert.equal((await world.history("action")).length, 1);
  });

  test("its write arrives late: one of the two lands", async () => {
    world.deployment("web", 1);
    await world.policy(rule);
    world.readings.values.set("load", 12);
    const first = world.replica();
    const late = Promise.withResolvers<void>();
    world.cluster.beforeSet = () => {
      world.cluster.beforeSet = undefined;
      first.kill();
      return late.promise;
    };
    await world.pass(intervalMs);
    world.replica();
    await world.pass(intervalMs);
    late.resolve();
    await world.pass(intervalMs);
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
    assert.equal((await world.history("action")).length, 1);
  });

  test("a moment of a schedule is acted on once, and a change by hand after it stands", async () => {
    const web = world.deployment("web", 1);
    await world.policy({ schedules: [{ cron_expression: "1 12 * * *", desired_replicas: 4 }] });
    const first = world.replica();
    world.cluster.afterSet = () => {
      world.cluster.afterSet = undefined;
      first.kill();
      return new Promise<void>(() => {});
    };
    await world.pass(3 * intervalMs);
    assert.equal(web.replicas, 4);
    // somebody changes it by hand: the moment has been acted on, and does not come back
    web.replicas = 2;
    web.version += 1;
    const next = world.replica();
    await world.pass(3 * intervalMs);
    assert.equal(next.engine.health.state, "running");
    assert.deepEqual(world.cluster.writes, ["web 1->4"]);
    assert.equal(web.replicas, 2);
  });
});

test("a leader that does not know yet that another has begun can keep nothing, and so does nothing", async () => {
  const web = world.deployment("web", 1);
  await world.policy(rule);
  world.readings.values.set("load", 1);
  world.replica();
  await world.pass(2_000);
  // as if its machine had stood still meanwhile
  await world.store.states.begin();
  world.readings.values.set("load", 12);
  await assert.rejects(world.store.states.save([{ ...(await world.store.states.all())[0] } as PolicyState], 1), {
    code: "ELASTI_POLICY_SUPERSEDED",
  });
  assert.equal(web.replicas, 1);
  // it still leads by its Lease, and begins anew
  await world.pass(3 * intervalMs);
  assert.deepEqual(world.cluster.writes, ["web 1->3"]);
});

suite("an action that was begun", () => {
  const state = (overrides: Partial<PolicyState>): PolicyState => ({
    ...initialState("p"),
    current_replicas: 1,
    ...overrides,
  });
  const { intent: _, ...next } = state({ decision_mark: "next" });
  const begun = state({
    intent: { resource_version: "5", replicas: 3, entry: { previous_replicas: 1 } as never, next },
  });
  const found = (replicas: number, resource_version: string) => ({
    kind: "found" as const,
    replicas,
    resource_version,
  });

  for (const [what, observation, outcome] of [
    ["landed where the target is what was wanted, at another version", found(3, "6"), "landed"],
    ["did not where the version is the same", found(1, "5"), "void"],
    ["did not where the target is what it was before, at another version", found(1, "7"), "void"],
    ["is overtaken where the target is something else", found(2, "7"), "overtaken"],
    ["is over with its target", { kind: "missing", message: "" } as const, "void"],
    ["stays open while the target cannot be seen", { kind: "unknown", message: "" } as const, "open"],
  ] as const) {
    test(what, () => {
      const settled = settle(begun, observation);
      assert.equal(settled.outcome, outcome);
      assert.equal(settled.state.intent === null, outcome !== "open");
      assert.equal(settled.state.decision_mark, outcome === "landed" || outcome === "overtaken" ? "next" : "");
    });
  }
});
