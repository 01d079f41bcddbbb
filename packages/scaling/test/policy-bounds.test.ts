import assert from "node:assert/strict";
import { test } from "node:test";
import {
  type BoundsChange,
  type BoundsState,
  boundsMovedBy,
  formerBounds,
  isTouched,
  nextAnnotations,
  nextBounds,
  PAUSED,
  PAUSED_REPLICAS,
  restoredBounds,
} from "@elasti/scaling";
import fc from "fast-check";

/** The object after a merge patch. */
function after(state: BoundsState, change: BoundsChange | undefined): BoundsState {
  if (change === undefined) return state;
  const annotations: Record<string, string> = { ...state.annotations };
  for (const [key, value] of Object.entries(change.annotations)) {
    if (value === null) delete annotations[key];
    else annotations[key] = value;
  }
  return {
    annotations,
    min: "min" in change ? (change.min ?? undefined) : state.min,
    max: "max" in change ? (change.max ?? undefined) : state.max,
  };
}

const plain: BoundsState = { annotations: {}, min: 2, max: undefined };

test("moves both bounds in one write, and puts back what was there before", () => {
  const moved = after(plain, nextBounds(plain, { policy: "p", min: 3, max: 8 }));
  assert.deepEqual([moved.min, moved.max], [3, 8]);
  assert.equal(boundsMovedBy(moved.annotations), "p");
  assert.deepEqual(formerBounds(moved), { min: 2, max: undefined });
  assert.equal(nextBounds(moved, { policy: "p", min: 3, max: 8 }), undefined);

  const again = after(moved, nextBounds(moved, { policy: "p", min: 5, max: 8 }));
  assert.equal(again.min, 5);
  assert.deepEqual(after(again, restoredBounds(again)), plain);
});

test("leaves a person's change alone until the policy wants something else, and puts theirs back", () => {
  const moved = after(plain, nextBounds(plain, { policy: "p", min: 3, max: 8 }));
  const byHand = { ...moved, min: 4 };
  assert.equal(nextBounds(byHand, { policy: "p", min: 3, max: 8 }), undefined);
  const next = after(byHand, nextBounds(byHand, { policy: "p", min: 6, max: 8 }));
  assert.equal(next.min, 6);
  assert.deepEqual(after(next, restoredBounds(next)), { annotations: {}, min: 4, max: undefined });
  assert.deepEqual(after(byHand, restoredBounds(byHand)), { annotations: {}, min: 4, max: undefined });
});

test("writes nothing, and remembers nothing, where the bounds are what is wanted", () => {
  const state = { annotations: {}, min: 1, max: 10 };
  assert.equal(nextBounds(state, { policy: "p", min: 1, max: 10 }), undefined);
  assert.equal(restoredBounds(state), undefined);
});

test("pins KEDA at a number and lets it go again, over a person's own pin too", () => {
  for (const own of [undefined, "7"]) {
    const state = { annotations: own === undefined ? {} : { [PAUSED_REPLICAS]: own }, min: 1, max: 5 };
    const pinned = after(state, nextBounds(state, { policy: "p", min: 1, max: 5, pinned: 4 }));
    assert.equal(pinned.annotations[PAUSED_REPLICAS], "4");
    const let_go = after(pinned, nextBounds(pinned, { policy: "p", min: 1, max: 5 }));
    assert.deepEqual(let_go, state);
  }
});

test("keeps the record of the sleep machine, which keeps that of the policy", () => {
  const moved = after(plain, nextBounds(plain, { policy: "p", min: 3, max: 8 }));
  const sleep = { mayZero: false, named: false, sleeps: ["es@4"] };
  const write = nextAnnotations({ ...sleep, annotations: moved.annotations }, "paused");
  assert.ok(write !== undefined);
  const paused = after(moved, { annotations: write });
  assert.equal(paused.annotations[PAUSED], "true");
  assert.equal(boundsMovedBy(paused.annotations), "p");

  const freed = after(paused, restoredBounds(paused));
  assert.equal(boundsMovedBy(freed.annotations), undefined);
  assert.equal(freed.annotations[PAUSED], "true");
  assert.ok(isTouched(freed.annotations));
  const back = nextAnnotations({ ...sleep, annotations: freed.annotations }, "restored");
  assert.deepEqual(after(freed, { annotations: back ?? {} }), plain);
});

test("takes a record that cannot be read for none", () => {
  for (const text of ["{", "[]", '{"policy":{"by":1}}', '{"policy":{"by":"p","min":{"was":"x","now":3}}}']) {
    const state = { annotations: { "elasti.truefoundry.com/autoscaler-former": text }, min: 3, max: 4 };
    assert.deepEqual(formerBounds(state), { min: 3, max: 4 });
  }
});

test("whatever policies want one after another, restoring gives back what was there", () => {
  const bound = fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined });
  const wanted = fc.record({
    policy: fc.constantFrom("a", "b"),
    min: fc.integer({ min: 0, max: 5 }),
    max: fc.integer({ min: 0, max: 5 }),
  });
  const pin = fc.option(fc.integer({ min: 0, max: 5 }), { nil: undefined });
  fc.assert(
    fc.property(bound, bound, pin, fc.array(fc.tuple(wanted, pin), { maxLength: 6 }), (min, max, own, all) => {
      const start: BoundsState = { annotations: own === undefined ? {} : { [PAUSED_REPLICAS]: String(own) }, min, max };
      let state = start;
      for (const [bounds, pinned] of all) {
        const want = { ...bounds, ...(pinned === undefined ? {} : { pinned }) };
        state = after(state, nextBounds(state, want));
        assert.deepEqual([state.min, state.max], [bounds.min, bounds.max]);
        assert.equal(nextBounds(state, want), undefined);
      }
      assert.deepEqual(after(state, restoredBounds(state)), start);
    }),
  );
});
