import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { API_VERSION, type ElastiService, KIND, type ParkRevert, type RoutingMode } from "@elasti/api";
import { parkBar, withRevert } from "../../src/lifecycle/park-reverts.ts";

const start = Date.UTC(2026, 0, 1, 12);
const at = (minutes: number): string => new Date(start + minutes * 60_000).toISOString();
const revert = (minutes: number, drainEpoch = minutes): ParkRevert => ({
  time: at(minutes),
  drainEpoch,
  generation: 1,
  service: "uid",
});
const es = (
  status: ElastiService["status"] & object,
  { generation = 1, mode = "SelectorSwap" as RoutingMode } = {},
): ElastiService => ({
  apiVersion: API_VERSION,
  kind: KIND,
  metadata: { name: "web", namespace: "default", generation },
  spec: {
    service: "web",
    scaleTargetRef: { apiVersion: "apps/v1", kind: "Deployment", name: "web" },
    routing: { mode },
  },
  status,
});
const barred = (object: ElastiService, minutes: number, uid = "uid"): boolean =>
  parkBar(object, uid, start + minutes * 60_000) !== undefined;

describe("the park", () => {
  it("is tried where nobody took it off", () =>
    assert.equal(barred(es({ phase: "Draining", drainEpoch: 3 }), 0), false));

  it("is not tried again in the sleep in which it was taken off, and again in the next", () => {
    const parkReverts = [revert(1, 5)];
    for (const phase of ["Draining", "Sealed", "Asleep", "Waking"] as const)
      assert.equal(barred(es({ phase, drainEpoch: 5, phaseTime: at(0), parkReverts }), 2), true, phase);
    assert.equal(barred(es({ phase: "Serving", drainEpoch: 5, phaseTime: at(0), parkReverts }), 2), false);
    assert.equal(barred(es({ phase: "Draining", drainEpoch: 9, phaseTime: at(3), parkReverts }), 4), false);
  });

  it("is left for an hour after the second time, tried once, and left again", () => {
    const twice = es({ phase: "Draining", drainEpoch: 9, phaseTime: at(3), parkReverts: [revert(1), revert(2)] });
    assert.equal(barred(twice, 4), true);
    assert.equal(parkBar(twice, "uid", start)?.untilMs, start + 62 * 60_000);
    const later = { phase: "Draining", drainEpoch: 9, phaseTime: at(62) } as const;
    assert.equal(barred(es({ ...later, parkReverts: [revert(1), revert(2)] }), 62), false);
    assert.equal(barred(es({ ...later, parkReverts: withRevert([revert(1), revert(2)], revert(63)) }), 64), true);
  });

  it("keeps the mode of a sleep until that is over", () => {
    const parkReverts = [revert(1), revert(2)];
    assert.equal(barred(es({ phase: "Draining", drainEpoch: 9, phaseTime: at(61), parkReverts }), 63), true);
    // each phase of it has a time of its own
    const begun = { drainEpoch: 9, phaseTime: at(63), parkReverts } as const;
    for (const phase of ["Sealed", "Asleep", "Waking"] as const)
      assert.equal(barred(es({ ...begun, parkReverts, phase, routingMode: "EndpointSlice" }), 64), true, phase);
    assert.equal(barred(es({ ...begun, parkReverts, phase: "Sealed", routingMode: "SelectorSwap" }), 64), false);
  });

  it("says no time that is past, at which nothing would change", () => {
    const asleep = es({ phase: "Asleep", drainEpoch: 9, phaseTime: at(61), parkReverts: [revert(1), revert(2)] });
    assert.equal(parkBar(asleep, "uid", start + 61.5 * 60_000)?.untilMs, start + 62 * 60_000);
    const bar = parkBar(asleep, "uid", start + 63 * 60_000);
    assert.notEqual(bar, undefined);
    assert.equal(bar?.untilMs, undefined);
  });

  it("is tried again when the ElastiService or the Service is another", () => {
    const status = { phase: "Serving", parkReverts: [revert(1), revert(2)] } as const;
    assert.equal(barred(es({ ...status, parkReverts: [...status.parkReverts] }, { generation: 2 }), 3), false);
    assert.equal(barred(es({ ...status, parkReverts: [...status.parkReverts] }), 3, "another"), false);
  });

  it("is tried a second time a minute later where the resolver stays in the path", () => {
    const always = es({ phase: "Serving", parkReverts: [revert(1)] }, { mode: "Always" });
    assert.equal(barred(always, 1.5), true);
    assert.equal(barred(always, 2), false);
  });
});

describe("the reverts that are kept", () => {
  it("are the last two of a day", () => {
    assert.deepEqual(withRevert([revert(1), revert(2)], revert(3)), [revert(2), revert(3)]);
    assert.deepEqual(withRevert([revert(0)], revert(24 * 60)), [revert(24 * 60)]);
  });
});
