import assert from "node:assert/strict";
import { afterEach, beforeEach, describe, it } from "node:test";
import type { Scaler } from "../src/index.ts";

/** A scaler with a source that the contract can lead. */
export interface ScalerFixture {
  readonly scaler: Scaler;
  /** Brings the source to a state and moves time past the round, so that the next question is asked anew. */
  become(state: "active" | "idle" | "gone"): Promise<void>;
  /** Wall-clock time of the scaler's clock. */
  now(): number;
  /** How often the source was asked for the value so far; undefined where asking costs nothing. */
  samples(): number | undefined;
  /** Takes down everything but the scaler. */
  dispose(): Promise<void>;
}

const signal = new AbortController().signal;

/** What every scaler promises. */
export function scalerContract(name: string, make: () => Promise<ScalerFixture>): void {
  describe(`${name} keeps the contract of scalers`, () => {
    let fixture: ScalerFixture;
    beforeEach(async () => {
      fixture = await make();
    });
    afterEach(async () => {
      await fixture.scaler.close();
      await fixture.dispose();
    });

    it("says Active to both questions while the source is in use", async () => {
      await fixture.become("active");
      for (const verdict of await both(fixture.scaler)) {
        assert.equal(verdict.kind, "Active");
        assert.match(verdict.reason, /^[A-Z][A-Za-z]+$/);
        assert.notEqual(verdict.message, "");
      }
    });

    it("says Idle to both questions while it is not, and is healthy", async () => {
      await fixture.become("idle");
      for (const { kind } of await both(fixture.scaler)) assert.equal(kind, "Idle");
      assert.equal((await fixture.scaler.isHealthy(signal)).kind, "Healthy");
    });

    it("says Unknown, is not healthy and rejects nothing when the source is gone", async () => {
      await fixture.become("idle");
      await both(fixture.scaler);
      await fixture.become("gone");
      for (const verdict of await both(fixture.scaler)) {
        assert.equal(verdict.kind, "Unknown");
        assert.match(verdict.reason, /^[A-Z][A-Za-z]+$/);
        assert.notEqual(verdict.message, "");
        assert.equal(verdict.value, undefined);
      }
      assert.notEqual((await fixture.scaler.isHealthy(signal)).kind, "Healthy");
    });

    it("answers both questions of a round by one sample", async () => {
      await fixture.become("active");
      const asked = fixture.samples();
      const [toZero, fromZero] = await both(fixture.scaler);
      assert.equal(toZero.sampledAtMs, fromZero.sampledAtMs);
      if (asked !== undefined) assert.equal(fixture.samples(), asked + 1);
    });

    it("takes a new sample when the last one is too old for the question, and never passes an old one off", async () => {
      await fixture.become("idle");
      const first = await fixture.scaler.shouldScaleToZero(signal);
      const notBeforeMs = fixture.now() + 1;
      await fixture.become("idle");
      const second = await fixture.scaler.shouldScaleToZero(signal, { notBeforeMs });
      assert.ok(first.sampledAtMs < notBeforeMs);
      assert.equal(second.kind, "Idle");
      assert.ok(second.sampledAtMs >= notBeforeMs);
      const future = await fixture.scaler.shouldScaleToZero(signal, { notBeforeMs: fixture.now() + 3_600_000 });
      assert.equal(future.kind, "Unknown");
    });

    it("rejects with the reason of a signal that is aborted", async () => {
      const reason = new Error("no longer wanted");
      const aborted = AbortSignal.abort(reason);
      for (const question of ["isHealthy", "shouldScaleToZero", "shouldScaleFromZero"] as const) {
        await assert.rejects(fixture.scaler[question](aborted), reason);
      }
    });

    it("rejects after close, which may be called twice and leaves no socket and no timer", async () => {
      await fixture.become("active");
      await both(fixture.scaler);
      await fixture.scaler.close();
      await fixture.scaler.close();
      for (const question of ["isHealthy", "shouldScaleToZero", "shouldScaleFromZero"] as const) {
        await assert.rejects(fixture.scaler[question](signal), { code: "ELASTI_SCALE_CLOSED" });
      }
      await fixture.dispose();
      await assertNothingLeft();
    });
  });
}

async function both(scaler: Scaler) {
  return await Promise.all([scaler.shouldScaleToZero(signal), scaler.shouldScaleFromZero(signal)]);
}

/** Sockets and timers that keep the process alive; pipes are the test runner's. */
const open = () => process.getActiveResourcesInfo().filter((kind) => /Socket|Timeout|TCP|TLS|Server/.test(kind));

/** Neither socket nor timer is open; closing a socket takes a few turns of the loop. */
export async function assertNothingLeft(): Promise<void> {
  for (let turn = 0; turn < 200 && open().length > 0; turn += 1) await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual(open(), []);
}
