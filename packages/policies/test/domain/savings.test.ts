import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type HistoryEntry, type SavingsInput, savingsOf } from "../../src/index.ts";
import { at } from "./kit.ts";

let made = 0;
function entry(action: HistoryEntry["action"], executedAt: string, more: Partial<HistoryEntry> = {}): HistoryEntry {
  made += 1;
  return {
    id: `${made}`,
    kind: "action",
    policy_id: null,
    policy_name: "",
    action,
    outcome: "executed",
    target_type: "elastiservice",
    target_id: null,
    target_ref: { namespace: "shop", name: "orders" },
    previous_replicas: action === "sleep" ? 2 : 0,
    new_replicas: action === "sleep" ? 0 : 2,
    reason: "",
    triggered_by: "operator",
    dry_run: false,
    details: null,
    executed_at: executedAt,
    ...more,
  };
}
const savings = (entries: HistoryEntry[], more: Partial<SavingsInput> = {}) =>
  savingsOf({
    entries,
    sinceMs: at("2026-05-01T00:00:00Z"),
    untilMs: at("2026-05-08T00:00:00Z"),
    nowMs: at("2026-05-08T00:00:00Z"),
    pricePerReplicaHour: 0.5,
    usualReplicas: 3,
    ...more,
  });

describe("savings", () => {
  it("count the hours between a sleep and the wake that follows, for as many replicas as there were", () => {
    const result = savings([entry("sleep", "2026-05-02T20:00:00Z"), entry("wake", "2026-05-02T23:30:00Z")]);
    assert.deepEqual(result, {
      hours_slept: 3.5,
      replica_hours_saved: 7,
      money_saved: 3.5,
      sleeps: 1,
      asleep_since: null,
      days: [{ date: "2026-05-02", hours_slept: 3.5, replica_hours_saved: 7, money_saved: 3.5 }],
    });
  });

  it("count a sleep that began before the range from where the range begins", () => {
    assert.equal(
      savings([entry("sleep", "2026-04-20T00:00:00Z"), entry("wake", "2026-05-01T06:00:00Z")]).hours_slept,
      6,
    );
  });

  it("count a sleep that has not ended until now", () => {
    const result = savings([entry("sleep", "2026-05-07T12:00:00Z")], {
      untilMs: at("2026-06-01T00:00:00Z"),
      nowMs: at("2026-05-07T14:00:00Z"),
    });
    assert.deepEqual([result.hours_slept, result.asleep_since], [2, "2026-05-07T12:00:00.000Z"]);
  });

  it("are split at midnight of UTC", () => {
    const { days } = savings([entry("sleep", "2026-05-02T22:00:00Z"), entry("wake", "2026-05-04T01:00:00Z")]);
    assert.deepEqual(
      days.map(({ date, hours_slept }) => [date, hours_slept]),
      [
        ["2026-05-02", 2],
        ["2026-05-03", 24],
        ["2026-05-04", 1],
      ],
    );
  });

  it("know no money without a price", () => {
    const result = savings([entry("sleep", "2026-05-07T12:00:00Z")], { pricePerReplicaHour: null });
    assert.deepEqual([result.hours_slept, result.money_saved, result.days[0]?.money_saved], [12, null, null]);
  });

  it("count only what was done", () => {
    const undone = (["failed", "dry_run", "shadow", "held_back"] as const).map((outcome) =>
      entry("sleep", "2026-05-02T00:00:00Z", { outcome }),
    );
    assert.equal(savings([...undone, entry("none", "2026-05-02T00:00:00Z", { kind: "decision" })]).hours_slept, 0);
  });

  it("count a sleep that is told of twice once, and a wake without a sleep not at all", () => {
    const result = savings([
      entry("wake", "2026-05-01T10:00:00Z"),
      entry("sleep", "2026-05-02T00:00:00Z"),
      entry("sleep", "2026-05-02T01:00:00Z", { previous_replicas: 0 }),
      entry("wake", "2026-05-02T02:00:00Z"),
      entry("wake", "2026-05-02T03:00:00Z"),
    ]);
    assert.deepEqual([result.hours_slept, result.replica_hours_saved, result.sleeps], [2, 4, 1]);
  });

  it("take the usual count where an entry does not say how many there were", () => {
    const asleep = entry("sleep", "2026-05-02T00:00:00Z", { previous_replicas: null });
    assert.equal(savings([asleep, entry("wake", "2026-05-02T02:00:00Z")]).replica_hours_saved, 6);
  });

  it("know a policy's own way to zero and back", () => {
    const result = savings([
      entry("scale_down", "2026-05-02T00:00:00Z", { previous_replicas: 4, new_replicas: 0 }),
      entry("scheduled", "2026-05-02T08:00:00Z", { previous_replicas: 0, new_replicas: 4 }),
    ]);
    assert.equal(result.replica_hours_saved, 32);
  });
});
