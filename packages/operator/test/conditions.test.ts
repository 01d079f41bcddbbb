import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { maxConditionMessage, setConditions } from "../src/controller/conditions.ts";

const at = (nowMs: number, generation?: number) => ({ nowMs, generation });
const update = (type: string, status: "True" | "False", reason = "Because", message = "text") => ({
  type,
  status,
  reason,
  message,
});

describe("setConditions", () => {
  it("moves the transition time only with the status", () => {
    const first = setConditions([], [update("Ready", "True")], at(1_000, 1));
    assert.deepEqual(first, [
      {
        type: "Ready",
        status: "True",
        reason: "Because",
        message: "text",
        lastTransitionTime: "1970-01-01T00:00:01.000Z",
        observedGeneration: 1,
      },
    ]);
    const [same] = setConditions(first, [update("Ready", "True", "Other", "new")], at(2_000, 2));
    assert.deepEqual(
      [same?.lastTransitionTime, same?.reason, same?.message, same?.observedGeneration],
      ["1970-01-01T00:00:01.000Z", "Other", "new", 2],
    );
    const [changed] = setConditions(first, [update("Ready", "False")], at(3_000));
    assert.equal(changed?.lastTransitionTime, "1970-01-01T00:00:03.000Z");
    assert.ok(!("observedGeneration" in changed!));
  });

  it("does not take over a message of which only numbers changed", () => {
    const first = setConditions([], [update("Idle", "False", "InFlight", "1.5 requests")], at(0));
    assert.deepEqual(setConditions(first, [update("Idle", "False", "InFlight", "2 requests")], at(9)), first);
  });

  it("takes over a message that says something else", () => {
    const first = setConditions([], [update("Ready", "True", "Asleep", "for the last pods to leave")], at(0));
    const [ready] = setConditions(first, [update("Ready", "True", "Asleep", "asleep")], at(9));
    assert.deepEqual([ready?.message, ready?.lastTransitionTime], ["asleep", "1970-01-01T00:00:00.000Z"]);
    const other = setConditions([], [update("Idle", "False", "Active", "triggers[0]: 1 >= 1")], at(0));
    const [idle] = setConditions(other, [update("Idle", "False", "Active", "triggers[1]: 3 >= 1")], at(9));
    assert.equal(idle?.message, "triggers[1]: 3 >= 1");
  });

  it("keeps a stable order and drops what is not said any more", () => {
    const types = ["Zeta", "Idle", "Ready", "Alpha", "TargetFound", "RoutingSupported"];
    const all = setConditions(
      [],
      types.map((type) => update(type, "True")),
      at(0),
    );
    assert.deepEqual(
      all.map(({ type }) => type),
      ["Ready", "RoutingSupported", "TargetFound", "Idle", "Alpha", "Zeta"],
    );
    assert.deepEqual(
      setConditions(all, [update("Idle", "True"), update("Ready", "True")], at(5)).map(({ type }) => type),
      ["Ready", "Idle"],
    );
  });

  it("says each type once, the last time", () => {
    const [one, none] = setConditions([], [update("Ready", "True"), update("Ready", "False")], at(0));
    assert.equal(one?.status, "False");
    assert.equal(none, undefined);
  });

  it("bounds messages and makes reasons one word", () => {
    const [long] = setConditions([], [update("Ready", "True", "not one-word!", "x".repeat(9_000))], at(0));
    assert.equal(long?.message.length, maxConditionMessage);
    assert.equal(long?.reason, "notoneword");
    const [odd] = setConditions([], [update("Ready", "True", "404")], at(0));
    assert.equal(odd?.reason, "Unknown");
  });
});
