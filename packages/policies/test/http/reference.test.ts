import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { after, before, describe, it } from "node:test";
import type { Policy } from "../../src/index.ts";
import { body, startWorld, type World } from "./kit.ts";

/** What the policy engine that others know got wrong, as far as the API goes: one test for each. */

let world: World;
before(async () => {
  world = await startWorld();
});
after(() => world.close());

const name = () => `policy-${randomUUID()}`;
const reasonOf = (answer: { body: { reason?: unknown } }) => answer.body.reason;

describe("what the reference got wrong", () => {
  it("min_replicas: 0 refused", async () => {
    const answer = await world.call("POST", "/policies", { body: body({ name: name(), min_replicas: 0 }) });
    assert.equal(answer.status, 201, answer.text);
    assert.equal((answer.body.policy as Policy).min_replicas, 0);
  });

  it("desired_replicas: 0 of a schedule refused", async () => {
    const schedules = [{ cron_expression: "0 20 * * *", desired_replicas: 0 }];
    const given = body({ name: name(), scale_to_zero: true, schedules });
    assert.equal((await world.call("POST", "/policies", { body: given })).status, 201);
  });

  it("bad cron or duplicate name answered 500", async () => {
    const taken = name();
    await world.made({ name: taken });
    const twice = await world.call("POST", "/policies", { body: body({ name: taken }) });
    assert.deepEqual([twice.status, reasonOf(twice)], [409, "ELASTI_POLICY_EXISTS"]);
    const other = await world.made({ name: name() });
    const renamed = await world.call("PUT", `/policies/${other.id}`, { body: { name: taken } });
    assert.deepEqual([renamed.status, reasonOf(renamed)], [409, "ELASTI_POLICY_EXISTS"]);
    const schedules = [{ cron_expression: "at noon", desired_replicas: 1 }];
    for (const answer of [
      await world.call("POST", "/policies", { body: body({ name: name(), schedules }) }),
      await world.call("PUT", `/policies/${other.id}`, { body: { schedules } }),
    ]) {
      assert.deepEqual([answer.status, reasonOf(answer)], [400, "ELASTI_POLICY_INVALID"]);
    }
  });

  it("PUT recreates rules and loses holds", async () => {
    const rule = (metric: string) => ({ metric, operator: "gt", threshold: 1, duration_seconds: 300, scale_by: 1 });
    const schedule = { cron_expression: "0 8 * * *", desired_replicas: 2 };
    const made = await world.made({
      name: name(),
      scale_up_rules: [rule("queue"), rule("latency")],
      schedules: [schedule],
    });
    const ids = ({ scale_up_rules }: Policy) => scale_up_rules.map(({ id }) => id);
    // one rule goes before the others, one goes, none of those that stay becomes another
    const changed = await world.call("PUT", `/policies/${made.id}`, {
      body: { scale_up_rules: [{ ...rule("queue"), threshold: 9 }, rule("latency")], schedules: [schedule] },
    });
    assert.equal(changed.status, 200, changed.text);
    const now = changed.body.policy as Policy;
    assert.equal(ids(now)[1], ids(made)[1]);
    assert.equal(now.schedules[0]?.id, made.schedules[0]?.id);
    const renamed = await world.call("PUT", `/policies/${made.id}`, { body: { description: "the same rules" } });
    assert.deepEqual(ids(renamed.body.policy as Policy), ids(now));
  });

  it("a PUT that fails halfway leaves half a policy", async () => {
    const rule = { metric: "queue", operator: "gt", threshold: 1, scale_by: 1 };
    const made = await world.made({ name: name(), scale_up_rules: [rule] });
    const taken = (await world.made({ name: name() })).name;
    const failed = await world.call("PUT", `/policies/${made.id}`, { body: { name: taken, scale_up_rules: [] } });
    assert.equal(failed.status, 409);
    const { policy } = (await world.call("GET", `/policies/${made.id}`)).body;
    assert.deepEqual(policy, made);
  });

  it("`{}` on evaluate executes for real", async () => {
    const { id } = await world.made({ name: name() });
    world.engine.asked.length = 0;
    for (const options of [{}, { body: {} }, { body: "" }, { body: { dry_run: true } }]) {
      const answer = await world.call("POST", `/policies/${id}/evaluate`, options);
      assert.deepEqual([answer.status, answer.body.dry_run], [200, true], JSON.stringify(options));
    }
    for (const given of [{ dry_run: "false" }, { dry_run: 0 }, { dry_run: null }, { dryRun: false }, [], "{"]) {
      const answer = await world.call("POST", `/policies/${id}/evaluate`, { body: given });
      assert.equal(answer.status, 400, JSON.stringify(given));
    }
    assert.deepEqual(
      world.engine.asked.map(({ dryRun }) => dryRun),
      [true, true, true, true],
    );
    await world.call("POST", `/policies/${id}/evaluate`, { body: { dry_run: false } });
    assert.equal(world.engine.asked.at(-1)?.dryRun, false);
  });

  it("an unknown field, such as a misspelt one, is taken and forgotten", async () => {
    const answer = await world.call("POST", "/policies", { body: body({ name: name(), max_replica: 3 }) });
    assert.equal(answer.status, 400);
    assert.deepEqual(
      answer.body.errors?.map(({ field }) => field),
      ["max_replica"],
    );
  });
});
