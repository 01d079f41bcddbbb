import assert from "node:assert/strict";
import { afterEach, beforeEach, suite, test } from "node:test";
import { API_VERSION, type ElastiService, KIND } from "@elasti/api";
import type { Store } from "../../src/index.ts";
import { policyErrors } from "../../src/index.ts";
import { intervalMs, query, upRule, World } from "./world.ts";

let world: World;
beforeEach(async () => {
  world = await World.start();
});
afterEach(() => world.close());

const elastiService: ElastiService = {
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name: "web", namespace: "default" },
  spec: { service: "web", scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" } },
};

suite("the engine", () => {
  test("scales by a rule once it has held for its time, and says so in history and by an event", async () => {
    const web = world.deployment("web", 1);
    const policy = await world.policy({ scale_up_rules: [{ ...upRule, duration_seconds: 60 }], cooldown_seconds: 600 });
    world.readings.values.set("load", 12);
    const replica = world.replica();
    await world.pass(59_000);
    assert.equal(web.replicas, 1);
    await world.pass(2 * intervalMs);
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
    const [action] = await world.history("action");
    assert.equal(action?.outcome, "executed");
    assert.equal(action.action, "scale_up");
    assert.deepEqual([action.previous_replicas, action.new_replicas], [1, 3]);
    assert.equal(action.triggered_by, `rule:${policy.scale_up_rules[0]?.id}`);
    assert.match(action.reason, /load > 10/);
    assert.match(replica.events.join(), /PolicyScaled p: scale_up from 1 to 3/);
  });

  test("records a change of decision once, with what held it back", async () => {
    world.deployment("web", 1);
    await world.policy({ scale_up_rules: [upRule], cooldown_seconds: 3_600 });
    world.readings.values.set("load", 12);
    world.replica();
    await world.pass(4 * intervalMs);
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
    const held = (await world.history("decision")).filter(({ outcome }) => outcome === "held_back");
    assert.equal(held.length, 1);
    assert.match(JSON.stringify(held[0]?.details), /"by":"cooldown"/);
  });

  test("says once what it waits for, and what is not known", async () => {
    await world.policy({ scale_up_rules: [upRule] });
    world.replica();
    await world.pass(intervalMs);
    world.deployment("web", 1);
    await world.pass(2 * intervalMs);
    const said = (await world.history("decision")).map(({ reason }) => reason);
    assert.deepEqual(said, [
      "waiting for the target: default/web does not exist",
      "no rule holds; a rule: load: Empty: no series; unknown data changes nothing",
    ]);
  });

  test("evaluates each policy once per interval", async () => {
    world.deployment("web", 1);
    for (let index = 0; index < 20; index += 1) {
      await world.policy({ name: `p${index}`, scale_up_rules: [{ ...upRule, metric: query(`q${index}`) }] });
      world.readings.values.set(`q${index}`, 1);
    }
    world.replica();
    await world.pass(intervalMs);
    world.readings.asked.length = 0;
    await world.pass(3 * intervalMs);
    assert.equal(world.readings.asked.length, 60);
    assert.equal(new Set(world.readings.asked).size, 20);
  });

  test("decides again next time when somebody was faster", async () => {
    const web = world.deployment("web", 1);
    await world.policy({ scale_up_rules: [upRule], cooldown_seconds: 600 });
    world.readings.values.set("load", 12);
    world.cluster.beforeSet = () => {
      world.cluster.beforeSet = undefined;
      web.version += 1;
    };
    world.replica();
    await world.pass(intervalMs);
    await world.pass(intervalMs);
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
    assert.equal((await world.history("action")).length, 1);
  });

  test("does nothing in shadow, or in a dry run of the whole engine, and records what it would have done", async () => {
    for (const [name, outcome] of [
      ["shadow", "shadow"],
      ["dry", "dry_run"],
    ] as const) {
      const web = world.deployment(name, 1);
      await world.policy({
        name,
        shadow: outcome === "shadow",
        scale_up_rules: [upRule],
        cooldown_seconds: 3_600,
        target_ref: { namespace: "default", name },
      });
      world.readings.values.set("load", 12);
      const replica = world.replica({ dryRun: outcome === "dry_run" });
      await world.pass(3 * intervalMs);
      await replica.stop();
      assert.equal(web.replicas, 1);
      const told = (await world.history("action")).filter(({ policy_name }) => policy_name === name);
      assert.deepEqual(
        told.map((entry) => [entry.outcome, entry.dry_run, entry.new_replicas]),
        [[outcome, true, 3]],
      );
      await world.store.policies.delete((await world.store.policies.byName(name))!.id);
    }
    assert.deepEqual(world.cluster.writes, []);
  });

  test("waits for no metric beyond the time of an evaluation, and asks again", async () => {
    world.deployment("web", 1);
    await world.policy({ scale_up_rules: [upRule] });
    world.readings.silent = true;
    world.replica({ deadlineMs: 5_000 });
    await world.pass(intervalMs);
    world.readings.silent = false;
    world.readings.values.set("load", 12);
    await world.pass(intervalMs);
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
  });

  test("lets none wait for its turn twice, however long the others take", async () => {
    world.deployment("web", 1);
    for (const name of ["a", "b", "c"])
      await world.policy({ name, scale_up_rules: [{ ...upRule, metric: query(name) }] });
    world.readings.silent = true;
    world.replica({ deadlineMs: 25_000, concurrency: 1 });
    await world.pass(10 * intervalMs);
    world.readings.silent = false;
    world.readings.asked.length = 0;
    await world.pass(intervalMs);
    // once for having waited, and once in its turn
    for (const name of ["a", "b", "c"])
      assert.ok(world.readings.asked.filter((one) => one === name).length <= 2, world.readings.asked.join());
    world.readings.asked.length = 0;
    await world.pass(2 * intervalMs);
    assert.deepEqual(world.readings.asked.toSorted(), ["a", "a", "b", "b", "c", "c"]);
  });

  test("waits for a target that is not there yet, and says so", async () => {
    await world.policy({ scale_up_rules: [upRule] });
    world.readings.values.set("load", 12);
    world.replica();
    await world.pass(intervalMs);
    const [entry] = await world.history();
    assert.equal(entry?.outcome, "held_back");
    assert.match(entry.reason, /waiting for the target/);
    world.deployment("web", 1);
    await world.pass(intervalMs);
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
  });

  test("takes up a new policy at once, and lets a deleted one go", async () => {
    world.deployment("web", 1);
    world.readings.values.set("load", 12);
    world.replica();
    await world.pass(2_000);
    const policy = await world.policy({ scale_up_rules: [upRule], cooldown_seconds: 600 });
    await world.pass(3_000);
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
    assert.ok(world.cluster.wanted.has(policy.id));
    await world.store.policies.delete(policy.id);
    await world.pass(2_000);
    assert.ok(!world.cluster.wanted.has(policy.id));
  });

  test("lets a disabled policy have no say that outlives an evaluation that was asked for", async () => {
    world.deployment("web", 1);
    world.cluster.elastiServices.push(elastiService);
    const policy = await world.policy({ enabled: false, min_replicas: 3 });
    const replica = world.replica();
    await world.pass(2_000);
    const signal = AbortSignal.timeout(10_000);
    await replica.engine.evaluate(policy, { dryRun: false, by: "ada", signal });
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
    assert.deepEqual([replica.votes.has(policy.id), world.cluster.wanted.has(policy.id)], [false, false]);
    await world.pass(2_000);
    assert.equal((await world.store.states.get(policy.id))?.current_replicas, 3);
  });

  test("says what it would do when it is asked, of a disabled policy too, once its target is seen", async () => {
    world.deployment("web", 1);
    const policy = await world.policy({ enabled: false, scale_up_rules: [upRule] });
    world.readings.values.set("load", 12);
    world.cluster.pending = true;
    const { engine } = world.replica();
    const asked = engine.evaluate(policy, { dryRun: true, by: "ada", signal: AbortSignal.timeout(5_000) });
    await world.pass(1_000);
    assert.equal(world.cluster.listeners, 1);
    world.cluster.seen();
    const { decision, outcome } = await asked;
    assert.deepEqual([decision.action, decision.desired_replicas, outcome], ["scale_up", 3, "dry_run"]);
    assert.deepEqual([world.cluster.writes, await world.history()], [[], []]);
    assert.ok(!world.cluster.wanted.has(policy.id), "it is not watched any longer");
    assert.equal(world.cluster.listeners, 0);

    const done = engine.evaluate(policy, { dryRun: false, by: "ada", signal: AbortSignal.timeout(5_000) });
    await world.pass(2_000);
    assert.equal((await done).outcome, "executed");
    const [entry] = await world.history("action");
    assert.deepEqual([entry?.action, entry?.triggered_by], ["manual", "manual:ada"]);
  });

  test("says of a target that is not seen in time that it is not known, and waits no longer than its caller", async () => {
    world.deployment("web", 1);
    const policy = await world.policy({ enabled: false, scale_up_rules: [upRule] });
    world.cluster.pending = true;
    const { engine } = world.replica();
    const asked = engine.evaluate(policy, { dryRun: true, by: "ada", signal: AbortSignal.timeout(5_000) });
    await world.pass(3_000);
    assert.equal((await asked).pending, true);
    const gone = new AbortController();
    const left = assert.rejects(engine.evaluate(policy, { dryRun: true, by: "ada", signal: gone.signal }), /has gone/);
    await world.clock.advance(0);
    gone.abort(new Error("the caller has gone"));
    await left;
    assert.deepEqual([world.cluster.listeners, world.cluster.wanted.size], [0, 0]);
  });

  test("keeps what it asked of a sleep while it is not known who scales the target", async () => {
    world.deployment("web", 3);
    world.cluster.elastiServices.push(elastiService);
    const policy = await world.policy({
      schedules: [{ start: "0 0 * * *", duration: "24h", min_replicas: 3 }],
    });
    const replica = world.replica();
    await world.pass(2_000);
    const floor = (): number | undefined => replica.votes.get(policy.id)?.floor;
    assert.equal(floor(), 3);
    world.cluster.unsynced = true;
    await world.pass(2 * intervalMs);
    assert.equal(floor(), 3);
    world.cluster.unsynced = false;
    world.cluster.workloads.clear();
    world.cluster.elastiServices.length = 0;
    await world.pass(2 * intervalMs);
    assert.equal(floor(), undefined);
  });

  test("keeps to its windows while a metric does not answer", async () => {
    const web = world.deployment("web", 1);
    world.cluster.elastiServices.push(elastiService);
    const policy = await world.policy({
      schedules: [{ start: "0 0 * * *", duration: "24h", min_replicas: 3 }],
      scale_up_rules: [upRule],
    });
    world.readings.silent = true;
    const replica = world.replica({ deadlineMs: 5_000 });
    await world.pass(6_000);
    assert.equal(replica.settled, true);
    assert.equal(replica.votes.get(policy.id)?.floor, 3);
    assert.equal(web.replicas, 3);
  });

  test("says once every policy has had its say, one that cannot be evaluated too, and not while it is not known who scales a target", async () => {
    world.deployment("web", 1);
    world.cluster.elastiServices.push(elastiService);
    await world.policy({ min_replicas: 1 });
    await world.policy({ name: "slow", target_ref: { namespace: "default", name: "other" }, scale_up_rules: [upRule] });
    world.deployment("other", 1);
    world.readings.broken = true;
    world.cluster.unsynced = true;
    const replica = world.replica({ deadlineMs: 5_000 });
    await world.pass(4_000);
    assert.equal(replica.settled, false);
    world.cluster.unsynced = false;
    await world.pass(2 * intervalMs);
    assert.equal(replica.settled, true);
    await replica.stop();
    assert.equal(replica.settled, false);
  });

  test("has every policy's say at once where there is none", async () => {
    const replica = world.replica();
    await world.pass(2_000);
    assert.equal(replica.settled, true);
  });

  test("removes history at the end of its time", async () => {
    world.deployment("web", 1);
    await world.policy({ scale_up_rules: [upRule], cooldown_seconds: 600 });
    world.readings.values.set("load", 12);
    world.replica({ retentionMs: 600_000 });
    await world.pass(intervalMs);
    assert.equal((await world.history("action")).length, 1);
    world.readings.values.set("load", 1);
    await world.pass(700_000);
    assert.equal((await world.history("action")).length, 0);
  });
});

suite("an engine whose database goes away", () => {
  /** The store, of which any call fails while it is away. */
  function fragile(store: Store): { store: Store; away: boolean } {
    const state = { away: false, store };
    const wrap = <T extends object>(inner: T): T =>
      new Proxy(inner, {
        get(target, key) {
          const value = Reflect.get(target, key, target) as unknown;
          if (typeof value === "function")
            return (...args: unknown[]) => {
              if (state.away) throw policyErrors.ELASTI_POLICY_DATABASE("it is away");
              return Reflect.apply(value, target, args);
            };
          return typeof value === "object" && value !== null ? wrap(value) : value;
        },
      });
    state.store = wrap(store);
    return state;
  }

  test("pauses, says so, does nothing that it could not keep, and goes on when it is back", async () => {
    const web = world.deployment("web", 1);
    await world.policy({ scale_up_rules: [upRule], cooldown_seconds: 600 });
    world.readings.values.set("load", 1);
    const database = fragile(world.store);
    const replica = world.replica({ store: database.store });
    await world.pass(intervalMs);
    const state = (): string => replica.engine.health.state;
    assert.equal(state(), "running");
    database.away = true;
    const next = world.replica({ store: database.store });
    world.readings.values.set("load", 12);
    await world.pass(2 * intervalMs);
    assert.equal(state(), "paused");
    assert.equal(web.replicas, 1);
    // who has heard the policies goes by what they said, and who has not does not guess
    assert.deepEqual([replica.settled, next.settled], [true, false]);
    next.kill();
    database.away = false;
    await world.pass(intervalMs);
    assert.equal(state(), "running");
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
    assert.equal((await world.history("action")).length, 1);
  });

  test("an engine in a dry run gives back what policies have moved: so it is turned off", async () => {
    world.deployment("web", 2);
    const spec = { scaleTargetRef: { name: "web" }, minReplicaCount: 1, maxReplicaCount: 4 };
    world.cluster.autoscalers.push({
      apiVersion: "keda.sh/v1alpha1",
      kind: "ScaledObject",
      metadata: { name: "web", namespace: "default", resourceVersion: "7" },
      spec,
    });
    await world.policy({ min_replicas: 2, max_replicas: 9 });
    const engine = world.replica();
    await world.pass(intervalMs);
    assert.deepEqual(world.cluster.autoscalers[0]?.spec, { ...spec, minReplicaCount: 2, maxReplicaCount: 9 });
    await engine.stop();
    world.replica({ dryRun: true });
    await world.pass(intervalMs);
    assert.deepEqual(world.cluster.autoscalers[0]?.spec, spec);
    assert.deepEqual(world.cluster.autoscalers[0]?.metadata.annotations, {});
  });

  test("keeps what it did until the database has it", async () => {
    world.deployment("web", 1);
    await world.policy({ scale_up_rules: [upRule], cooldown_seconds: 600 });
    world.readings.values.set("load", 12);
    const database = fragile(world.store);
    world.cluster.afterSet = () => {
      database.away = true;
    };
    const replica = world.replica({ store: database.store });
    await world.pass(2 * intervalMs);
    assert.equal(replica.engine.history.waiting, 1);
    assert.equal((await world.history("action")).length, 0);
    database.away = false;
    await world.pass(intervalMs);
    assert.deepEqual(
      (await world.history("action")).map(({ outcome }) => outcome),
      ["executed"],
    );
    assert.deepEqual(world.cluster.writes, ["web 1->3"]);
  });
});
