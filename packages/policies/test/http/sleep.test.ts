import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { beforeEach, describe, it } from "node:test";
import { defineErrors } from "@elasti/core";
import type { HistoryEntry, Policy } from "../../src/index.ts";
import { startMs, startWorld, type World } from "./kit.ts";

const kube = defineErrors({ ELASTI_KUBE_FORBIDDEN: { status: 403, retryable: true, title: "Not allowed" } });

let world: World;
beforeEach(async () => {
  world = await startWorld();
});
const close = () => world.close();
const at = (hours: number): string => new Date(startMs + 3_600_000 * hours).toISOString();
const about = (name: string, more: Record<string, unknown> = {}) => ({
  name,
  target_type: "elastiservice",
  target_ref: { namespace: "shop", name },
  ...more,
});
const unknownId = "2c7c3a52-3a39-4f6f-9a3b-9a7d6f0a1c11";

describe("waking", () => {
  it("asks for a wake and says what the target has to come to", async () => {
    try {
      const { id } = await world.made(about("web"));
      world.sleepers.set("web");
      const first = await world.call("POST", `/policies/${id}/wake`, { body: { reason: "webhook" }, token: "shop" });
      assert.equal(first.status, 200);
      assert.deepEqual(first.body, {
        policy_id: id,
        previous_replicas: 0,
        target_replicas: 2,
        reason: "webhook",
        status: "in_progress",
        message: "it wakes",
      });
      world.sleepers.set("web", { phase: "Serving" });
      const second = await world.call("POST", `/policies/${id}/wake`);
      const { status, message, reason } = second.body;
      assert.deepEqual([status, message, reason], ["completed", "it was awake", "manual"]);
      assert.deepEqual(world.sleepers.woken, [
        { name: "web", reason: "webhook" },
        { name: "web", reason: "manual" },
      ]);
      assert.equal((await world.call("POST", `/policies/${id}/wake`, { token: "reader" })).status, 403);
      assert.equal((await world.call("POST", `/policies/${unknownId}/wake`)).status, 404);
      assert.equal((await world.call("POST", `/policies/${id}/wake`, { body: { reason: "boredom" } })).status, 400);
    } finally {
      await close();
    }
  });

  it("waits until it serves where that is asked for, and not for ever", async () => {
    try {
      const { id } = await world.made(about("web"));
      world.sleepers.set("web");
      const wait = () => world.call("POST", `/policies/${id}/wake`, { body: { wait_for_ready: true } });
      assert.equal((await wait()).body.status, "completed");
      world.sleepers.set("web");
      world.sleepers.serves = false;
      const slow = wait();
      await world.sleepers.waiting;
      await world.clock.advance(120_000);
      assert.equal((await slow).body.status, "in_progress");
    } finally {
      await close();
    }
  });

  it("says where no ElastiService looks after the target, and what the cluster did not do", async () => {
    try {
      const { id } = await world.made();
      const none = await world.call("POST", `/policies/${id}/wake`);
      assert.deepEqual([none.status, none.body.reason], [409, "ELASTI_POLICY_NO_ELASTISERVICE"]);
      world.sleepers.set("web");
      world.sleepers.failure = kube.ELASTI_KUBE_FORBIDDEN("not allowed to patch deployments/scale");
      const failed = await world.call("POST", `/policies/${id}/wake`);
      assert.deepEqual([failed.status, failed.body.reason], [503, "ELASTI_POLICY_CLUSTER"]);
      assert.match(String(failed.body.detail), /not allowed to patch/);
    } finally {
      await close();
    }
  });

  it("wakes all that sleep and that the caller may wake, or those that are named", async () => {
    try {
      const [a, b] = [await world.made(about("a")), await world.made(about("b"))];
      await world.made(about("c"));
      world.sleepers.set("a");
      world.sleepers.set("b", { phase: "Serving" });
      const all = await world.call("POST", "/wake");
      assert.equal(all.status, 200);
      assert.deepEqual([all.body.woken, all.body.already_running, all.body.failed], [1, 0, 0]);
      assert.equal((all.body.policies as { policy_id: string }[])[0]?.policy_id, a.id);
      world.sleepers.set("a");
      const none = await world.call("POST", "/wake", { token: "reader" });
      assert.deepEqual([none.body.woken, none.body.policies], [0, []]);
      const named = await world.call("POST", "/wake", {
        body: { policy_ids: [a.id, b.id, b.id, unknownId], reason: "scheduled" },
      });
      assert.deepEqual([named.body.woken, named.body.already_running, named.body.failed], [1, 1, 1]);
      const lines = named.body.policies as { error?: string; status: string }[];
      assert.deepEqual(
        lines.map(({ status, error }) => error ?? status),
        ["in_progress", "completed", "ELASTI_POLICY_NOT_FOUND"],
      );
      const wrong = await world.call("POST", "/wake", { body: { policy_ids: ["a"] } });
      assert.equal(wrong.body.errors?.[0]?.field, "policy_ids[0]");
    } finally {
      await close();
    }
  });
});

describe("idle states", () => {
  it("come from the ElastiService, and without one from what the policy did", async () => {
    try {
      const web = await world.made(about("web"));
      const queue = await world.made(about("queue", { target_type: "workload", scale_to_zero: true }));
      world.sleepers.set("web", { lastWakeMs: startMs - 9_000_000, lastWakeReason: "request" });
      const idle = async ({ id }: Policy) => (await world.call("GET", `/policies/${id}/idle`)).body;
      assert.deepEqual(await idle(web), {
        policy_id: web.id,
        policy_name: "web",
        last_activity_at: at(-2),
        idle_since: at(-2),
        idle_duration_seconds: 7_200,
        is_scaled_to_zero: true,
        scaled_to_zero_at: at(-1),
        last_wake_at: at(-2.5),
        wake_reason: "request",
      });
      const unknown = await idle(queue);
      assert.deepEqual(
        [unknown.is_scaled_to_zero, unknown.last_activity_at, unknown.idle_duration_seconds],
        [false, null, 0],
      );
      const term = await world.store.states.begin();
      const nothing = { holds: {}, recommendations: [], changes: [], schedule_marks: {}, decision_mark: "" };
      await world.store.states.save(
        [
          {
            ...nothing,
            policy_id: queue.id,
            current_replicas: 0,
            floor: null,
            last_scale_up_at: at(-4),
            last_scale_down_at: at(-3),
            last_scale_action: "scale_down",
            evaluated_at: at(0),
            arbitrated: null,
            intent: null,
          },
        ],
        term,
      );
      const slept = await idle(queue);
      assert.deepEqual(
        [slept.is_scaled_to_zero, slept.scaled_to_zero_at, slept.idle_duration_seconds, slept.last_wake_at],
        [true, at(-3), 10_800, at(-4)],
      );
      const list = await world.call("GET", "/scaled-to-zero", { token: "reader" });
      assert.equal(list.body.total_count, 2);
      const short = await world.call("GET", "/scaled-to-zero?limit=1");
      assert.deepEqual([short.body.total_count, (short.body.policies as unknown[]).length], [2, 1]);
      world.rights.granted.stranger = ["list bank"];
      assert.equal((await world.call("GET", "/scaled-to-zero", { token: "stranger" })).body.total_count, 0);
      world.sleepers.set("web", { phase: "Serving" });
      assert.equal((await world.call("GET", "/scaled-to-zero")).body.total_count, 1);
      assert.equal((await world.call("GET", `/policies/${unknownId}/idle`)).status, 404);
    } finally {
      await close();
    }
  });
});

describe("savings", () => {
  const slept = (name: string, action: "sleep" | "wake", hours: number): HistoryEntry => ({
    id: randomUUID(),
    kind: "action",
    policy_id: null,
    policy_name: "",
    action,
    outcome: "executed",
    target_type: "elastiservice",
    target_id: null,
    target_ref: { namespace: "shop", name },
    previous_replicas: action === "sleep" ? 2 : 0,
    new_replicas: action === "sleep" ? 0 : 2,
    reason: action,
    triggered_by: "operator",
    dry_run: false,
    details: null,
    executed_at: at(hours),
  });

  it("are hours asleep times replicas times price, by day and together", async () => {
    try {
      const { id } = await world.made(about("web", { price_per_replica_hour: 0.5 }));
      await world.store.history.append([slept("web", "sleep", -20), slept("web", "wake", -10)]);
      const { status, body } = await world.call("GET", `/policies/${id}/savings?days=7`, { token: "reader" });
      assert.equal(status, 200);
      const { daily_breakdown, ...rest } = body;
      assert.deepEqual(rest, {
        policy_id: id,
        policy_name: "web",
        period: "last_7_days",
        total_idle_hours: 10,
        total_scaled_to_zero_hours: 10,
        total_replica_hours_saved: 20,
        estimated_savings: 10,
      });
      // 16:00 to midnight, midnight to 02:00
      assert.deepEqual(
        (daily_breakdown as { date: string; scaled_to_zero_hours: number; savings: number }[]).map((day) => [
          day.date,
          day.scaled_to_zero_hours,
          day.savings,
        ]),
        [
          ["2026-05-03", 8, 8],
          ["2026-05-04", 2, 2],
        ],
      );
      assert.equal((await world.call("GET", `/policies/${id}/savings?days=0`)).status, 400);
      assert.equal((await world.call("GET", `/policies/${id}/savings?days=400`)).status, 400);
    } finally {
      await close();
    }
  });

  it("are those of the ElastiService that looks after a workload, whatever its name", async () => {
    try {
      const workload = { namespace: "shop", name: "storefront", api_version: "apps/v1", kind: "Deployment" };
      const { id } = await world.made({
        name: "front",
        target_type: "workload",
        target_ref: workload,
        price_per_replica_hour: 0.5,
      });
      await world.made(about("web"));
      world.sleepers.set("storefront", { name: "web" });
      world.sleepers.set("web");
      await world.store.history.append([slept("web", "sleep", -20), slept("web", "wake", -10)]);
      const { body } = await world.call("GET", `/policies/${id}/savings?days=7`);
      assert.deepEqual([body.total_scaled_to_zero_hours, body.estimated_savings], [10, 10]);
      const summary = (await world.call("GET", "/savings/summary")).body;
      assert.deepEqual([summary.policy_count, summary.total_scaled_to_zero_hours, summary.total_savings], [2, 10, 10]);
    } finally {
      await close();
    }
  });

  it("count a target once, however many policies are about it, and are a minute old at most", async () => {
    try {
      await world.made(about("web", { price_per_replica_hour: 0.5 }));
      await world.made({ ...about("web"), name: "web-at-night" });
      await world.made(about("api"));
      await world.store.history.append([slept("web", "sleep", -20), slept("web", "wake", -10)]);
      const summary = async (query = "", token = "admin") =>
        (await world.call("GET", `/savings/summary${query}`, { token })).body;
      const first = await summary();
      assert.deepEqual(
        [first.policy_count, first.total_scaled_to_zero_hours, first.total_savings, first.period],
        [3, 10, 10, "last_30_days"],
      );
      const names = (first.policies as { policy_name: string }[]).map(({ policy_name }) => policy_name);
      assert.deepEqual(names, ["web", "web-at-night", "api"]);
      await world.store.history.append([slept("web", "sleep", -2)]);
      assert.equal((await summary()).total_scaled_to_zero_hours, 10);
      assert.equal((await summary("?namespace=shop", "shop")).total_scaled_to_zero_hours, 12);
      await world.clock.advance(60_000);
      assert.ok(Number((await summary()).total_scaled_to_zero_hours) > 12);
      world.rights.granted.stranger = ["list bank"];
      assert.equal((await summary("", "stranger")).policy_count, 0);
      assert.equal((await world.call("GET", "/savings/summary?namespace=shop", { token: "stranger" })).status, 403);
    } finally {
      await close();
    }
  });
});
