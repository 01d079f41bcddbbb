import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { Phase } from "@elasti/api";
import type { EndpointSlice } from "@elasti/kube";
import fc from "fast-check";
import { pickOfTwo } from "../src/endpoints/pick.ts";
import { type PodView, viewsOf } from "../src/endpoints/pod-view.ts";
import {
  initialRules,
  nextLapse,
  type PodRules,
  type ProbeResults,
  usablePods,
  withPhase,
  withPods,
} from "../src/endpoints/usable-pods.ts";

const view = (uid: string, state: "ready" | "starting" | "terminating" = "ready"): PodView => ({
  uid,
  name: uid,
  address: "10.0.0.1",
  ready: state === "ready",
  terminating: state === "terminating",
  ports: new Map([["", 80]]),
});

const nothing: ProbeResults = { wait: "Probe", passed: new Set(), failed: new Set(), demand: true };

type Step =
  | { phase: Phase; epoch: number; podsGone?: boolean }
  | { pods: PodView[] }
  | { wait: number }
  | { usable: string[]; results?: Partial<ProbeResults> };

/** Plays steps and checks each `usable`. */
function play(steps: readonly Step[]): PodRules {
  let rules = initialRules;
  let views: PodView[] = [];
  let now = 1_000;
  for (const [i, step] of steps.entries()) {
    if ("phase" in step) {
      const { phase, epoch, podsGone = false } = step;
      rules = withPhase(rules, views, { phase, epoch, podsGone }, now);
    } else if ("pods" in step) {
      views = step.pods;
      rules = withPods(rules, views, now);
    } else if ("wait" in step) now += step.wait;
    else {
      const uids = usablePods(rules, views, { ...nothing, ...step.results }, now).map(({ uid }) => uid);
      assert.deepEqual(uids, step.usable, `step ${i}`);
    }
  }
  return rules;
}

describe("usable pods", () => {
  const cases: Record<string, Step[]> = {
    "ready pods of a service that is awake": [
      { phase: "Serving", epoch: 1 },
      { pods: [view("a"), view("b", "starting"), view("c", "terminating")] },
      { usable: ["a"] },
      { usable: ["a", "b"], results: { passed: new Set(["b", "c"]) } },
      { usable: [], results: { failed: new Set(["a"]) } },
    ],
    "with Ready as the only criterion, probes count for nothing": [
      { phase: "Waking", epoch: 1 },
      { pods: [view("a", "starting"), view("b")] },
      { usable: ["b"], results: { wait: "Ready", passed: new Set(["a"]) } },
    ],
    "without a readiness probe, Ready opens nothing for those who wait until a connection was accepted": [
      { phase: "Waking", epoch: 1 },
      { pods: [view("a"), view("b", "starting")] },
      { usable: [], results: { wait: "Connect" } },
      { usable: ["a"], results: { wait: "Connect", demand: false } },
      { usable: ["a", "b"], results: { wait: "Connect", passed: new Set(["a", "b"]) } },
    ],
    "all pods of a draining service": [{ pods: [view("a")] }, { phase: "Draining", epoch: 4 }, { usable: ["a"] }],
    "none while sealed, all again when the seal is undone": [
      { phase: "Draining", epoch: 4 },
      { pods: [view("a")] },
      { phase: "Sealed", epoch: 5 },
      { usable: [] },
      { phase: "Serving", epoch: 6 },
      { usable: ["a"] },
    ],
    "none while asleep with pods left, and those stay out for 2 s of readiness after": [
      { phase: "Serving", epoch: 1 },
      { pods: [view("old")] },
      { phase: "Asleep", epoch: 4 },
      { usable: [] },
      { pods: [view("old"), view("late")] },
      { phase: "Waking", epoch: 5 },
      { usable: [], results: { passed: new Set(["old", "late"]) } },
      { wait: 1_000 },
      { pods: [view("old", "terminating"), view("late"), view("new")] },
      { usable: ["new"] },
      { wait: 1_000 },
      { usable: ["late", "new"] },
    ],
    "a tainted pod that flickers begins its 2 s again": [
      { phase: "Asleep", epoch: 4 },
      { pods: [view("a")] },
      { phase: "Waking", epoch: 5 },
      { wait: 1_500 },
      { pods: [view("a", "starting")] },
      { pods: [view("a")] },
      { wait: 1_999 },
      { usable: [] },
      { wait: 1 },
      { usable: ["a"] },
    ],
    "a tainted pod that is out of view for a moment stays tainted": [
      { phase: "Asleep", epoch: 4 },
      { pods: [view("a")] },
      { phase: "Waking", epoch: 5 },
      { pods: [] },
      { wait: 5_000 },
      { pods: [view("a")] },
      { usable: [] },
      { wait: 2_000 },
      { usable: ["a"] },
    ],
    "any pod when asleep and the old ones are gone": [
      { phase: "Asleep", epoch: 4 },
      { pods: [view("old")] },
      { phase: "Asleep", epoch: 4, podsGone: true },
      { pods: [view("new"), view("newer", "starting")] },
      { usable: ["new", "newer"], results: { passed: new Set(["newer"]) } },
      { phase: "Waking", epoch: 5 },
      { usable: ["new"] },
    ],
    "older epochs change nothing": [
      { phase: "Asleep", epoch: 9 },
      { pods: [view("a")] },
      { phase: "Serving", epoch: 8 },
      { usable: [] },
    ],
    "a sleep that a broken watch did not show taints all the same": [
      { phase: "Draining", epoch: 5 },
      { pods: [view("a")] },
      { phase: "Waking", epoch: 8 },
      { usable: [] },
      { wait: 2_000 },
      { usable: ["a"] },
    ],
    "an aborted drain is no sleep": [
      { phase: "Draining", epoch: 5 },
      { pods: [view("a")] },
      { phase: "Serving", epoch: 7 },
      { usable: ["a"] },
    ],
  };
  for (const [name, steps] of Object.entries(cases)) it(name, () => void play(steps));

  it("does not trust pods of before when a wake overtook the sleep", () => {
    play([
      { phase: "Sealed", epoch: 5 },
      { pods: [view("a")] },
      { phase: "Waking", epoch: 6 },
      { usable: [] },
      { wait: 2_000 },
      { usable: ["a"] },
    ]);
    // a resolver that starts in the middle of it knows no more
    play([{ pods: [view("a")] }, { phase: "Waking", epoch: 6 }, { usable: [] }]);
  });

  it("knows when the next taint lapses", () => {
    const rules = play([
      { phase: "Asleep", epoch: 4 },
      { pods: [view("a"), view("b", "terminating")] },
      { phase: "Waking", epoch: 5 },
    ]);
    assert.equal(nextLapse(rules, 1_000), 3_000);
    assert.equal(nextLapse(rules, 3_000), undefined);
  });

  it("never gives out a pod that was seen while asleep within 2 s of waking", () => {
    const uid = fc.constantFrom("a", "b", "c");
    const pods = fc.uniqueArray(fc.tuple(uid, fc.constantFrom("ready", "starting", "terminating")), {
      selector: ([name]) => name,
    });
    const step = fc.oneof(
      fc.record({ kind: fc.constant("pods" as const), pods }),
      fc.record({ kind: fc.constant("wait" as const), ms: fc.integer({ min: 0, max: 1_500 }) }),
      fc.record({ kind: fc.constant("next" as const) }),
    );
    const order: Phase[] = ["Serving", "Draining", "Sealed", "Asleep", "Waking"];
    fc.assert(
      fc.property(fc.array(step, { maxLength: 40 }), (steps) => {
        let rules = initialRules;
        let views: PodView[] = [];
        let now = 0;
        let at = 0;
        let wokenAt = Number.NEGATIVE_INFINITY;
        let suspects = new Set<string>();
        for (const entry of steps) {
          if (entry.kind === "pods") {
            views = entry.pods.map(([name, state]) => view(name, state as "ready"));
            rules = withPods(rules, views, now);
          } else if (entry.kind === "wait") now += entry.ms;
          else {
            at += 1;
            const phase = order[at % order.length]!;
            if (phase === "Asleep") suspects = new Set();
            if (phase === "Waking") wokenAt = now;
            rules = withPhase(rules, views, { phase, epoch: at, podsGone: false }, now);
          }
          if (rules.phase === "Asleep") for (const { uid } of views) suspects.add(uid);
          const passed = new Set(["a", "b", "c"]);
          for (const { uid } of usablePods(rules, views, { ...nothing, passed }, now)) {
            assert.ok(rules.phase !== "Asleep" && rules.phase !== "Sealed");
            if (now - wokenAt < 2_000) assert.ok(!suspects.has(uid));
          }
        }
      }),
    );
  });
});

const slice = (name: string, given: Partial<EndpointSlice>): EndpointSlice => ({
  apiVersion: "discovery.k8s.io/v1",
  kind: "EndpointSlice",
  metadata: { name },
  addressType: "IPv4",
  endpoints: [],
  ports: [],
  ...given,
});
const ref = (uid: string) => ({ kind: "Pod", name: `pod-${uid}`, uid });

describe("pods of slices", () => {
  it("reads conditions as the API defines them", () => {
    const views = viewsOf([
      slice("s", {
        ports: [{ name: "http", port: 8080 }, { name: "dns", port: 53, protocol: "UDP" }, { name: "none" }],
        endpoints: [
          { addresses: ["10.0.0.1"], targetRef: ref("a") },
          { addresses: ["10.0.0.2"], targetRef: ref("b"), conditions: { ready: false } },
          { addresses: ["10.0.0.3"], targetRef: ref("c"), conditions: { ready: false, terminating: true } },
          { addresses: ["10.0.0.4"] },
        ],
      }),
    ]);
    assert.deepEqual(
      views.map(({ uid, ready, terminating }) => [uid, ready, terminating]),
      [
        ["10.0.0.4", true, false],
        ["a", true, false],
        ["b", false, false],
        ["c", false, true],
      ],
    );
    assert.deepEqual([...views[0]!.ports], [["http", 8080]]);
  });

  it("shows a dual-stack pod once, at its IPv4 address", () => {
    const endpoints = (address: string) => [{ addresses: [address], targetRef: ref("a") }];
    const views = viewsOf([
      slice("six", { addressType: "IPv6", endpoints: endpoints("fd00::1"), ports: [{ port: 1 }] }),
      slice("four", { endpoints: endpoints("10.0.0.1"), ports: [{ port: 2 }] }),
    ]);
    assert.equal(views.length, 1);
    assert.equal(views[0]!.address, "10.0.0.1");
    assert.deepEqual([...views[0]!.ports], [["", 2]]);
  });

  it("takes the worse word when two slices show one pod", () => {
    const [only] = viewsOf([
      slice("a", { endpoints: [{ addresses: ["10.0.0.1"], targetRef: ref("a") }] }),
      slice("b", { endpoints: [{ addresses: ["10.0.0.1"], targetRef: ref("a"), conditions: { terminating: true } }] }),
    ]);
    assert.equal(only?.terminating, true);
  });
});

describe("pick", () => {
  const random = fc.infiniteStream(fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true }));

  it("never takes the most loaded of three or more pods when it stands alone at the top", () => {
    fc.assert(
      fc.property(fc.integer({ min: 2, max: 8 }), fc.nat(7), random, (count, at, draws) => {
        const list = Array.from({ length: count }, (_, i) => ({ uid: `${i}`, name: "", address: "", port: i }));
        const worst = list[at % count]!;
        const pick = pickOfTwo({ random: () => draws.next().value as number });
        assert.notEqual(
          pick(list, (pod) => (pod === worst ? 9 : 1)),
          worst,
        );
      }),
    );
  });

  it("reaches every pod", () => {
    const list = Array.from({ length: 5 }, (_, i) => ({ uid: `${i}`, name: "", address: "", port: i }));
    const pick = pickOfTwo();
    const seen = new Set(Array.from({ length: 500 }, () => pick(list, () => 0)?.uid));
    assert.equal(seen.size, 5);
  });
});
