import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { crashTest } from "./crash/crash-test.ts";
import { hostAddress, startWorld } from "./world.ts";

const real = process.env.ELASTI_TEST_KUBECONFIG !== undefined;
const seed = process.env.ELASTI_CRASH_SEED ?? randomBytes(4).toString("hex");
/** On a real cluster every point takes its time: a share of them is drawn there. */
const share = Number(process.env.ELASTI_CRASH_SHARE ?? (real ? 0.2 : 1));

describe("an operator that is killed at every call that it makes", () => {
  it("loses no request, and leaves what an undisturbed one leaves", { timeout: real ? 590_000 : 590_000 }, async () => {
    console.log(`ELASTI_CRASH_SEED=${seed} ELASTI_CRASH_SHARE=${share}`);
    const lease = real ? { width: 6, patienceMs: 2_300, unreachedShare: 0.4 } : {};
    const { line, failures } = await crashTest({ startWorld, host: hostAddress, share, seed, ...lease });
    console.log(line);
    assert.deepEqual(failures, []);
  });
});
