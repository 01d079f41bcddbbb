import assert from "node:assert/strict";
import { describe, it } from "node:test";
import {
  type AnnotationChange,
  type Annotations,
  type AutoscalerStage,
  autoscalerStages,
  FORCE_ACTIVATION,
  isPausedByUs,
  isTouched,
  nextAnnotations,
  PAUSED,
  PAUSED_REPLICAS,
  pinnedReplicas,
  RECORD,
  type ScaledObjectState,
} from "@elasti/scaling";
import fc from "fast-check";

/** Annotations after a merge patch. */
function patched(annotations: Annotations, change: AnnotationChange | undefined): Annotations {
  const merged = { ...annotations, ...change };
  return Object.fromEntries(Object.entries(merged).filter((entry): entry is [string, string] => entry[1] !== null));
}

const state = (annotations: Annotations, more: Partial<ScaledObjectState> = {}): ScaledObjectState => ({
  annotations,
  mayZero: true,
  named: false,
  sleeps: ["web@4"],
  ...more,
});

const at = (stage: AutoscalerStage, annotations: Annotations, more: Partial<ScaledObjectState> = {}): Annotations =>
  patched(annotations, nextAnnotations(state(annotations, more), stage));

/** What KEDA reads. */
function told({ [PAUSED]: paused, [PAUSED_REPLICAS]: replicas, [FORCE_ACTIVATION]: force }: Annotations): string {
  return [paused && `paused=${paused}`, replicas && `replicas=${replicas}`, force && `force=${force}`]
    .filter(Boolean)
    .join(" ");
}

describe("what a ScaledObject is told", () => {
  const user: Record<string, Annotations> = {
    nothing: {},
    paused: { [PAUSED]: "true" },
    unpaused: { [PAUSED]: "false" },
    pinned: { [PAUSED_REPLICAS]: "5" },
    "not forced": { [FORCE_ACTIVATION]: "false" },
    forced: { [FORCE_ACTIVATION]: "true" },
  };
  const table: [string, Record<"paused" | "asleep" | "awake", string>][] = [
    ["nothing", { paused: "paused=true", asleep: "paused=true replicas=0", awake: "force=true" }],
    ["paused", { paused: "paused=true", asleep: "paused=true replicas=0", awake: "paused=true force=true" }],
    ["unpaused", { paused: "paused=true", asleep: "paused=true replicas=0", awake: "paused=false force=true" }],
    ["pinned", { paused: "paused=true replicas=5", asleep: "paused=true replicas=5", awake: "replicas=5 force=true" }],
    [
      "not forced",
      { paused: "paused=true force=false", asleep: "paused=true replicas=0 force=false", awake: "force=true" },
    ],
    ["forced", { paused: "paused=true force=true", asleep: "paused=true replicas=0 force=true", awake: "force=true" }],
  ];
  for (const [name, expected] of table) {
    for (const stage of ["paused", "asleep", "awake"] as const)
      it(`${name} before, ${stage}: ${expected[stage]}`, () =>
        assert.equal(told(at(stage, user[name]!)), expected[stage]));
    it(`${name} before, restored: nothing to write`, () =>
      assert.equal(nextAnnotations(state(user[name]!), "restored"), undefined));
  }

  it("is let alone while awake where KEDA's own minimum is one or more", () => {
    assert.equal(nextAnnotations(state({}, { mayZero: false }), "awake"), undefined);
  });

  it("keeps what it was told of zero while it is paused, in one write less", () => {
    const awake = at("awake", {});
    assert.equal(told(at("paused", awake)), "paused=true force=true");
    assert.equal(told(at("asleep", at("paused", awake))), "paused=true replicas=0");
  });

  it("ends a pause and keeps KEDA from zero in one write", () => {
    const waking = at("paused", at("asleep", at("paused", {})));
    const change = nextAnnotations(state(waking), "awake");
    assert.deepEqual([change?.[PAUSED], change?.[FORCE_ACTIVATION]], [null, "true"]);
  });

  it("is not told to hold at zero what somebody has begun to wake, until the next sleep", () => {
    const asleep = at("asleep", at("paused", {}));
    const waking = at("waking", asleep);
    assert.equal(told(waking), "paused=true");
    assert.equal(nextAnnotations(state(waking), "asleep"), undefined);
    assert.equal(nextAnnotations(state(waking), "waking"), undefined);
    assert.equal(told(at("asleep", waking, { sleeps: ["web@9"] })), "paused=true replicas=0");
    // a wake changes the object even where nothing stands on it yet: a write that was decided on before must fail
    assert.notEqual(nextAnnotations(state(at("paused", {})), "waking"), undefined);
    assert.notEqual(nextAnnotations(state({ [PAUSED]: "true" }), "waking"), undefined);
  });

  it("takes over what KubeElasti wrote on a ScaledObject that it was to pause, and nobody else's", () => {
    const left = { [PAUSED]: "true", [PAUSED_REPLICAS]: "0" };
    assert.equal(pinnedReplicas(state(left)), "0");
    assert.equal(pinnedReplicas(state(left, { named: true })), undefined);
    const woken = at("awake", at("paused", left, { named: true }), { named: true });
    assert.equal(told(woken), "force=true");
    assert.deepEqual(at("restored", woken, { named: true }), {});
  });

  it("leaves a value that somebody wrote over ours, and puts that one back", () => {
    const asleep = at("asleep", { [PAUSED]: "false" });
    const edited = { ...asleep, [PAUSED_REPLICAS]: "3" };
    assert.equal(pinnedReplicas(state(edited)), "3");
    assert.deepEqual(at("restored", edited), { [PAUSED]: "false", [PAUSED_REPLICAS]: "3" });
  });

  it("makes do with a record that cannot be read", () => {
    for (const record of ["", "{", "[]", "null", '{"autoscaling.keda.sh/paused":1}', '{"x":{"was":1,"now":2}}']) {
      const after = at("restored", { [PAUSED]: "true", [RECORD]: record });
      assert.deepEqual(after, { [PAUSED]: "true" });
    }
  });

  it("says whether a pause is ours", () => {
    assert.equal(isPausedByUs({ annotations: at("paused", {}) }), true);
    assert.equal(isPausedByUs({ annotations: at("paused", { [PAUSED]: "true" }) }), false);
    assert.equal(isPausedByUs({ annotations: at("awake", {}) }), false);
  });
});

describe("whatever it was told before", () => {
  const value = fc.option(fc.constantFrom("true", "false", "0", "5", ""), { nil: undefined });
  const users = fc
    .record({ [PAUSED]: value, [PAUSED_REPLICAS]: value, [FORCE_ACTIVATION]: value })
    .map((annotations) =>
      Object.fromEntries(
        Object.entries({ other: "kept", ...annotations }).filter(
          (entry): entry is [string, string] => entry[1] !== undefined,
        ),
      ),
    );
  const stages = fc.array(fc.constantFrom(...autoscalerStages), { maxLength: 8 });

  it("has its former values back at the end, and one write leads to each stage", () => {
    fc.assert(
      fc.property(users, stages, fc.boolean(), (before, path, mayZero) => {
        let now: Annotations = before;
        let epoch = 0;
        for (const stage of path) {
          epoch += 1;
          now = at(stage, now, { mayZero, sleeps: [`web@${epoch}`] });
          assert.equal(nextAnnotations(state(now, { mayZero, sleeps: [`web@${epoch}`] }), stage), undefined);
        }
        const after = at("restored", now, { mayZero });
        assert.deepEqual(after, before);
        assert.equal(isTouched(after), false);
      }),
      { numRuns: 3_000 },
    );
  });

  it("keeps what a person edits on the way", () => {
    fc.assert(
      fc.property(users, stages, fc.constantFrom(PAUSED, PAUSED_REPLICAS, FORCE_ACTIVATION), (before, path, key) => {
        let now: Annotations = before;
        for (const stage of path) now = at(stage, now);
        // a value that Elasti never writes
        now = { ...now, [key]: "7" };
        for (const stage of path) now = at(stage, now);
        assert.deepEqual(at("restored", now), { ...before, [key]: "7" });
      }),
      { numRuns: 3_000 },
    );
  });

  it("is never told to hold at zero what does not sleep, but by its user", () => {
    fc.assert(
      fc.property(users, stages, (before, path) => {
        let now: Annotations = before;
        for (const stage of path) {
          now = at(stage, now);
          if (stage !== "asleep") assert.equal(now[PAUSED_REPLICAS], before[PAUSED_REPLICAS]);
        }
      }),
    );
  });
});
