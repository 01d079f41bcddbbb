import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { type Phase, phases } from "@elasti/api";
import { ManualClock } from "@elasti/core/testing";
import fc from "fast-check";
import { type ServiceEvents, ServiceState } from "../src/service-state.ts";

const noEvents: ServiceEvents = { changed() {}, urgent() {}, idle() {}, silent() {} };
const make = (events: Partial<ServiceEvents> = {}) => {
  const clock = new ManualClock();
  return { clock, state: new ServiceState(clock, { ...noEvents, ...events }) };
};

describe("may forward", () => {
  const table: [Phase, boolean, boolean][] = [
    ["Serving", false, true],
    ["Draining", false, true],
    ["Sealed", false, false],
    ["Sealed", true, false],
    ["Asleep", false, false],
    ["Asleep", true, true],
    ["Waking", false, true],
    ["Degraded", false, true],
  ];
  for (const [phase, podsGone, may] of table) {
    test(`${phase}${podsGone ? " with the old pods gone" : ""}: ${may ? "yes" : "holds"}`, () => {
      const { state } = make();
      state.observe(phase, 1, podsGone);
      assert.equal(state.mayForward(), may);
    });
  }

  test("before anything was seen: yes, as for a service that was just made", () => {
    assert.equal(make().state.mayForward(), true);
  });

  test("an older event changes nothing; podsGone may follow within an epoch", () => {
    const { state } = make();
    assert.equal(state.observe("Asleep", 5, false), true);
    assert.equal(state.observe("Serving", 4, false), false);
    assert.equal(state.mayForward(), false);
    assert.equal(state.observe("Asleep", 5, true), true);
    assert.equal(state.observe("Asleep", 5, true), false);
    assert.equal(state.mayForward(), true);
  });
});

describe("seal", () => {
  test("is given in Draining when nothing came", () => {
    const { state } = make();
    state.observe("Draining", 3, false);
    assert.deepEqual(state.seal(4, 3), { ok: true });
    assert.equal(state.mayForward(), false);
    state.observe("Sealed", 4, false);
    assert.equal(state.mayForward(), false);
    state.observe("Serving", 5, false);
    assert.equal(state.mayForward(), true);
  });

  test("is given in Sealed when its Draining was seen, and again when asked again", () => {
    const { state } = make();
    state.observe("Draining", 3, false);
    state.observe("Sealed", 4, false);
    assert.deepEqual(state.seal(4, 3), { ok: true });
    assert.deepEqual(state.seal(4, 3), { ok: true });
  });

  test("is refused when its Draining was not seen, whatever was seen since", () => {
    const { state } = make();
    assert.deepEqual(state.seal(4, 3), { ok: false, reason: "unknown-epoch" });
    state.observe("Sealed", 4, false);
    assert.deepEqual(state.seal(4, 3), { ok: false, reason: "unknown-epoch" });
    const other = make().state;
    other.observe("Draining", 3, false);
    other.observe("Serving", 4, false);
    assert.deepEqual(other.seal(5, 3), { ok: false, reason: "unknown-epoch" });
    other.observe("Draining", 5, false);
    assert.deepEqual(other.seal(6, 3), { ok: false, reason: "unknown-epoch" });
    assert.deepEqual(other.seal(5, 5), { ok: false, reason: "unknown-epoch" });
    assert.deepEqual(other.seal(6, 5), { ok: true });
  });

  test("is refused while something is in flight, is held, or came since Draining", () => {
    const { state } = make();
    state.observe("Serving", 2, false);
    state.countRequest();
    state.beginForward();
    state.observe("Draining", 3, false);
    assert.deepEqual(state.seal(4, 3), { ok: false, reason: "in-flight" });
    state.endForward(true, 2);
    state.setHeld(1);
    assert.deepEqual(state.seal(4, 3), { ok: false, reason: "held" });
    state.setHeld(0);
    state.countRequest();
    assert.deepEqual(state.seal(4, 3), { ok: false, reason: "request-seen" });
    assert.equal(state.mayForward(), true);
  });

  test("a new Draining begins to count anew", () => {
    const { state } = make();
    state.observe("Draining", 3, false);
    state.countRequest();
    state.observe("Serving", 4, false);
    state.observe("Draining", 5, false);
    assert.deepEqual(state.seal(6, 5), { ok: true });
  });

  test("a sealed state forwards only after an epoch that is newer than the seal", () => {
    const step = fc.oneof(
      fc.record({
        do: fc.constant("observe" as const),
        phase: fc.constantFrom(...phases),
        epoch: fc.nat(12),
        gone: fc.boolean(),
      }),
      fc.record({ do: fc.constant("seal" as const), epoch: fc.nat(12), drain: fc.nat(12) }),
      fc.record({ do: fc.constantFrom("request" as const, "begin" as const, "end" as const, "time" as const) }),
    );
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        const { state } = make();
        let sealed = -1;
        let newest = -1;
        let drainSeen = -1;
        let dirtySinceDrain = false;
        for (const entry of steps) {
          if (entry.do === "observe") {
            if (entry.epoch > newest && entry.phase === "Draining") {
              drainSeen = entry.epoch;
              dirtySinceDrain = false;
            }
            newest = Math.max(newest, entry.epoch);
            state.observe(entry.phase, entry.epoch, entry.gone);
          } else if (entry.do === "seal") {
            const { ok } = state.seal(entry.epoch, entry.drain);
            if (ok) {
              assert.equal(entry.drain, drainSeen);
              assert.equal(state.inFlight, 0);
              assert.equal(dirtySinceDrain, false);
              sealed = Math.max(sealed, entry.epoch);
            }
          } else if (entry.do === "request") {
            state.countRequest();
            dirtySinceDrain = true;
          } else if (entry.do === "begin" && state.mayForward()) state.beginForward();
          else if (entry.do === "end" && state.inFlight > 0) state.endForward(true);
          if (sealed >= 0 && newest <= sealed) assert.equal(state.mayForward(), false);
        }
      }),
      { numRuns: 500 },
    );
  });
});

describe("numbers", () => {
  test("tells of a change once until it is asked for them", () => {
    let changes = 0;
    const { state, clock } = make({ changed: () => changes++ });
    assert.equal(state.snapshot().idleMs, -1);
    state.countRequest();
    const epoch = state.beginForward();
    assert.equal(changes, 1);
    const { requests, inFlight } = state.snapshot();
    assert.deepEqual({ requests, inFlight }, { requests: 1, inFlight: 1 });
    state.endForward(true, epoch);
    assert.equal(changes, 2);
    void clock.advance(1_000);
  });

  test("counts idle time from the end of the last request, but not from checks", async () => {
    const { state, clock } = make();
    state.countRequest();
    state.beginForward();
    await clock.advance(5_000);
    state.endForward(true);
    await clock.advance(1_000);
    state.beginForward();
    state.endForward(false);
    assert.equal(state.snapshot().idleMs, 1_000);
  });

  test("remembers the newest epoch that pods answered in", () => {
    const { state } = make();
    state.observe("Waking", 7, false);
    const epoch = state.beginForward();
    state.observe("Serving", 8, false);
    state.endForward(true, epoch);
    assert.equal(state.snapshot().answeredEpoch, 7);
  });

  test("tells of the first request in Draining, once", () => {
    let urgent = 0;
    const { state } = make({ urgent: () => urgent++ });
    state.countRequest();
    state.observe("Draining", 2, false);
    state.countRequest();
    state.countRequest();
    assert.equal(urgent, 1);
    assert.equal(state.requestsSinceDrain, 2);
  });

  test("tells of the first hold, each time that there was none", () => {
    let urgent = 0;
    const { state } = make({ urgent: () => urgent++ });
    for (const held of [1, 2, 1, 0, 1]) state.setHeld(held);
    assert.equal(urgent, 2);
  });

  test("remembers at most 64 silent connections, only while Draining", () => {
    const { state } = make();
    state.recordSilent({ address: "10.0.0.1", port: 1, openMs: 5 });
    assert.deepEqual(state.takeSilent(), []);
    state.observe("Draining", 2, false);
    for (let port = 0; port < 100; port++) state.recordSilent({ address: "10.0.0.1", port, openMs: 5 });
    const taken = state.takeSilent();
    assert.equal(taken.length, 64);
    assert.equal(taken[0]?.port, 36);
    assert.deepEqual(state.takeSilent(), []);
  });
});
