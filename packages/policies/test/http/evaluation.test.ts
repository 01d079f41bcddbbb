import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { once } from "node:events";
import { after, before, describe, it } from "node:test";
import type { HistoryEntry, PolicyState } from "../../src/index.ts";
import { policyErrors } from "../../src/index.ts";
import { decision, startMs, startWorld, type World } from "./kit.ts";

let world: World;
before(async () => {
  world = await startWorld();
});
after(() => world.close());

const fresh = () => ({ name: `policy-${randomUUID()}` });
const at = (seconds: number): string => new Date(startMs + 1_000 * seconds).toISOString();

describe("POST /policies/:id/evaluate", () => {
  it("answers what the policy decides", async () => {
    const { id, name } = await world.made(fresh());
    world.engine.asked.length = 0;
    const answer = await world.call("POST", `/policies/${id}/evaluate`, { body: { dry_run: true }, token: "reader" });
    assert.equal(answer.status, 200);
    const { decision: made, ...rest } = answer.body;
    assert.deepEqual(made, decision({}));
    assert.deepEqual(rest, {
      current_replicas: 2,
      would_scale: true,
      action: "scale_up",
      desired_replicas: 4,
      reason: "queue is 12, above 10 for 60 s",
      dry_run: true,
      outcome: "dry_run",
    });
    assert.deepEqual(world.engine.asked, [{ policy: name, dryRun: true, by: "reader" }]);
  });

  it("says that nothing would be scaled where nothing is known or the number is right", async () => {
    const { id } = await world.made(fresh());
    const before = world.engine.answer;
    for (const desired_replicas of [null, 2]) {
      world.engine.answer = () => ({
        decision: decision({ action: "none", desired_replicas }),
        outcome: "no_change",
        message: "as it is",
      });
      const { body } = await world.call("POST", `/policies/${id}/evaluate`);
      assert.deepEqual([body.would_scale, body.desired_replicas, body.message], [false, desired_replicas, "as it is"]);
    }
    world.engine.answer = before;
  });

  it("has it done only for who may change the policy", async () => {
    const { id } = await world.made(fresh());
    const done = (token: string) => world.call("POST", `/policies/${id}/evaluate`, { body: { dry_run: false }, token });
    world.engine.asked.length = 0;
    assert.equal((await done("reader")).status, 403);
    assert.deepEqual(world.engine.asked, []);
    const { body } = await done("shop");
    assert.deepEqual([body.dry_run, body.outcome], [false, "executed"]);
  });

  it("goes on as long as the caller waits, and no longer", async () => {
    const { id } = await world.made(fresh());
    const begun = Promise.withResolvers<AbortSignal>();
    const before = world.engine.answer;
    world.engine.answer = async (_policy, _dryRun, signal) => {
      begun.resolve(signal);
      await once(signal, "abort");
      throw signal.reason;
    };
    const leaving = new AbortController();
    const asked = fetch(`${world.url}/policies/${id}/evaluate`, {
      method: "POST",
      body: "{}",
      headers: { authorization: "Bearer admin", "content-type": "application/json" },
      signal: leaving.signal,
    });
    const signal = await begun.promise;
    assert.equal((await world.call("GET", "/policies?limit=1")).status, 200);
    assert.equal(signal.aborted, false);
    leaving.abort();
    await assert.rejects(asked);
    if (!signal.aborted) await once(signal, "abort");
    world.engine.answer = before;
  });

  it("ends an evaluation that takes too long", async () => {
    const own = await startWorld();
    try {
      const { id } = await own.made();
      const begun = Promise.withResolvers<void>();
      own.engine.answer = async (_policy, _dryRun, signal) => {
        begun.resolve();
        await once(signal, "abort");
        throw signal.reason;
      };
      const asked = own.call("POST", `/policies/${id}/evaluate`);
      await begun.promise;
      await own.clock.advance(60_000);
      const { status, body } = await asked;
      assert.deepEqual([status, body.reason], [504, "ELASTI_POLICY_TIMEOUT"]);
    } finally {
      await own.close();
    }
  });

  it("tells a caller to come back where another replica has to do it", async () => {
    const { id } = await world.made(fresh());
    const before = world.engine.answer;
    world.engine.answer = () => {
      throw policyErrors.ELASTI_POLICY_NOT_LEADING("elasti-operator-1 leads");
    };
    const { status, headers, body } = await world.call("POST", `/policies/${id}/evaluate`, {
      body: { dry_run: false },
    });
    assert.deepEqual([status, headers.get("retry-after"), body.reason], [503, "1", "ELASTI_POLICY_NOT_LEADING"]);
    world.engine.answer = before;
  });
});

describe("GET /policies/:id/state", () => {
  it("answers null before the first evaluation", async () => {
    const { id, name } = await world.made(fresh());
    const { body } = await world.call("GET", `/policies/${id}/state`);
    assert.deepEqual(body, { policy_id: id, policy_name: name, in_cooldown: false, cooldown_ends: null, state: null });
  });

  it("tells the cooldown that ends last, each direction by its own time", async () => {
    const behavior = { scale_up: { cooldown_seconds: 60 } };
    const { id } = await world.made({ ...fresh(), cooldown_seconds: 300, behavior });
    const term = await world.store.states.begin();
    const state: PolicyState = {
      policy_id: id,
      current_replicas: 3,
      floor: null,
      holds: { queue: { since: at(-30), seen: at(0) } },
      recommendations: [],
      changes: [],
      last_scale_up_at: at(-30),
      last_scale_down_at: null,
      last_scale_action: "scale_up",
      schedule_marks: {},
      decision_mark: "",
      evaluated_at: at(0),
      arbitrated: null,
      intent: null,
    };
    const read = async () => (await world.call("GET", `/policies/${id}/state`, { token: "reader" })).body;
    await world.store.states.save([state], term);
    const first = await read();
    assert.deepEqual([first.in_cooldown, first.cooldown_ends], [true, at(30)]);
    assert.deepEqual(first.state, {
      policy_id: id,
      current_replicas: 3,
      last_scale_time: at(-30),
      last_scale_action: "scale_up",
      last_scale_up_at: at(-30),
      last_scale_down_at: null,
      pending_conditions: { queue: at(-30) },
      updated_at: at(0),
    });
    await world.store.states.save([{ ...state, last_scale_up_at: at(-61), last_scale_down_at: at(-200) }], term);
    const second = await read();
    assert.deepEqual([second.in_cooldown, second.cooldown_ends], [true, at(100)]);
    await world.store.states.save([{ ...state, last_scale_up_at: at(-60) }], term);
    const third = await read();
    assert.deepEqual([third.in_cooldown, third.cooldown_ends], [false, null]);
  });
});

const entry = (more: Partial<HistoryEntry>): HistoryEntry => ({
  id: randomUUID(),
  kind: "action",
  policy_id: null,
  policy_name: "",
  action: "scale_up",
  outcome: "executed",
  target_type: "workload",
  target_id: null,
  target_ref: { namespace: "shop", name: "web", kind: "Deployment" },
  previous_replicas: 1,
  new_replicas: 2,
  reason: "queue is 12",
  triggered_by: "operator",
  dry_run: false,
  details: null,
  executed_at: at(0),
  ...more,
});

describe("history and decisions", () => {
  it("show what was done, what was held back too where it is asked for, and only what the caller may see", async () => {
    const own = await startWorld();
    try {
      const { id, name } = await own.made(fresh());
      const of = { policy_id: id, policy_name: name };
      const bank = { namespace: "bank", name: "web", kind: "Deployment" };
      await own.store.history.append([
        entry({ ...of, reason: "first", executed_at: at(1) }),
        entry({ ...of, reason: "held", kind: "decision", outcome: "held_back", executed_at: at(2) }),
        entry({ ...of, reason: "dry", dry_run: true, outcome: "dry_run", executed_at: at(3) }),
        entry({ reason: "sleep", action: "sleep", new_replicas: 0, executed_at: at(4) }),
        entry({ reason: "bank", target_ref: bank, executed_at: at(5) }),
      ]);
      const read = async (path: string, token = "admin") => {
        const { status, body } = await own.call("GET", path, { token });
        assert.equal(status, 200, path);
        const list = (body.history ?? body.decisions) as HistoryEntry[];
        return { reasons: list.map(({ reason }) => reason).join(" "), total: body.total_count, next: body.next };
      };
      const reasons = async (path: string, token?: string) => (await read(path, token)).reasons;
      assert.equal(await reasons("/history"), "bank sleep dry first");
      assert.equal(await reasons("/history", "shop"), "sleep dry first");
      assert.equal(await reasons("/history?kind=all&dry_run=false", "shop"), "sleep held first");
      assert.equal(await reasons("/history?action=sleep"), "sleep");
      assert.equal(await reasons("/history?namespace=bank"), "bank");
      assert.equal(await reasons(`/history?policy_id=${id}&outcome=dry_run`), "dry");
      const moment = encodeURIComponent("2026-05-04T14:00:03+02:00");
      assert.equal(await reasons(`/history?since=${moment}&kind=all`, "shop"), "sleep dry");
      assert.equal(await reasons(`/history?until=${moment}&kind=all`), "held first");
      assert.equal(await reasons(`/policies/${id}/history`, "reader"), "dry first");
      assert.equal(await reasons(`/policies/${id}/decisions`, "reader"), "dry held first");
      const page = await read(`/policies/${id}/decisions?limit=2`);
      assert.deepEqual([page.reasons, page.total], ["dry held", 3]);
      const rest = await read(`/policies/${id}/decisions?limit=2&after=${encodeURIComponent(String(page.next))}`);
      assert.deepEqual([rest.reasons, rest.next], ["first", null]);
      assert.equal((await own.call("GET", "/history?namespace=bank", { token: "shop" })).status, 403);
      // it survives the policy, under its name
      assert.equal((await own.call("DELETE", `/policies/${id}`)).status, 204);
      assert.equal((await own.call("GET", `/policies/${id}/history`)).status, 404);
      assert.equal(await reasons(`/history?policy_name=${name}&kind=all`), "dry held first");
      assert.equal(await reasons(`/history?policy_name=${name}&namespace=shop`, "shop"), "dry first");
      assert.equal(await reasons("/history?policy_name=none"), "");
    } finally {
      await own.close();
    }
  });

  it("refuse moments and limits that are none", async () => {
    for (const query of ["limit=-1", "since=yesterday", "since=2026-05-04", "kind=rumour", "policy_id=7", "action=x"]) {
      assert.equal((await world.call("GET", `/history?${query}`)).status, 400, query);
    }
    assert.equal((await world.call("GET", `/policies/${randomUUID()}/history`)).status, 404);
    assert.equal((await world.call("GET", "/policies/7/decisions")).status, 400);
  });
});
