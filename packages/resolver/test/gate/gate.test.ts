import assert from "node:assert/strict";
import { describe, test } from "node:test";
import { ElastiError } from "@elasti/core";
import { ManualClock } from "@elasti/core/testing";
import fc from "fast-check";
import type { PodTarget, WakeFailure } from "../../src/contracts.ts";
import { errors } from "../../src/errors.ts";
import { Gate, type HoldEnd } from "../../src/gate/gate.ts";
import { type Admission, type Hold, HoldBudget, type Ticket } from "../../src/gate/hold.ts";
import { LearningWindow, type ReleaseWindow } from "../../src/gate/release-window.ts";
import { ServiceState } from "../../src/service-state.ts";
import { FakePods } from "../support/world.ts";

const pod = (name: string): PodTarget => ({ uid: name, name, address: "127.0.0.1", port: 1 });
const [a, b] = [pod("a"), pod("b")];

interface Options {
  maxRequests?: number;
  timeoutMs?: number;
  perPod?: number;
  maxHolds?: number;
  newWindow?: () => ReleaseWindow;
}

function make(options: Options = {}) {
  const clock = new ManualClock();
  const state = new ServiceState(clock, { changed() {}, urgent() {}, idle() {}, silent() {} });
  const pods = new FakePods();
  const budget = new HoldBudget(options.maxHolds ?? 1_000);
  const wanting: boolean[] = [];
  const ends: HoldEnd[] = [];
  const deferred: (() => void)[] = [];
  const failure: { now?: WakeFailure } = {};
  const settings = { maxRequests: options.maxRequests ?? 100, timeoutMs: options.timeoutMs ?? 300_000 };
  const gate = new Gate({
    state,
    pods,
    pick: (candidates, inFlightOf) => [...candidates].sort((x, y) => inFlightOf(x) - inFlightOf(y))[0],
    clock,
    budget,
    settings: () => settings,
    newWindow: options.newWindow ?? (() => new LearningWindow(() => options.perPod ?? Number.POSITIVE_INFINITY)),
    onWanting: (now) => wanting.push(now),
    lastFailure: () => failure.now,
    hopeless: () => undefined,
    onHoldEnd: (end) => ends.push(end),
    defer: (fn) => deferred.push(fn),
  });
  const runDeferred = () => {
    for (let fn = deferred.shift(); fn !== undefined; fn = deferred.shift()) fn();
  };
  return { clock, state, pods, budget, wanting, ends, failure, settings, gate, runDeferred };
}

/** A hold that remembers what it was told. */
class Recorder implements Hold {
  readonly log: (Admission | ElastiError)[] = [];
  release(admission: Admission): void {
    this.log.push(admission);
  }
  fail(error: ElastiError): void {
    this.log.push(error);
  }
  get admission(): Admission {
    const [first] = this.log;
    assert.ok(first !== undefined && !(first instanceof ElastiError));
    return first;
  }
  get error(): ElastiError {
    const [first] = this.log;
    assert.ok(first instanceof ElastiError);
    return first;
  }
}

describe("gate", () => {
  test("admits at once while a pod is usable and nothing waits", () => {
    const { gate, pods, wanting } = make();
    pods.set(a);
    assert.equal(gate.isOpen("http"), true);
    const admission = gate.admit("http", true);
    assert.equal(admission?.pod, a);
    assert.deepEqual(wanting, []);
  });

  test("asks for a wake once, however many wait, and stops when they are let go", () => {
    const { gate, pods, wanting } = make();
    const holds = [new Recorder(), new Recorder()];
    for (const hold of holds) gate.hold(hold, "http", true);
    assert.deepEqual(wanting, [true]);
    pods.set(a);
    assert.deepEqual(wanting, [true, false]);
    assert.equal(holds[1]!.admission.pod, a);
  });

  test("a sealed gate holds although pods are there", () => {
    const { gate, pods, state, wanting } = make();
    pods.set(a);
    state.observe("Sealed", 4, false);
    assert.equal(gate.admit("http", true), undefined);
    const hold = new Recorder();
    gate.hold(hold, "http", true);
    assert.deepEqual(wanting, [true]);
    state.observe("Serving", 5, false);
    gate.evaluate();
    assert.equal(hold.admission.pod, a);
  });

  test("gives each pod at most its limit and goes on as answers come", () => {
    const { gate, pods } = make({ perPod: 2 });
    pods.set(a, b);
    const holds = Array.from({ length: 6 }, () => new Recorder());
    for (const hold of holds) {
      const direct = gate.admit("http", true);
      if (direct !== undefined) hold.release(direct);
      else gate.hold(hold, "http", true);
    }
    assert.deepEqual(
      holds.map(({ log }) => log.length),
      [1, 1, 1, 1, 0, 0],
    );
    gate.finish(holds[0]!.admission, "answered");
    assert.equal(holds[4]!.admission.pod, holds[0]!.admission.pod);
    assert.equal(holds[5]!.log.length, 0);
  });

  test("nobody overtakes those who wait", () => {
    const { gate, pods } = make({ perPod: 1 });
    pods.set(a);
    const first = gate.admit("http", true)!;
    const waiting = new Recorder();
    gate.hold(waiting, "http", true);
    pods.pods = [a, b];
    assert.equal(gate.admit("http", true), undefined);
    gate.finish(first, "answered");
    assert.equal(waiting.log.length, 1);
  });

  test("a refused request goes to another pod, else back before all others with its old deadline", async () => {
    const { gate, pods, clock } = make({ timeoutMs: 10_000 });
    const hold = new Recorder();
    gate.hold(hold, "http", true);
    await clock.advance(4_000);
    pods.set(a);
    const refused = hold.admission;
    const later = new Recorder();
    pods.reportFailure(a);
    gate.finish(refused, "refused");
    assert.equal(gate.readmit("http", refused), undefined);
    gate.hold(later, "http", true);
    const again = new Recorder();
    gate.hold(again, "http", true, refused);
    await clock.advance(6_000);
    assert.equal(again.error.code, "ELASTI_HOLD_TIMEOUT");
    assert.equal(later.log.length, 0);
    await clock.advance(4_000);
    assert.equal(later.error.code, "ELASTI_HOLD_TIMEOUT");
    assert.equal(clock.pendingTimers, 0);
  });

  test("readmits to another usable pod at once", () => {
    const { gate, pods } = make();
    pods.set(a, b);
    const refused = gate.admit("http", true)!;
    gate.finish(refused, "refused");
    assert.notEqual(gate.readmit("http", refused)?.pod, refused.pod);
  });

  test("is full at maxRequests, and at the process's budget", () => {
    const full = make({ maxRequests: 2 });
    full.gate.hold(new Recorder(), "http", true);
    full.gate.hold(new Recorder(), undefined, true);
    const error = full.gate.hold(new Recorder(), "http", true);
    assert.ok(error instanceof ElastiError && error.code === "ELASTI_GATE_FULL");
    const small = make({ maxHolds: 1 });
    small.gate.hold(new Recorder(), "http", true);
    assert.ok(small.gate.hold(new Recorder(), "http", true) instanceof ElastiError);
  });

  test("the deadline says why the wake did not come", async () => {
    const { gate, clock, failure, ends } = make({ timeoutMs: 1_000 });
    const hold = new Recorder();
    gate.hold(hold, "http", true);
    failure.now = { reason: "QuotaExceeded", detail: "no cpu left", certain: false };
    await clock.advance(1_000);
    assert.match(hold.error.message, /QuotaExceeded: no cpu left/);
    assert.deepEqual(ends, ["expired"]);
  });

  test("a shorter timeout counts at once", async () => {
    const { gate, clock, settings } = make({ timeoutMs: 100_000 });
    const hold = new Recorder();
    gate.hold(hold, "http", true);
    settings.timeoutMs = 1_000;
    gate.retime();
    await clock.advance(1_000);
    assert.equal(hold.error.code, "ELASTI_HOLD_TIMEOUT");
  });

  test("releases many in batches, in order, without losing its place to newcomers", () => {
    const { gate, pods, runDeferred } = make({ maxRequests: 1_000 });
    const order: number[] = [];
    for (let i = 0; i < 300; i++) gate.hold({ release: () => order.push(i), fail: () => assert.fail() }, "http", true);
    pods.set(a);
    assert.equal(order.length, 64);
    assert.equal(gate.admit("http", true), undefined);
    runDeferred();
    assert.deepEqual(
      order,
      Array.from({ length: 300 }, (_, i) => i),
    );
  });

  test("a request that was refused goes to the same pod as soon as it is back, whatever takes long there", () => {
    const { gate, pods } = make();
    pods.set(a);
    const endless = gate.admit("http", true)!;
    const refused = gate.admit("http", true)!;
    pods.reportFailure(a);
    gate.finish(refused, "refused");
    const hold = new Recorder();
    gate.hold(hold, "http", true, refused);
    pods.set(a);
    assert.equal(hold.admission.pod, a);
    gate.finish(endless, "answered");
  });

  test("a pod that has all its connections in use gets no more before one of them is free", () => {
    const { gate, pods } = make();
    pods.set(a);
    const running = gate.admit("http", true)!;
    const busy = gate.admit("http", true)!;
    gate.finish(busy, "busy");
    const hold = new Recorder();
    gate.hold(hold, "http", true, busy);
    assert.deepEqual(hold.log, []);
    gate.finish(running, "answered");
    assert.equal(hold.admission.pod, a);
  });

  test("a closed gate fails what waits and takes nothing more", () => {
    const { gate, clock, budget } = make();
    const hold = new Recorder();
    gate.hold(hold, "http", true);
    gate.close(errors.ELASTI_SERVICE_REMOVED("gone"));
    assert.equal(hold.error.code, "ELASTI_SERVICE_REMOVED");
    assert.ok(gate.hold(new Recorder(), "http", true) instanceof ElastiError);
    assert.equal(budget.used, 0);
    assert.equal(clock.pendingTimers, 0);
  });

  test("whatever happens: order kept, bounds kept, nothing lost, nothing told twice", async () => {
    const step = fc.record({
      do: fc.constantFrom("arrive", "arrive", "pods", "finish", "refuse", "leave", "time", "phase"),
      n: fc.nat(1_000),
    });
    await fc.assert(
      fc.asyncProperty(fc.array(step, { maxLength: 80 }), fc.integer({ min: 1, max: 3 }), async (steps, perPod) => {
        // a window that learns nothing: what it would learn is not known to the checks below
        const newWindow = () => ({ hasRoom: (inFlight: number) => inFlight < perPod, answered() {}, refused() {} });
        const world = make({ maxRequests: 5, maxHolds: 5, timeoutMs: 50, newWindow });
        const { gate, pods, clock, state, budget, runDeferred } = world;
        interface Item {
          readonly id: number;
          state: "held" | "admitted" | "done" | "left" | "failed";
          ticket?: Ticket;
          admission?: Admission;
        }
        const items: Item[] = [];
        const released: number[] = [];
        let epoch = 1;
        const holdOf = (item: Item): Hold => ({
          release: (admission) => {
            assert.equal(item.state, "held");
            item.state = "admitted";
            item.admission = admission;
            released.push(item.id);
          },
          fail: () => {
            assert.equal(item.state, "held");
            item.state = "failed";
          },
        });
        const enter = (item: Item, refused?: Admission) => {
          item.state = "held";
          const ticket = gate.hold(holdOf(item), "http", true, refused);
          if (ticket instanceof ElastiError) item.state = "failed";
          else item.ticket = ticket;
        };
        for (const { do: what, n } of steps) {
          const admitted = items.filter((item) => item.state === "admitted");
          const held = items.filter((item) => item.state === "held");
          const one = admitted[n % Math.max(1, admitted.length)];
          released.length = 0;
          if (what === "arrive") {
            const item: Item = { id: items.length, state: "held" };
            items.push(item);
            const admission = gate.admit("http", true);
            if (admission === undefined) enter(item);
            else {
              assert.equal(held.length, 0);
              item.state = "admitted";
              item.admission = admission;
            }
          } else if (what === "pods") pods.set(...[a, b].slice(0, n % 3));
          else if (what === "finish" && one !== undefined) {
            one.state = "done";
            gate.finish(one.admission!, "answered");
            gate.finish(one.admission!, "answered");
          } else if (what === "refuse" && one !== undefined) {
            pods.reportFailure(one.admission!.pod);
            gate.finish(one.admission!, "refused");
            enter(one, one.admission!);
          } else if (what === "leave" && held.length > 0) {
            const leaver = held[n % held.length]!;
            leaver.state = "left";
            gate.abandon(leaver.ticket!);
          } else if (what === "time") await clock.advance(n % 40);
          else if (what === "phase") {
            epoch += 1;
            state.observe(n % 2 === 0 ? "Sealed" : "Serving", epoch, false);
            gate.evaluate();
          }
          runDeferred();
          assert.deepEqual(
            released,
            [...released].sort((x, y) => x - y),
          );
          const waiting = items.filter((item) => item.state === "held").length;
          const running = items.filter((item) => item.state === "admitted");
          assert.equal(gate.held, waiting);
          assert.equal(budget.used, waiting);
          assert.equal(state.inFlight, running.length);
          for (const target of [a, b])
            assert.ok(running.filter((item) => item.admission?.pod === target).length <= perPod);
          if (waiting > 0 && state.mayForward()) {
            const room = pods.pods.some(
              (target) => running.filter((item) => item.admission?.pod === target).length < perPod,
            );
            assert.equal(room, false, "somebody waits although there is room");
          }
        }
        gate.close(errors.ELASTI_SERVICE_REMOVED("end"));
        assert.equal(items.filter((item) => item.state === "held").length, 0);
        assert.equal(clock.pendingTimers, 0);
      }),
      { numRuns: 150 },
    );
  });
});
